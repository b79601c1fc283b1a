"""Bring a database to this version's schema. All migrations that are needed run in one transaction, or none."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from service.store.database import Database
from wafer_data.errors import InputError

# The last migration. Written here so that a start with an up-to-date database need not import Alembic.
HEAD = "0003"
_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x77616665  # of PostgreSQL, so that two programs do not migrate at once; SQLite's own lock does that there


def current_revision(database: Database) -> str | None:
    """The migration that the database is at; None for an empty one. Raises DatabaseDown."""
    with database.read() as connection:
        return _revision(connection)


def migrate(database: Database) -> tuple[str | None, str]:
    """Run the migrations that are missing.

    Returns:
        The revision before and after.

    Raises:
        InputError: The database is of a newer version, or holds tables that are not ours.
        DatabaseDown: It does not answer.
    """
    before = current_revision(database)
    if before == HEAD:
        return before, HEAD
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with database.write() as connection:
        if database.dialect == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        before = _revision(connection)
        if before is not None and before not in known:
            raise InputError(
                f"the database has schema {before}, which this version of waferroute (up to {HEAD}) does not know: "
                "update waferroute, or restore a backup of the older schema"
            )
        if before is None and sa.inspect(connection).get_table_names():
            raise InputError("the database holds tables that are not waferroute's: name an empty one")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before, HEAD


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found
