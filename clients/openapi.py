"""Write the OpenAPI document that clients are generated from to ``openapi.json``, beside this.

No server and no database are needed. ``--check`` writes nothing and fails when the file is not what
the service would answer at ``/openapi.json``.
"""

import json
import secrets
import sys
from pathlib import Path

from pydantic import SecretStr

from todo_api.app import create_app
from todo_api.settings import Settings

DOCUMENT = Path(__file__).with_name("openapi.json")


def document() -> str:
    """The document, laid out so that a change of it reads well."""
    settings = Settings(_env_file=None, database_url=None, better_auth_secret=SecretStr(secrets.token_hex()))
    return json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the document, or check it."""
    if "--check" not in sys.argv:
        DOCUMENT.write_text(document(), encoding="utf-8")
    elif not DOCUMENT.exists() or DOCUMENT.read_text(encoding="utf-8") != document():
        print(f"stale: {DOCUMENT.name}; run `make client`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
