"""A search on a Ray cluster: Ray places the workers, the storage holds the truth.

A worker is a Ray task that takes trials until none is left, as one of another machine does. Tasks for which there
is no room wait in Ray's queue, so nodes that join get them; what a node trained when it was lost is noticed by its
heartbeat, and goes on elsewhere.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msplora_search.errors import InputError, WorkerStoppedError
from msplora_search.proxy.workbench import Workbench
from msplora_search.scale.crew import KEEPING
from msplora_search.scale.relay import Relay
from msplora_search.scale.search import wanted
from msplora_search.search.events import Event, Listener, Notice, Waiting, WorkerLost
from msplora_search.search.part import work_off
from msplora_search.search.preparation import describe
from msplora_search.search.store.address import hide_password
from msplora_search.search.store.engine import is_postgres
from msplora_search.search.store.failure import failure_of
from msplora_search.search.store.folder import only_run
from msplora_search.search.store.identity import Crew
from msplora_search.search.study import output_of, require_compatible
from msplora_search.settings.models import ScaleSettings, StudySettings
from msplora_search.stopping import listen_for_signals

LOOKED = 1.0
"""Seconds between two looks at the cluster."""
ANSWER = 10.0
"""Seconds to wait for a cluster."""
LOSSES = 10
"""Workers lost in a row, without a trial coming to its end, after which it is no use to start others."""


def run_on_ray(
    settings: StudySettings,
    output: Path | None,
    storage: str | None,
    address: str | None,
    workers: int | None,
    listen: Listener,
    retry_failed: bool = False,
) -> Path:
    """`run_study` with its trials on the nodes of a Ray cluster.

    `address`: as `ray.init` takes it; None is the cluster that RAY_ADDRESS names, else one is started on this
    machine. `workers`: at a time, those of the study unless given, else as many as there is room for. Every node
    has this program installed, sees model and data under the same paths, and reaches the storage: PostgreSQL.

    Raises InputError as `run_study` does, where there is no such cluster, and where workers are lost again and
    again; WorkerStoppedError where all have stopped.
    """
    workers = wanted(settings, workers)
    _require_reachable(storage)
    ray = _library()
    output = output_of(settings, output)
    require_compatible(settings, output, storage)
    with only_run(output), _connected(ray, address):
        describe(settings, output)
        arguments = settings, storage, Crew.of_this_call(storage, retry_failed)
        share = Share.on(ray, settings.scale)
        _Cluster(ray, share, workers, arguments, Relay(listen), listen).work_off()
    return output


@dataclass(frozen=True)
class Share:
    """What a worker takes of a node."""

    cpus: float
    gpus: float

    @classmethod
    def on(cls, ray: Any, scale: ScaleSettings) -> Share:
        """As the study says; of devices, where it does not, one where the cluster has any now."""
        gpus = scale.gpus
        return cls(scale.cpus, float(any(node.get("GPU", 0) for node in _nodes(ray))) if gpus is None else gpus)

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")

    def room(self, node: Mapping[str, float]) -> int:
        """Workers that a node with these resources holds."""
        fits = node.get("CPU", 0) / self.cpus
        return int(min(fits, node.get("GPU", 0) / self.gpus) if self.gpus else fits)


@dataclass
class _Cluster:
    """The workers on the cluster."""

    ray: Any
    share: Share
    workers: int | None
    """At a time; None is as many as there is room for."""
    arguments: tuple[StudySettings, str | None, Crew]
    relay: Relay
    listen: Listener
    _placed: set[Any] = field(default_factory=set, init=False)
    _numbers: Iterator[int] = field(default_factory=count, init=False)
    _lost: int = field(default=0, init=False)
    """In a row."""
    _stopped: int = field(default=0, init=False)
    """By themselves; who took their place would do no better."""
    _told: bool = field(default=False, init=False)

    def work_off(self) -> None:
        """Keep as many at work as are wanted, until one finds that nothing is left."""
        post = self._post()
        try:
            while True:
                self._place(post)
                ended, _ = self.ray.wait(list(self._placed), timeout=LOOKED)
                self._pass_on(post)
                if any(self._is_done(one) for one in ended):
                    break
        finally:
            self._end(post)
        self.relay.end()

    def _place(self, post: Any) -> None:
        """Start those that are missing; Ray makes those wait for which there is no room."""
        missing = self._wanted() - self._stopped - len(self._placed)
        if missing <= 0:
            return
        options = {"num_cpus": self.share.cpus, "num_gpus": self.share.gpus, "scheduling_strategy": "SPREAD"}
        task = self.ray.remote(max_retries=0, max_calls=1, **options)(take_part_on_node)
        threads = max(1, int(self.share.cpus))
        self._placed |= {task.remote(*self.arguments, next(self._numbers), threads, post) for _ in range(missing)}

    def _wanted(self) -> int:
        """How many workers there are to be; at least one, so that a cluster that grows by demand does."""
        room = sum(self.share.room(node) for node in _nodes(self.ray))
        if not room and not self._told:
            self._told = True
            self.listen(Waiting(f"for a node with {self.share}, which no node of the cluster has"))
        return self.workers or max(1, room)

    def _post(self) -> Any:
        """Where workers put what they tell; on the node of this process, so that it lives as long."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(self.ray.get_runtime_context().get_node_id(), soft=False)
        return self.ray.remote(num_cpus=0, scheduling_strategy=here)(Mailbox).remote()

    def _pass_on(self, post: Any) -> None:
        for event in self.ray.get(post.take.remote()):
            self.relay(event)

    def _is_done(self, worker: Any) -> bool:
        """Whether an ended worker found nothing left; else it was lost, or stopped by itself, as others did not.

        Raises its InputError, and WorkerStoppedError where it was the last.
        """
        self._placed.remove(worker)
        try:
            refused = self.ray.get(worker)
        except self.ray.exceptions.RayTaskError as error:
            if not failure_of(error.cause).passes:
                raise
            self._lose(str(error.cause).splitlines()[0])
            return False
        except self.ray.exceptions.RayError as error:
            self._lose(type(error).__name__)
            return False
        if isinstance(refused, WorkerStoppedError) and self._placed:
            self._stopped += 1
            self.listen(Notice(f"a worker on the cluster stops: {refused}"))  # the others may go on for hours
            return False
        if refused is not None:
            raise refused
        return True

    def _lose(self, why: str) -> None:
        self._lost = 1 if self.relay.advanced else self._lost + 1
        self.relay.advanced = False
        self.listen(WorkerLost(f"a worker on the cluster ended by {why}"))
        if self._lost >= LOSSES:
            raise InputError(
                f"{LOSSES} workers on the cluster ended, the last by {why}, and no trial came to its end; a "
                "larger scale.cpus or scale.gpus leaves more memory to each"
            )

    def _end(self, post: Any) -> None:
        """Let those that are left keep what they have."""
        for worker in self._placed:
            self.ray.cancel(worker)
        if self._placed:
            self.ray.wait(list(self._placed), num_returns=len(self._placed), timeout=KEEPING)
        self._pass_on(post)


