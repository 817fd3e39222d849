"""Several processes of this machine at one piece of work, of which each takes what the others have not."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import TYPE_CHECKING, Any

from msplora_search.errors import InputError, WorkerStoppedError
from msplora_search.search.store.failure import failure_of
from msplora_search.stopping import last_signal, listen_for_signals

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

VISIBLE = "CUDA_VISIBLE_DEVICES"
KEEPING = 4.5
"""Seconds in which workers that are stopped keep what they train."""
LARGEST = 2**28
"""Bytes of a message; what claims to be longer is none."""


@dataclass(frozen=True)
class Lost:
    """A worker that ended before its work did."""

    worker: int
    exit_code: int
    why: str = ""
    """What it said last, where it could not go on."""
    stopped: bool = False
    """Whether it stopped by itself, for what it began failed; who takes its place would do no better."""

    def __str__(self) -> str:
        if self.why:
            return f"worker {self.worker} ended by {self.why}"
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
                match message := _receive(pipe):
                    case _Ended(why, garbled, stopped):
                        worker, process = crew.pop(pipe)
                        if garbled:
                            process.kill()
                        process.join()
                        if process.exitcode or garbled:
                            lost.append(Lost(worker, process.exitcode or 0, why, stopped))
                    case InputError():
                        raise message
                    case _:
                        listen(message)
    finally:
        _end([process for _, process in crew.values()])
    return lost


def _end(processes: list[BaseProcess]) -> None:
    """Let them keep what they have, and end those that take long."""
    for process in processes:
        process.terminate()
    end = time.monotonic() + KEEPING
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
        process.kill()
        process.join()


@dataclass(frozen=True)
class _Ended:
    """No more messages of a worker."""

    why: str = ""
    """What it could not go on without."""
    garbled: bool = False
    """Whether its last message broke off, or was none."""
    stopped: bool = False


def _receive(pipe: Connection) -> Any:
    """The next message of a worker; `_Ended` after the last."""
    try:
        data = pipe.recv_bytes(LARGEST)
    except EOFError:
        return _Ended()
    except OSError:  # it was killed in the middle of a message
        return _Ended(garbled=True)
    try:
        return pickle.loads(data)
    except Exception:  # whatever the bytes make pickle do
        return _Ended(garbled=True)


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

    listen_for_signals()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started the crew stops it
    Thread(target=_end_with_parent, daemon=True).start()
    gc.freeze()  # what was imported is a million objects, and stays
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    if devices := _cuda_devices():
        os.environ[VISIBLE] = devices[worker % len(devices)]
    try:
        _told(lambda: work(*arguments, worker, pipe.send), pipe)
    except KeyboardInterrupt:
        os._exit(1)  # what it trained is kept


def _told(work: Callable[[], None], pipe: Connection) -> None:
    """Work, and tell what it could not go on without."""
    try:
        work()
    except InputError as error:
        with suppress(OSError):  # nobody listens any more
            pipe.send(error)
    except WorkerStoppedError as error:
        with suppress(OSError):
            pipe.send(_Ended(str(error), stopped=True))
        sys.exit(1)
    except Exception as error:
        if last_signal():
            os._exit(1)  # it could not even keep what it trained
        if not failure_of(error).passes:
            raise  # a fault of this program: with its traceback
        with suppress(OSError):
            pipe.send(_Ended(f"{type(error).__name__}: {error}".splitlines()[0]))
        sys.exit(1)


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
