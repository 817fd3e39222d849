"""A server of pages in this process, and what a program asks of it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from msplora_search.reporting.html.live import Live
from msplora_search.reporting.live.server import HOST, Pages, PageServer


class Shown:
    """Pages that the test changes."""

    def __init__(self, live: Live, body: str) -> None:
        self.live, self.body = live, body

    def show(self, live: Live, body: str) -> None:
        """Another page from now on."""
        self.body, self.live = body, live

    def now(self) -> Live:
        return self.live

    def page(self) -> tuple[Live, bytes]:
        return self.live, self.body.encode("utf-8")


@contextmanager
def serving(pages: Pages) -> Iterator[PageServer]:
    """For as long as the context lasts."""
    with PageServer(lambda: pages, 0) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


def ask(
    port: int, path: str = "/", method: str = "GET", host: str | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """An answer and its body; `host`: what stands in the header of that name."""
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host if host is not None else f"{HOST}:{port}")
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer, answer.read()


def version_of(port: int, after: str = "") -> dict[str, Any]:
    """What the page itself asks for."""
    told: dict[str, Any] = json.loads(ask(port, f"/version?after={after}")[1])
    return told
