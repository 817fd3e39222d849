"""Several processes of this machine at one piece of work, of which each takes what the others have not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import TYPE_CHECKING, Any

from msplora_search.errors import InputError

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

VISIBLE = "CUDA_VISIBLE_DEVICES"


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
    threads evenly, take the CUDA devices in turn where there are any, and end when this process does,
    however that happens. Returns the workers that were killed or crashed; an InputError of one is
    raised here, and ends the others.
    """
    context = _context(work)
    crew: dict[Connection, tuple[int, BaseProcess]] = {}
    lost: list[Lost] = []
    try:
        for worker in range(workers):
            here, there = context.Pipe(duplex=False)
            process: BaseProcess = context.Process(
                target=_work, args=(there, worker, workers, work, arguments, dict(os.environ)), daemon=True
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


def _context(work: Callable[..., None]) -> ForkServerContext | SpawnContext:
    """How processes are started: from one that has imported all that takes seconds, where the system can.

    A fork of this process would inherit the locks of its threads.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([work.__module__])
    return context


def _work(
    pipe: Connection,
    worker: int,
    workers: int,
    work: Callable[..., None],
    arguments: tuple[Any, ...],
    environment: dict[str, str],
) -> None:
    os.environ.clear()  # what it was when the first worker was started
    os.environ.update(environment)
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started the crew stops it
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    if devices := _cuda_devices():
        os.environ[VISIBLE] = devices[worker % len(devices)]
    try:
        work(*arguments, worker, pipe.send)
    except InputError as error:
        pipe.send(error)


def _cuda_devices() -> list[str]:
    """The devices that this process may use; asked before any is."""
    import torch

    named = [device.strip() for device in os.environ.get(VISIBLE, "").split(",")]
    return [device for device in named if device] or [str(i) for i in range(torch.cuda.device_count())]


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
