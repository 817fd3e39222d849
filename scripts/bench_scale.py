"""How many workers one database keeps busy: a search whose trainings are waits, through PostgreSQL.

    OMP_NUM_THREADS=1 python -m scripts.bench_scale --workers 1 8 64 --trials 5000 --seconds 10 --json scale.json

Every worker is a process with a loop, a lock, heartbeats and connections of its own, as `worker` has them, and the
space of `bench_machinery.py`; only the training is a wait of so many seconds, and its metrics are made up. A crew
of w workers makes its share w / max(w) of the trials, so all take as long. The server is started here, or given by
--storage. Told are

- the seconds between the end of a trial and the start of the next (proposal and all bookkeeping; median and 99th
  percentile), what rungs and results add to a trial, and the efficiency: the part of the time in which workers
  train, from when all have trained twice, which lists the space, until the first has nothing left;
- how long a turn to ask takes: one worker after another has it, so no more trials begin than turns fit in;
- the efficiency from the first start to the last end, with what starting so many processes takes on this machine;
- the size of the database, a trial, and the processor time of all workers, a trial after their first two.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy

from msplora_search.design.pyramid import Pyramid
from msplora_search.proxy.shelf import Shelf
from msplora_search.results.records import Evaluation
from msplora_search.search.events import Event, TrialEnded, TrialStarted
from msplora_search.search.part import STRIDE, make_loop, quiet_optuna
from msplora_search.search.samplers import seed_for
from msplora_search.search.store.heart import Heart
from msplora_search.search.store.identity import Crew
from msplora_search.search.store.locks import Lock
from msplora_search.search.store.own_file import Watch
from msplora_search.search.store.sameness import open_study
from msplora_search.search.store.storage import opened
from msplora_search.search.turns import Turns
from msplora_search.settings import StudySettings
from scripts.made_up import MadeUpBench, settings_for
from tests.servers import Postgres

WARM = 2
"""Trials of a worker: at the second, the space is listed."""


@dataclass(frozen=True)
class WaitingBench(MadeUpBench):
    """A bench whose trainings take their time, and no processor."""

    seconds: float = 10.0

    def measure(
        self, pyramid: Pyramid, learning_rate: float, seed: int | None = None, shelf: Shelf | None = None
    ) -> Iterator[Evaluation]:
        """One rung after another, each in its time."""
        before = 0.0
        for evaluation in super().measure(pyramid, learning_rate, seed, shelf):
            time.sleep(self.seconds * (evaluation.rung - before))
            before = evaluation.rung
            yield evaluation


@dataclass(frozen=True)
class Told:
    """Of one worker."""

    starts: list[float]
    ends: list[float]
    shares: list[float]
    """Of a whole training, of each trial."""
    turns: list[float]
    """Seconds in which it kept the others from asking, each."""
    processor: float
    """Of all trials after the first two, seconds."""

    @property
    def between(self) -> list[float]:
        """Seconds between trials after the first two."""
        return [start - end for start, end in zip(self.starts[WARM:], self.ends[WARM - 1 :], strict=False)]

    @property
    def trials(self) -> list[float]:
        """Seconds of each, of those that were trained to the end."""
        each = zip(self.starts[WARM:], self.ends[WARM:], self.shares[WARM:], strict=True)
        return [end - start for start, end, share in each if share == 1.0]

    def trained(self, seconds: float, begin: float, end: float) -> float:
        """Seconds in which it trained, between two moments, where a whole training takes so many."""
        found = 0.0
        for start, stop, share in zip(self.starts, self.ends, self.shares, strict=True):
            inside = max(0.0, min(stop, end) - max(start, begin))
            found += seconds * share * inside / (stop - start)
        return found


@dataclass
class TimedLock:
    """Tells how long it was held."""

    lock: Lock
    held: list[float]
    since: float = 0.0

    def acquire(self, timeout: float) -> bool:
        """As the lock does."""
        got = self.lock.acquire(timeout)
        self.since = time.monotonic()
        return got

    def release(self) -> None:
        """As the lock does."""
        self.held.append(time.monotonic() - self.since)
        self.lock.release()

    def is_held(self) -> bool:
        """As the lock does."""
        return self.lock.is_held()

    def holder(self) -> str:
        """As the lock does."""
        return self.lock.holder()


def efficiency(told: list[Told], seconds: float, begin: float, end: float) -> float:
    """The part of the time of all between two moments in which they train."""
    return sum(one.trained(seconds, begin, end) for one in told) / (len(told) * (end - begin))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--trials", type=int, default=5000, help="of the largest crew")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a training")
    parser.add_argument("--samplers", nargs="+", default=["random"])
    parser.add_argument("--rule", help="of pruning; that of the study by default, by which trials are shorter")
    parser.add_argument("--storage", help="an empty database of PostgreSQL; one is started here by default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: list[dict[str, Any]] = []
    with contextlib.ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        server = None if options.storage else Postgres.create(folder / "postgres", connections=400)
        if server:
            ending.callback(server.stop)
        for sampler in options.samplers:
            for workers in options.workers:
                name = f"{sampler}-{workers}"
                url = server.fresh(name) if server else options.storage
                trials = max(5 * workers, options.trials * workers // max(options.workers))
                settings = settings_for(sampler).model_copy(update={"name": name})
                search_for = settings.search.model_copy(update={"trials": trials})
                pruning = settings.pruning.model_copy(update={"rule": options.rule or settings.pruning.rule})
                settings = settings.model_copy(update={"search": search_for, "pruning": pruning})
                found = search(settings, url, folder / name, workers, options.seconds)
                figures.append({"sampler": sampler, "workers": workers, "trials": trials, **found})
                print(
                    f"{sampler}, {workers} workers, {trials} trials: {found['between_median']:.3f} s between "
                    f"trials, 99% {found['between_99']:.3f}, of which one's turn {found['turn']:.3f}; "
                    f"a trial takes {found['trial']:.3f} s; efficiency {found['efficiency']:.1%}, with the start "
                    f"{found['with_start']:.1%} of {found['wall']:.0f} s; {found['kb_a_trial']:.1f} kB and "
                    f"{found['cpu_a_trial']:.3f} s of processor a trial", flush=True,
                )  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def search(settings: StudySettings, url: str, folder: Path, workers: int, seconds: float) -> dict[str, float]:
    """One search by so many processes."""
    with quiet_optuna(), opened(url) as common:
        open_study(settings, common)
    context = get_context("forkserver")
    context.set_forkserver_preload(["scripts.made_up"])  # what takes seconds to import
    jobs = [(settings, url, folder, worker, seconds) for worker in range(workers)]
    with context.Pool(workers, maxtasksperchild=1) as pool:
        told = pool.starmap(work, jobs, chunksize=1)
    between = np.concatenate([one.between for one in told])
    began, ended = min(one.starts[0] for one in told), max(one.ends[-1] for one in told)
    all_train = max(one.ends[WARM - 1] for one in told), min(one.ends[-1] for one in told)
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as server:
        size = server.execute(sqlalchemy.text("SELECT pg_database_size(current_database())")).scalar_one()
    engine.dispose()
    count = settings.search.trials or 1
    return {
        "between_median": float(np.median(between)),
        "between_99": float(np.quantile(between, 0.99)),
        "turn": float(np.median(np.concatenate([one.turns[WARM:] for one in told]))),
        "trial": float(np.mean(np.concatenate([one.trials for one in told]))),
        "efficiency": efficiency(told, seconds, *all_train),
        "with_start": efficiency(told, seconds, began, ended),
        "wall": ended - began,
        "kb_a_trial": size / 1000 / count,
        "cpu_a_trial": sum(one.processor for one in told) / (count - WARM * workers),
    }


def work(settings: StudySettings, url: str, folder: Path, worker: int, seconds: float) -> Told:
    """One worker's part."""
    gc.freeze()  # as the commands do
    bench = WaitingBench(settings, np.random.default_rng(worker), seconds=seconds)
    starts, ends, shares, used = list[float](), list[float](), list[float](), list[float]()
    output = folder / str(worker)
    output.mkdir(parents=True)

    def listen(event: Event) -> None:
        match event:
            case TrialStarted():
                starts.append(time.monotonic())
            case TrialEnded(record) if not record.state.needs_no_training:
                ends.append(time.monotonic())
                if len(ends) == WARM:
                    used.append(processor())
                shares.append(record.steps / bench.steps)

    with quiet_optuna(), opened(url, settings.scale.heartbeat) as common:
        study = open_study(settings, common)
        crew, turns = Crew.of_this_call(url, stays=False), Turns.of(output, url, settings.name, listen)
        held = list[float]()
        turns = replace(turns, lock=TimedLock(turns.lock, held))
        heart = Heart(common, settings.scale.heartbeat)
        seed = seed_for(settings.search, 0, STRIDE * worker)
        loop = make_loop(study, bench, [], turns, Watch(None), crew, seed, listen, heart=heart)
        going = loop.take()
        gc.freeze()
        while going:
            going = loop.take()
    return Told(starts, ends, shares, held, processor() - used[0])


def processor() -> float:
    """Seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
