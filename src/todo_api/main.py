"""The application, for servers that import one: ``uvicorn todo_api.main:app``."""

from todo_api.app import create_app
from todo_api.settings import load_settings

app = create_app(load_settings())
