"""Where a study is kept: a journal file, or a database by its address."""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage

from couloir.errors import CouloirError
from couloir.sweep.journal import Journal

JOURNAL = "study.journal"
"""The journal of a sweep that names no storage, in its folder."""
DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
"""What an address that names no driver means, in SQLAlchemy's words."""
PATIENCE = 10
"""Seconds for which a server may be silent."""
BUSY = 60
"""Seconds for which another process may hold an SQLite file."""
PASSWORDS = ("password", "passwd", "sslpassword")
"""Options of an address that are secret."""
TRIES = 5
"""How often a database is opened: of processes that make its tables at the same time, all but one fail."""


def address(storage: str | None, folder: Path) -> str:
    """A storage as one word that means the same in every directory.

    Args:
        storage: what `sweep.storage` says: a file, or an address such as `postgresql://user@host/name`.
        folder: the sweep's folder, where the journal is if nothing is said.

    Raises:
        CouloirError: it holds a password, or names no file.
    """
    if storage is None:
        return str(folder / JOURNAL)
    if "://" not in storage:
        return _absolute(storage)
    scheme, _, rest = storage.partition("://")
    if scheme.partition("+")[0] == "sqlite":
        file = rest.removeprefix("/")
        if not rest.startswith("/") or not file or file.startswith(":memory:"):
            raise CouloirError(f"sweep.storage={storage} names no file.", next_step="sweep.storage=sqlite:///FILE.db")
        return f"{scheme}:///{_absolute(file)}"
    if hidden(storage) != storage:
        raise CouloirError(
            "sweep.storage holds a password; the files of the sweep and its runs would store it as plain text.",
            place=hidden(storage),
            next_step="leave it out; PostgreSQL reads it from PGPASSWORD or ~/.pgpass, MySQL from MYSQL_PWD",
        )
    return f"{DRIVERS.get(scheme, scheme)}://{rest}"


def _absolute(file: str) -> str:
    return os.path.abspath(os.path.expanduser(file))  # noqa: PTH100, PTH111  resolve() would follow a user's links


def open_storage(where: str) -> BaseStorage:
    """The storage behind an address.

    Raises:
        CouloirError: it cannot be reached, or the package for it is not there.
    """
    return _open_database(where) if "://" in where else _open_journal(Path(where))


def _open_journal(file: Path) -> BaseStorage:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(Journal(file))
    except OSError as error:
        fact = f"The study's journal cannot be written: {error.strerror or error}."
        raise CouloirError(fact, place=str(file)) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CouloirError(
            "sweep.storage is not a journal of a study, or it is damaged.",
            place=str(file),
            next_step="name a file that does not exist yet, or an address such as sqlite:///FILE.db",
        ) from error


def _open_database(where: str) -> BaseStorage:
    from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

    options: dict[str, Any] = {"connect_timeout": PATIENCE}
    if where.startswith("sqlite"):
        options = {"timeout": BUSY}
        with suppress(OSError):  # the database says so
            Path(where.partition("://")[2][1:]).parent.mkdir(parents=True, exist_ok=True)
    elif where.startswith("mysql") and "MYSQL_PWD" in os.environ:
        options["password"] = os.environ["MYSQL_PWD"]
    for left in reversed(range(TRIES)):
        try:
            return RDBStorage(where, engine_kwargs={"pool_pre_ping": True, "connect_args": options})
        except (ImportError, ArgumentError) as error:  # Optuna names the missing package in its own words
            raise CouloirError(
                f"sweep.storage cannot be opened: {_first_line(error)}.",
                place=where,
                next_step="pip install 'couloir[postgresql]' or 'couloir[mysql]' for the drivers",
            ) from error
        except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
            if left and not isinstance(error, OperationalError | RuntimeError):
                time.sleep(random.uniform(0.1, 0.5))
                continue
            raise CouloirError(
                f"The database of sweep.storage does not answer: {_first_line(error)}",
                place=where,
                next_step="is the server running, and are name and password right?",
            ) from error
    raise AssertionError("the last try has returned or raised")


def hidden(where: str) -> str:
    """An address without its password."""
    scheme, separator, rest = where.partition("://")
    rest, question, options = rest.partition("?")
    login, at, host = rest.rpartition("@")
    kept = [option for option in options.split("&") if option.partition("=")[0].lower() not in PASSWORDS]
    return f"{scheme}{separator}{login.partition(':')[0]}{at}{host}{question}{'&'.join(kept)}"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
