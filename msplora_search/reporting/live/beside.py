"""Serves the page of a search from a process of its own, so that its training goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from msplora_search.errors import InputError

if TYPE_CHECKING:
    from msplora_search.reporting.live.study import LiveStudy

ENDED = "ended"
"""What a search tells the process beside it."""
LAST = 60.0
"""Most seconds that the process may take to its end, once it was told."""
LOOKED = 0.5
"""Seconds between two looks whether the search still lives."""


@contextmanager
def served_beside(
    output: Path, storage: str | None, given: str, port: int, say: Callable[[str], None]
) -> Iterator[Callable[[], None]]:
    """Serve the page of a search on `port`, a free one for 0, and `say` where, for as long as the context lasts.

    Gives what is to be called when the search has ended: then readers are given its end, for which leaving the
    context waits. Where it is left otherwise, or this process dies, the page ends at once. Raises InputError
    where nothing can be served.
    """
    context, told = get_context("spawn"), Event()
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, output, storage, given, port), daemon=True)
    with _without_interrupts():
        process.start()
    there.close()

    def end() -> None:
        told.set()
        with suppress(OSError):  # the page is gone, the search is not
            here.send(ENDED)

    try:
        say(f"Live: {_address(here)} (until the search ends)")
        yield end
    finally:
        with suppress(KeyboardInterrupt):  # nobody has to wait for readers
            process.join(LAST if told.is_set() else 0)
        process.kill()
        process.join()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process that is started here never hears of Ctrl-C: its parent does, and ends it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # what starts it lets them through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _address(pipe: Connection) -> str:
    """Where it is served."""
    try:
        told = pipe.recv()
    except (EOFError, OSError):
        raise InputError("--serve: the process that serves the page did not start; leave it out") from None
    if isinstance(told, InputError):
        raise told
    return str(told)


def _serve(pipe: Connection, output: Path, storage: str | None, given: str, port: int) -> None:
    from msplora_search.reporting.live.server import PageServer

    ended = Event()

    def pages() -> LiveStudy:
        from msplora_search.reporting.live.study import LiveStudy

        return LiveStudy(output, storage, given, ended)

    try:
        server = PageServer(pages, port)
    except InputError as error:
        pipe.send(error)
        return
    Thread(target=server.serve_forever, daemon=True).start()
    pipe.send(server.address)
    if _is_told(pipe):
        ended.set()
        server.wait_for_readers()
    os._exit(0)  # whatever is still being made for whoever asked


def _is_told(pipe: Connection) -> bool:
    """Wait for word of the end; False where the search died, however that happened."""
    parent = parent_process()
    assert parent is not None
    while parent.pid == os.getppid():  # which a process that the search forked cannot hide, as it can the others
        ready = wait([pipe, parent.sentinel], LOOKED)
        if pipe in ready:
            with suppress(EOFError, OSError):
                return bool(pipe.recv() == ENDED)
        if ready:
            return False
    return False
