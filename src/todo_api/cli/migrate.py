"""``todo-api migrate``: bring the database's schema up to date."""

import argparse

from todo_api import migrations
from todo_api.cli.banner import report_progress
from todo_api.local import postgres
from todo_api.settings import load_settings
from todo_api.settings.database_url import login


def run(_: argparse.Namespace) -> int:
    """Migrate the database, or the embedded one."""
    settings = load_settings()
    url = settings.migration_database_url or settings.database_url
    if url is not None:
        service = settings.database_url or url
        migrations.upgrade(url.get_secret_value(), login=login(service.get_secret_value()))
    else:
        with postgres.running(settings.data_dir, migrate=migrations.upgrade, report=report_progress):
            pass
    print(f"The schema is at revision {migrations.head()}.")
    return 0
