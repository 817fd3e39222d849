"""Several processes of this machine at one piece of work, of which each takes what the others have not."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any

from msplora_search.errors import InputError


@dataclass(frozen=True)
class Lost:
    """A worker that ended before its work did."""

    worker: int
    exit_code: int

    def __str__(self) -> str:
        how = f"signal {-self.exit_code}" if self.exit_code < 0 else f"exit code {self.exit_code}"
        return f"worker {self.worker} ended by {how}"


def together(
    workers: int, work: Callable[..., None], arguments: tuple[Any, ...], listen: Callable[[Any], None]
) -> list[Lost]:
    """Call `work(*arguments, worker, tell)` in `workers` processes; returns when all have ended.

    Whatever a worker passes to `tell` is given to `listen` here. The workers share the processor's
    threads evenly, and end when this process does, however that happens. Returns the workers that
    were killed or crashed; an InputError of one is raised here, and ends the others.
    """
    context = get_context("spawn")  # a fork would inherit locks of running threads
    crew: dict[Connection, tuple[int, BaseProcess]] = {}
    lost: list[Lost] = []
    try:
        for worker in range(workers):
            here, there = context.Pipe(duplex=False)
            process: BaseProcess = context.Process(
                target=_work, args=(there, worker, workers, work, arguments), daemon=True
            )
            process.start()
            there.close()
            crew[here] = (worker, process)
        while crew:
            for pipe in wait(list(crew)):
                assert isinstance(pipe, Connection)
                try:
                    message = pipe.recv()
                except EOFError:
                    worker, process = crew.pop(pipe)
                    process.join()
                    if process.exitcode:
                        lost.append(Lost(worker, process.exitcode))
                    continue
                if isinstance(message, InputError):
                    raise message
                listen(message)
    finally:
        for _, process in crew.values():
            process.kill()
            process.join()
    return lost


def _work(
    pipe: Connection, worker: int, workers: int, work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started the crew stops it
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    try:
        work(*arguments, worker, pipe.send)
    except InputError as error:
        pipe.send(error)
    sys.stdout.flush()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
