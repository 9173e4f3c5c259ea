"""``todo-api migrate``: bring the database's schema up to date."""

import argparse

from todo_api import migrations
from todo_api.cli.banner import report_progress
from todo_api.local import postgres
from todo_api.settings import load_settings
from todo_api.settings.database_url import login


def run(options: argparse.Namespace) -> int:
    """Migrate the database, or the embedded one.

    Raises:
        MigrationFailed: it cannot be migrated, or its tables cannot be distributed.
    """
    settings = load_settings()
    url = settings.migration_database_url or settings.database_url
    if url is not None:
        service = settings.database_url or url
        service_login = login(service.get_secret_value())
        migrations.upgrade(url.get_secret_value(), login=service_login, distribute=options.distribute)
    elif options.distribute:
        raise migrations.MigrationFailed("--distribute needs a Citus cluster: set DATABASE_URL to its coordinator.")
    else:
        with postgres.running(settings.data_dir, migrate=migrations.upgrade, report=report_progress):
            pass
    print(f"The schema is at revision {migrations.head()}.")
    if options.distribute:
        print("The tables are distributed: start the service with DATABASE_CITUS=true.")
    return 0
