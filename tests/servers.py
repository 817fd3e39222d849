"""Real servers for tests: a PostgreSQL of one's own, in a temporary folder, on a free port of this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

HOST = "127.0.0.1"
ACCOUNTS = ("postgres", "nobody")
"""Who runs it where the tests run as root, whom PostgreSQL refuses to serve."""
FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
NAMESPACES = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Before a command that is to have a host name and process numbers of its own."""
MUST_RUN = bool(os.environ.get("CI"))
"""Elsewhere a test whose server is not installed is skipped."""


def missing(what: str) -> Any:
    """Skip the test for want of a program; where the whole suite must run, fail."""
    return pytest.fail(what) if MUST_RUN else pytest.skip(what)


def free_port() -> int:
    """One that nobody listened on a moment ago."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


def program(name: str) -> str | None:
    """A program of PostgreSQL's server."""
    folders = sorted((str(p) for pattern in FOLDERS for p in Path("/").glob(pattern[1:])), reverse=True)
    return next((found for folder in (*folders, None) if (found := shutil.which(name, path=folder))), None)


@dataclass
class Postgres:
    """A server with one user and one database, both `msplora`, and no password."""

    folder: Path
    port: int
    connections: int = 100
    address: str | None = None
    """Where it serves beside loopback, to the hosts of that network."""
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def create(cls, folder: Path, connections: int = 100, address: str | None = None) -> Postgres:
        """Make its files and start it. Skips the test where it is not installed."""
        initdb = program("initdb")
        if initdb is None:
            missing("PostgreSQL's server is not installed; Debian's package is called postgresql")
        made = cls(folder, free_port(), connections, address)
        folder.mkdir()
        made._own(folder)
        words = [initdb, "-D", folder, "-U", "msplora", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        made._call([str(word) for word in words])
        if address is not None:
            with (folder / "pg_hba.conf").open("a") as known:
                known.write(f"host all all {address}/30 trust\n")
        made.start()
        made.ask("CREATE DATABASE msplora", "postgres")
        return made

    @property
    def url(self) -> str:
        """Of its database."""
        return self.url_of("msplora")

    def url_of(self, database: str, address: str = HOST) -> str:
        """Of any of its databases."""
        return f"postgresql+psycopg://msplora@{address}:{self.port}/{database}"

    def start(self) -> None:
        """Serve, once it answers."""
        server = program("postgres")
        assert server is not None
        settings = {
            "listen_addresses": ",".join(filter(None, (HOST, self.address))), "unix_socket_directories": "",
            "max_connections": str(self.connections), "shared_buffers": "64MB", "fsync": "off",
        }  # fmt: skip
        words = [server, "-D", str(self.folder), "-p", str(self.port)]
        words += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, **self._account())
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                self.ask("SELECT 1", "postgres")
            except sqlalchemy.exc.OperationalError:
                time.sleep(0.1)
            else:
                return
        pytest.fail((self.folder / "server.log").read_text())

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT breaks all connections in order, SIGQUIT at once."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def fresh(self, name: str) -> str:
        """The address of a new, empty database."""
        self.ask(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def ask(self, what: str, database: str = "msplora") -> list[Any]:
        """The rows of a statement."""
        engine = sqlalchemy.create_engine(
            self.url_of(database), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as server:
            found = server.execute(sqlalchemy.text(what))
            return [tuple(row) for row in found] if found.returns_rows else []

    def _call(self, words: list[str]) -> None:
        done = subprocess.run(words, capture_output=True, text=True, check=False, **self._account())
        assert done.returncode == 0, done.stderr

    def _own(self, folder: Path) -> None:
        """Give the folder to who runs the server, and let that one come to it."""
        if account := self._account():
            os.chown(folder, account["user"], account["group"])
            for above in folder.parents:
                if above.stat().st_uid == os.getuid() and above != Path("/"):
                    above.chmod(above.stat().st_mode | 0o011)

    def _account(self) -> dict[str, Any]:
        if os.getuid() != 0:
            return {}
        for name in ACCOUNTS:
            try:
                found = pwd.getpwnam(name)
            except KeyError:
                continue
            return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": [], "cwd": "/"}
        return {}


@dataclass(frozen=True)
class Host:
    """Another host: a network, a name and process numbers of its own, and a cable to this machine."""

    name: str

    @classmethod
    def create(cls, name: str) -> Host:
        """Skips the test where the system does not allow it."""
        made = cls(name)
        made.remove()
        made._ip("netns", "add", name)
        made._ip("link", "add", made.cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        made._ip("address", "add", f"{made.here}/30", "dev", made.cable)
        made._ip("link", "set", made.cable, "up")
        made._ip("-n", name, "address", "add", f"{made.there}/30", "dev", "eth0")
        for device in ("lo", "eth0"):
            made._ip("-n", name, "link", "set", device, "up")
        return made

    @property
    def cable(self) -> str:
        """This machine's end of it."""
        return f"cable-{self.name}"

    @property
    def here(self) -> str:
        """This machine's address on the cable."""
        return "10.213.7.1"

    @property
    def there(self) -> str:
        """The other host's."""
        return "10.213.7.2"

    @property
    def words(self) -> tuple[str, ...]:
        """Before a command that is to run there."""
        words = ("ip", "netns", "exec", self.name, *NAMESPACES)
        return (*words, "sh", "-c", f'hostname {self.name}; exec "$@"', "sh")

    def cut(self) -> None:
        """Pull the cable out: nothing is refused, nothing comes through."""
        self._ip("link", "set", self.cable, "down")

    def mend(self) -> None:
        """Put it in again."""
        self._ip("link", "set", self.cable, "up")

    def remove(self) -> None:
        """With its cable."""
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", self.cable], capture_output=True, check=False)

    def _ip(self, *words: str) -> None:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"the system gives no network of its own to this user: {done.stderr.strip()}")


def add_node(cluster: Any) -> Any:
    """Let a Ray cluster have a node of one processor more."""
    return cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
