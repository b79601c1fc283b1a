"""The first start on a machine.

A key for the first tool and an account for the first person, in files that only their owner can read. The
names of the files are said, never their content.
"""

from __future__ import annotations

import logging
import secrets

import sqlalchemy as sa

from service.auth.keys import make_key
from service.auth.people import add_user
from service.state import Service
from service.store.database import DatabaseDown
from service.store.migrate import current_revision, migrate
from service.store.tables import api_keys, users
from wafer_data.files import write_text

_LOG = logging.getLogger(__name__)
TOOL_KEY, ADMIN = "tool.key", "admin.password"


def first_start(service: Service) -> None:
    """Make the database, and if it has neither keys nor users a key and an administrator.

    A database that does not answer is left for later: the start does not need it.
    """
    try:
        # A shared database of an earlier version is upgraded by a person, not by whichever worker starts first.
        if service.database.dialect == "sqlite" or current_revision(service.database) is None:
            migrate(service.database)
        with service.database.write() as connection:
            if connection.execute(sa.select(sa.func.count()).select_from(api_keys)).scalar_one():
                return
            if connection.execute(sa.select(sa.func.count()).select_from(users)).scalar_one():
                return
            key = make_key(connection, "first tool", ["inspect", "read"], actor="first start")
            password = secrets.token_urlsafe(12)
            add_user(connection, "admin", "admin", password, actor="first start")
            for name, text in ((TOOL_KEY, key), (ADMIN, password)):
                path = service.settings.data / name
                write_text(path, text + "\n")
                path.chmod(0o600)
    except (DatabaseDown, sa.exc.IntegrityError) as error:  # the latter: another worker was first
        _LOG.warning("database: %s; images are inspected all the same", error)
        return
    _LOG.info(
        "first start: the first tool's key is in %s, the password of the user 'admin' in %s",
        service.settings.data / TOOL_KEY,
        service.settings.data / ADMIN,
    )
