"""The application, for servers that import one: ``uvicorn todo_api.main:app``."""

from todo_api.app import create_app
from todo_api.observability import configure_logging
from todo_api.settings import load_settings

settings = load_settings()
configure_logging(settings.log_level)
app = create_app(settings, sample_secret=settings.sample_secret())
