"""How a database is connected to: with an end to every wait, so that a silent server hangs nothing."""

from __future__ import annotations

import logging
from typing import Any

import sqlalchemy
from sqlalchemy.engine import make_url

ANSWER, STATEMENT = 10, 120
"""Seconds to wait for a connection, and for what is asked on it."""
LIBPQ = {
    "connect_timeout": ANSWER,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 1000 * STATEMENT // 2,
    "options": f"-c statement_timeout={1000 * STATEMENT}",
}
"""PostgreSQL's manual, 34.1.2; what the address itself says of these stays."""

# Of a connection that cannot even be closed it prints a traceback; what is wrong with the database is raised, too.
logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)


def is_server(url: str) -> bool:
    """Whether a database is reached over a network, and may be there again after it was gone."""
    return not make_url(url).drivername.startswith("sqlite")


def is_postgres(url: str) -> bool:
    """Whether it is PostgreSQL."""
    return make_url(url).get_backend_name() == "postgresql"


def engine_options(url: str) -> dict[str, Any]:
    """What SQLAlchemy is told of a database."""
    address = make_url(url)
    if not is_server(url):
        return {"connect_args": {"timeout": 60}}
    told: dict[str, Any] = {}
    if is_postgres(url) and address.get_driver_name() in ("psycopg", "psycopg2"):
        told = {name: value for name, value in LIBPQ.items() if name not in address.query}
    elif address.get_backend_name() in ("mysql", "mariadb"):
        told = {"connect_timeout": ANSWER}
    return {"connect_args": told, "pool_pre_ping": True}


def engine_for(url: str) -> sqlalchemy.Engine:
    """For a connection of one's own, which ends when it is closed; each statement is a transaction."""
    told = {name: value for name, value in engine_options(url).items() if name == "connect_args"}
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT", **told)