class Mailbox:
    """An actor of Ray's, in which workers leave what they tell."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def put(self, event: Event) -> None:
        """From a worker."""
        self._events.append(event)

    def take(self) -> list[Event]:
        """All that came since the last time, in the order of each worker."""
        events, self._events = self._events, []
        return events


def take_part_on_node(
    settings: StudySettings, storage: str, crew: Crew, worker: int, threads: int, post: Any
) -> InputError | WorkerStoppedError | None:
    """One worker's part, in a process of Ray's; what it was refused for, or stopped by."""
    import ray
    import torch

    listen_for_signals()  # Ray cancels by SIGINT
    torch.set_num_threads(threads)
    last: list[Any] = []

    def tell(event: Event) -> None:
        last[:] = [post.put.remote(event)]  # who waited for an answer would give up its place meanwhile

    with TemporaryDirectory(prefix="msplora-search-") as folder:
        try:
            work_off(Workbench.load(settings), Path(folder), storage, crew, worker, tell)
        except (InputError, WorkerStoppedError) as error:
            return error
        finally:
            if last:
                ray.wait(last, timeout=KEEPING)
    return None


def _nodes(ray: Any) -> list[dict[str, float]]:
    """Resources of those that are alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _require_reachable(storage: str | None) -> None:
    if storage is None or not is_postgres(storage):
        named = "is missing" if storage is None else f"{hide_password(storage)} is not PostgreSQL"
        raise InputError(
            f"--storage: {named}; the nodes of a cluster need one that all reach, such as "
            "postgresql+psycopg://user@host/name"
        )


def _library() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InputError('--engine ray: Ray is not installed; pip install "msplora-search[ray]"') from None
    return ray


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """A connection to the cluster. Raises InputError where it is not there."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _require_answer(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"--ray-address {address}: {str(error).splitlines()[0]}") from None
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)  # Ray's own end the process at once
    try:
        yield
    finally:
        ray.shutdown()


def _require_answer(address: str | None) -> None:
    """Raise OSError where nobody listens at a HOST:PORT, for which Ray itself waits some minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal() and "://" not in host:
        socket.create_connection((host, int(port)), ANSWER).close()
