"""Opens the database behind a study, and says in one line where it does not answer."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy

from msplora_search.errors import InputError
from msplora_search.search.store.address import file_of, for_optuna, hide_password, redact, require_clear
from msplora_search.search.store.engine import engine_options, is_server
from msplora_search.search.store.lean import LeanStorage
from msplora_search.search.store.patient import PatientStorage
from msplora_search.search.store.stored import StoredError

PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "pymysql": "PyMySQL",
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
}
"""What to install, where a driver's package is not called as its module."""
MISSED = 4
"""Heartbeats after which a worker is taken to be gone."""
PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds before the tables are looked for again that another process is making."""
AT_THE_SAME_MOMENT = ("already exists", "duplicate key", "unique constraint", "no such table", 'relation "')
"""What a database says to the second of two that make the same tables."""


def connect(url: str, heartbeat: int | None = None) -> optuna.storages.RDBStorage:
    """Open a storage. Raises InputError where it does not answer.

    `heartbeat`: seconds between two signs of life that a worker gives; after `MISSED` of them without one, what it
    trains counts as interrupted.
    """
    require_clear(url)
    if url.startswith("sqlite"):
        _require_file(url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of alembic and SQLAlchemy; what matters comes as an error
            return _made(url, heartbeat)
    except ImportError as error:
        refused = _without_driver(url, error)
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        refused = _no_answer(url, error)
    except (OSError, ValueError, TypeError, RuntimeError, LookupError, AssertionError) as error:
        refused = _no_answer(url, error)
    raise refused  # here, so that what the driver said, passwords and all, is not in the chain


@contextmanager
def opened(url: str, heartbeat: int | None = None) -> Iterator[optuna.storages.RDBStorage]:
    """`connect` and `answering`; its connections end with the block."""
    storage = connect(url, heartbeat)
    try:
        with answering(url):
            yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def answering(url: str) -> Iterator[None]:
    """Say in one line, as InputError, that a storage stopped to answer, or what in it is damaged."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        refused = InputError(
            f"storage {hide_password(url)}: cannot be read or written any more ({_cause(error, url)}); "
            "mend that, and the same command goes on from the last stored result"
        )
    except StoredError as error:
        refused = InputError(
            f"{file_of(url) or hide_password(url)}: is damaged, or was written by another version of "
            f"msplora-search ({error}); restore it from a copy, use that version, or name another --output"
        )
    else:
        return
    raise refused


def _made(url: str, heartbeat: int | None) -> optuna.storages.RDBStorage:
    """Where another process makes the tables at the same moment, its tables."""
    kind = PatientStorage if is_server(url) else LeanStorage
    grace = None if heartbeat is None else MISSED * heartbeat
    for pause in (*PAUSES, None):
        try:
            return kind(for_optuna(url), engine_options(url), heartbeat_interval=heartbeat, grace_period=grace)
        except sqlalchemy.exc.SQLAlchemyError as error:
            if pause is None or not any(word in str(error).lower() for word in AT_THE_SAME_MOMENT):
                raise
            time.sleep(pause)
    raise AssertionError


def _require_file(url: str) -> None:
    """Refuse a database in memory, which nobody could read afterwards."""
    try:
        named = sqlalchemy.make_url(url).database
    except (sqlalchemy.exc.SQLAlchemyError, ValueError):
        return  # told by who opens it
    if named in (None, "", ":memory:"):
        raise InputError(f"--storage {url}: names no file; it must be kept, as in sqlite:///study.db")
    if Path(str(named)).is_dir():
        raise InputError(f"--storage {url}: is a folder; name a file, as in sqlite:///{named}/study.db")


def _no_answer(url: str, error: Exception) -> InputError:
    return InputError(
        f"--storage {hide_password(url)}: does not answer ({_cause(error, url)}); give an Optuna URL such as "
        "sqlite:///study.db or postgresql://user@host/name"
    )


def _without_driver(url: str, error: ImportError) -> InputError:
    """Which package is missing: Optuna does not tell, its cause does."""
    missing = error.__cause__ if isinstance(error.__cause__, ImportError) else error
    module = (missing.name or "").split(".")[0]
    package = PACKAGES.get(module, module)
    if not package:
        return _no_answer(url, error)
    return InputError(
        f"--storage {hide_password(url)}: does not answer: its driver is missing; `pip install '{package}'`, "
        "or name another driver, such as postgresql+psycopg:// (psycopg[binary]) or mysql+pymysql:// (PyMySQL)"
    )


def _cause(error: BaseException, url: str) -> str:
    """First line of what the database itself said, without passwords."""
    deepest = error
    while isinstance(deepest.__cause__, sqlalchemy.exc.SQLAlchemyError):
        deepest = deepest.__cause__
    cause = getattr(deepest, "orig", None) or deepest
    lines = redact(str(cause).strip(), url).splitlines()
    return lines[0] if lines else type(cause).__name__
