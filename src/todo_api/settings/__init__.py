"""The service's settings: environment variables (or a ``.env`` file) in, one frozen object out."""

from todo_api.settings.fields import ENV_FILE, Settings
from todo_api.settings.loading import explain, load_settings

__all__ = ["ENV_FILE", "Settings", "explain", "load_settings"]
