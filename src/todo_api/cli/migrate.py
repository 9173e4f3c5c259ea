"""``todo-api migrate``: bring the database's schema up to date."""

import argparse
import sys

from todo_api import migrations
from todo_api.cli.banner import report_progress
from todo_api.local import postgres
from todo_api.settings import Settings, load_settings
from todo_api.settings.database_url import login


def run(options: argparse.Namespace) -> int:
    """Migrate the database, or the embedded one.

    Raises:
        LocalPostgresFailed: the embedded one does not start.
        SystemExit: it cannot be migrated, or its tables cannot be distributed.
    """
    settings = load_settings()
    try:
        _migrate(settings, distribute=options.distribute)
    except migrations.MigrationFailed as error:
        sys.exit(str(error))
    print(f"The schema is at revision {migrations.head()}.")
    if options.distribute:
        print("The tables are distributed: start the service with DATABASE_CITUS=true.")
    return 0


def _migrate(settings: Settings, *, distribute: bool) -> None:
    url = settings.migration_database_url or settings.database_url
    if url is not None:
        service = settings.database_url or url
        service_login = login(service.get_secret_value())
        migrations.upgrade(url.get_secret_value(), login=service_login, distribute=distribute)
    elif distribute:
        raise migrations.MigrationFailed("--distribute needs a Citus cluster: set DATABASE_URL to its coordinator.")
    else:
        with postgres.running(settings.data_dir, migrate=migrations.upgrade, report=report_progress):
            pass
