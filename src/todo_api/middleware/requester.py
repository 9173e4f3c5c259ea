"""Who asks, as far as it can be told before a request is parsed.

The server wants to know, so that each user's requests wait in a queue of their own.
"""

import re
from typing import Final

from todo_api.tokens import Verifier

_TOKEN: Final = re.compile(rb"\r\nauthorization:[ \t]*bearer[ \t]+([^ \t\r]+)[ \t]*\r\n", re.IGNORECASE)


def key_of(verifier: Verifier, head: bytes) -> str | None:
    """The user's id, for the head of a request, maybe an incomplete one.

    None for a token that ``verifier`` has not verified before. With a queue for each of those,
    anybody could have thousands; in one queue, a probe of ``/health`` would wait for a flood.
    """
    found = _TOKEN.search(head)
    return None if found is None else verifier.known_subject(found[1])
