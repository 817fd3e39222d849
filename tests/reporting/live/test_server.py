"""What is served, to whom, and what is refused."""

from __future__ import annotations

import socket
import time
from threading import Thread

import pytest

from msplora_search.errors import InputError
from msplora_search.reporting.html.live import Live
from msplora_search.reporting.live import server as module
from msplora_search.reporting.live.server import HOST, PageServer
from tests.reporting.live.serving import Shown, ask, serving, version_of

PAGES = Shown(Live("It goes on.", "a1"), "<p>the page: ü</p>")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1234", 200), ("localhost", 200), ("LOCALHOST:80", 200), ("evil.example", 403), ("", 403),
        ("127.0.0.1.evil.example:80", 403), ("localhost.evil.example", 403), ("[::1]:80", 403), ("0.0.0.0", 403),
        ("evil.example:127.0.0.1", 403), ("evil.example\x00localhost", 403),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/version?after="])
def test_only_this_machine_by_its_own_name_is_answered(host: str, status: int, path: str) -> None:
    with serving(PAGES) as server:
        answer, body = ask(server.server_port, path, host=host)
    assert answer.status == status
    assert (b"the page" in body or b"a1" in body) == (status == 200)


def test_two_names_are_none() -> None:
    with serving(PAGES) as server, socket.create_connection((HOST, server.server_port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.0 403 ")


@pytest.mark.parametrize(
    "path",
    [
        "/index.html",
        "/study.db",
        "/../study.db",
        "/%2e%2e/study.db",
        "//etc/passwd",
        "/.",
        "http://[",
        "/version/",
    ],
)
def test_nothing_is_served_but_the_page(path: str) -> None:
    with serving(PAGES) as server, socket.create_connection((HOST, server.server_port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        said = connection.recv(10_000)
    assert said.split()[1] in (b"404", b"400")
    assert b"the page" not in said


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"])
def test_nothing_but_reading_is_served(method: str) -> None:
    with serving(PAGES) as server:
        answer, body = ask(server.server_port, method=method)
    assert answer.status == 501
    assert b"the page" not in body


def test_head_is_get_without_the_page_and_what_is_known_is_not_sent_again() -> None:
    with serving(PAGES) as server:
        whole, body = ask(server.server_port)
        head, nothing = ask(server.server_port, method="HEAD")
        known, empty = ask(server.server_port, If_None_Match='"other", W/"a1"')
        other, again = ask(server.server_port, If_None_Match='"other"')
    assert body == again == PAGES.page()[1]
    assert nothing == empty == b""
    assert (whole.status, head.status, known.status, other.status) == (200, 200, 304, 200)
    assert whole.getheader("Content-Length") == head.getheader("Content-Length") == str(len(body))
    assert whole.getheader("ETag") == known.getheader("ETag") == '"a1"'
    assert whole.getheader("Content-Type") == "text/html; charset=utf-8"
    for answer in (whole, head, known):
        assert answer.getheader("Content-Security-Policy") == "frame-ancestors 'none'"
        assert answer.getheader("Cross-Origin-Resource-Policy") == "same-origin"
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert answer.getheader("Access-Control-Allow-Origin") is None


def test_who_knows_the_version_is_told_of_the_next() -> None:
    pages = Shown(Live("It goes on.", "a1"), "")
    with serving(pages) as server:
        assert version_of(server.server_port) == {"version": "a1", "last": False}
        told: list[object] = []
        asking = Thread(target=lambda: told.append(version_of(server.server_port, "a1")))
        asking.start()
        asking.join(1)
        assert asking.is_alive()
        pages.show(Live("It ended.", "b2", last=True), "")
        asking.join(10)
        assert told == [{"version": "b2", "last": True}]
        assert version_of(server.server_port, "b2") == {"version": "b2", "last": True}  # at once: none follows


def test_who_goes_away_keeps_nobody_waiting() -> None:
    with serving(PAGES) as server:
        with socket.create_connection((HOST, server.server_port)) as connection:
            connection.sendall(b"GET /version?after=a1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(0.2)
            assert server._asking == 1
        end = time.monotonic() + 10
        while server._asking:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_server_waits_for_its_readers_and_for_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READING", 3.0)
    monkeypatch.setattr(module, "TOLD", 0.3)
    pages = Shown(Live("It goes on.", "a1"), "")
    with serving(pages) as server:
        assert seconds_to_end(server) < 1
        ask(server.server_port)  # who is about to ask for the version
        pages.show(Live("It ended.", "b2", last=True), "")
        waiting = Thread(target=server.wait_for_readers)
        waiting.start()
        waiting.join(1)
        assert waiting.is_alive()
        ask(server.server_port)
        waiting.join(2)
        assert not waiting.is_alive()


def seconds_to_end(server: PageServer) -> float:
    began = time.monotonic()
    server.wait_for_readers()
    return time.monotonic() - began


def test_a_port_that_is_taken_is_one_line() -> None:
    with (
        serving(PAGES) as server,
        pytest.raises(InputError, match=rf"--port {server.server_port}: .*; name another"),
    ):
        PageServer(lambda: PAGES, server.server_port)


def test_it_listens_on_loopback_alone() -> None:
    with serving(PAGES) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"
