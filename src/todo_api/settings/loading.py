"""Reading the settings when a process starts.

An error is one sentence for each setting, and none shows a value.
"""

import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from todo_api.settings.fields import ENV_FILE, Settings


def load_settings(**overrides: Any) -> Settings:
    """Read the environment; end the process with one sentence a line when it cannot be used."""
    _check_env_file(Path(ENV_FILE))
    try:
        return Settings(**overrides)
    except ValidationError as error:
        sys.exit("\n".join(explain(error)))


def _check_env_file(path: Path) -> None:
    """See that the file is text: a name in another encoding would be ignored without a word."""
    try:
        if path.exists() and "\0" in path.read_bytes().decode():
            sys.exit(f"{path} is not UTF-8 text; save it with that encoding.")
    except UnicodeDecodeError:
        sys.exit(f"{path} is not UTF-8 text; save it with that encoding.")
    except OSError as error:
        sys.exit(f"{path} cannot be read: {error.strerror}.")


def explain(error: ValidationError) -> list[str]:
    """One sentence for each setting that cannot be used; none shows a value."""
    sentences = []
    for item in error.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in item["loc"][:1]).upper()
        reason = item["msg"].removeprefix("Value error, ")
        sentences.append(f"{name} {reason}." if name else f"{reason}.")
    return sentences
