"""Serves the page of a study on this machine alone: nothing but that page, and whether it changed."""

from __future__ import annotations

import json
import os
import select
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from msplora_search.errors import InputError
from msplora_search.reporting.html.live import Live

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
"""By which this machine is asked for the page. Another name that leads here is that of a foreign site, whose own
page would then be allowed to read this one."""
HELD, LOOKS = 20.0, 0.5
"""Seconds that a question for the next version is kept waiting for one, and between two looks for it."""
READING, TOLD = 5.0, 1.5
"""Seconds without a question after which nobody reads the page any more: while it changes; after its end."""
LONGEST = 30.0
"""Most seconds that readers are given to fetch the last page."""
HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""No page of another site frames this one, or loads it as something else."""


class Pages(Protocol):
    """What is served."""

    def now(self) -> Live:
        """What there is to know of the page, without making it."""

    def page(self) -> tuple[Live, bytes]:
        """The page."""


class PageServer(ThreadingHTTPServer):
    """Listens on `port`, a free one for 0. Raises InputError where it cannot."""

    allow_reuse_address = os.name == "posix"  # elsewhere two could have one port
    request_queue_size = 64
    daemon_threads = True

    def __init__(self, pages: Callable[[], Pages], port: int) -> None:
        self._pages: Pages | None = None
        self._make, self._lock = pages, threading.Lock()
        self._asking, self._asked = 0, -READING
        self._told = threading.Event()
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise InputError(
                f"--port {port}: cannot be served on {HOST} ({error.strerror or error}); name another, or none"
            ) from None

    def server_bind(self) -> None:
        """Without asking anybody for the name of this machine, which may take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    @property
    def address(self) -> str:
        """What to type into a browser."""
        return f"http://{HOST}:{self.server_port}/"

    @property
    def pages(self) -> Pages:
        """Made when somebody asks for the first time: what makes a page takes seconds to import."""
        with self._lock:
            if self._pages is None:
                self._pages = self._make()
            return self._pages

    @contextmanager
    def asked(self) -> Iterator[None]:
        """While a question is answered."""
        with self._lock:
            self._asking += 1
        try:
            yield
        finally:
            with self._lock:
                self._asking, self._asked = self._asking - 1, time.monotonic()

    def wait_for_readers(self) -> None:
        """Until whoever reads the page has fetched the last one; at once where nobody does."""
        began = time.monotonic()
        while time.monotonic() < began + LONGEST:
            with self._lock:
                busy, since = self._asking > 0, time.monotonic() - self._asked
            patience = TOLD if self._told.is_set() else READING
            if not busy and since > patience:
                return
            time.sleep(0.05)

    def told(self, live: Live) -> None:
        """A page was sent."""
        if live.last:
            self._told.set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away; what is a fault of this program comes with its traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the page, and for its version."""

    server: PageServer
    timeout = 30
    server_version, sys_version = "msplora-search", ""

    def do_GET(self) -> None:
        """Send the page, or its version."""
        with self.server.asked():
            self._answer()

    def do_HEAD(self) -> None:
        """Send what stands above either."""
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Keep the terminal for the search."""

    def _answer(self) -> None:
        if self._host() not in NAMES:
            self._refuse(
                HTTPStatus.FORBIDDEN, f"This page is for this machine alone: ask for {self.server.address}\n"
            )
            return
        try:
            asked = urlsplit(self.path)
        except ValueError:
            asked = urlsplit("?")
        if asked.path == "/":
            self._page()
        elif asked.path == "/version":
            self._version(parse_qs(asked.query).get("after", [""])[0])
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"There is nothing but {self.server.address}\n")

    def _host(self) -> str:
        """The name that the browser has for this machine."""
        named, *others = self.headers.get_all("Host") or [""]
        return "" if others else named.rpartition(":")[0].lower() if ":" in named else named.lower()

    def _page(self) -> None:
        live, body = self.server.pages.page()
        tag = f'"{live.version}"'
        known = [tag.strip().removeprefix("W/") for tag in self.headers.get("If-None-Match", "").split(",")]
        head = {"ETag": tag, "Cache-Control": "no-cache"}
        if tag in known:
            self._send(HTTPStatus.NOT_MODIFIED, head)
        else:
            self._send(HTTPStatus.OK, {**head, "Content-Type": "text/html; charset=utf-8"}, body)
        self.server.told(live)

    def _version(self, after: str) -> None:
        """As JSON, at once or, where the asker has it, when there is another one."""
        pages, end = self.server.pages, time.monotonic() + HELD
        while (live := pages.now()).version == after and not live.last and time.monotonic() < end:
            if self._gone(LOOKS):
                return
        body = json.dumps({"version": live.version, "last": live.last}).encode("ascii")
        self._send(HTTPStatus.OK, {"Content-Type": "application/json", "Cache-Control": "no-store"}, body)

    def _gone(self, seconds: float) -> bool:
        """Wait; whether the asker went away meanwhile."""
        told, *_ = select.select([self.connection], [], [], seconds)
        return bool(told) and not self.connection.recv(1, socket.MSG_PEEK)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._send(status, {"Content-Type": "text/plain; charset=utf-8"}, why.encode("utf-8"))

    def _send(self, status: HTTPStatus, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**HEADERS, **headers}.items():
            self.send_header(name, value)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
