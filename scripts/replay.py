"""Searches replayed on a table: the program's own loop and rules, with the training alone looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from heapq import heappop, heappush
from pathlib import Path
from threading import Condition

import numpy as np
import optuna
from numpy.typing import NDArray

from msplora_search.design.costs import Costs
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.proxy.shelf import Shelf
from msplora_search.proxy.training import DivergedError
from msplora_search.results import pareto
from msplora_search.results.comparing import regret
from msplora_search.results.records import Configuration, Evaluation, State, TrialRecord
from msplora_search.search.events import Event, TrialEnded
from msplora_search.search.part import make_loop, quiet_optuna
from msplora_search.search.samplers import seed_for
from msplora_search.search.store.identity import Crew
from msplora_search.search.store.own_file import Watch
from msplora_search.search.turns import Turns
from msplora_search.settings.models import StudySettings
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import metric
from scripts.tables import Table

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TableTask:
    """What a search knows of a table's task."""

    chance: float
    judges: tuple[Judge, Judge | None]


@dataclass(frozen=True, eq=False)
class TableBench:
    """A bench that, of the table, hands out what a training would have shown by then."""

    settings: StudySettings
    table: Table
    seed: int
    """Place among the table's seeds of the one that the search trains with; its repeats take the next ones."""
    early: int | None = None
    """How many validation examples, the first, are looked at before the end; None is all of them."""
    rates: tuple[float, ...] | None = None
    """Those that the space holds; None is all of the table's."""
    rate_of: Callable[[Pyramid, float], float] = lambda _, rate: rate
    """The rate that a pyramid is trained at, where another is proposed for all."""
    wait: Callable[[float], None] = lambda _: None
    """Told the steps that a training takes, before it shows what they led to."""

    @cached_property
    def task(self) -> TableTask:
        """What a search reads of it: a prediction is whether it is right."""
        validation, judging = (
            Judge(metric("accuracy"), np.ones(part.shape[-1], dtype=np.int64))
            for part in (self.table.validation, self.table.judging)
        )
        return TableTask(self.table.chance, (validation, judging))

    @property
    def steps(self) -> int:
        """Of a proxy."""
        return self.table.steps[-1]

    @property
    def head_params(self) -> int:
        """Not kept."""
        return 0

    def space(self) -> SearchSpace:
        """Of the table."""
        return replace(self.table.space(), learning_rate=self.rates or self.table.rates)

    def adapter_params(self, pyramid: Pyramid) -> int:
        """In closed form: those of rank 1 are known."""
        return self.table.unit * pyramid.rank_units

    def costs(self, pyramid: Pyramid) -> Costs:
        """Of which parameters alone are known."""
        return Costs(self.adapter_params(pyramid))

    def place(self, pyramid: Pyramid, learning_rate: float) -> tuple[int, int]:
        """Among the table's pyramids and rates, of what is trained for a proposal."""
        return self.table.place[pyramid], self.table.rates.index(self.rate_of(pyramid, learning_rate))

    def measure(
        self, pyramid: Pyramid, learning_rate: float, seed: int | None = None, shelf: Shelf | None = None
    ) -> Iterator[Evaluation]:
        """One rung after another. Raises DivergedError where the training did, KeyError for what is not there."""
        table, (validation, judging) = self.table, self.task.judges
        assert judging is not None
        further = 0 if seed is None else seed - self.settings.search.seed
        if not 0 <= further < len(table.seeds):
            raise KeyError(f"seed {seed} is not in the table")
        there = *self.place(pyramid, learning_rate), (self.seed + further) % len(table.seeds)
        before = 0
        for rung, step in enumerate(table.steps):
            if table.rungs[rung] not in self.settings.proxy.rungs:
                continue
            self.wait(step - before)
            before = step
            if np.isnan(table.losses[*there, rung]):
                raise DivergedError(f"by step {step}")
            ends = rung == len(table.rungs) - 1
            looked_at = None if ends else self.early
            measured = validation.measure(table.validation[*there, rung, :looked_at].astype(np.int64))
            judged = judging.measure(table.judging[there].astype(np.int64)) if ends else None
            yield Evaluation(
                **vars(measured),
                rung=table.rungs[rung],
                step=step,
                loss=float(table.losses[*there, rung]),
                judged=judged,
            )


@dataclass(frozen=True, eq=False)
class Replay:
    """A finished replay."""

    bench: TableBench
    ended: tuple[TrialRecord, ...]
    """Trials in the order in which they ended; one that was stopped and went on is there twice."""

    @property
    def trained(self) -> list[TrialRecord]:
        """Those of its own seed that trained."""
        return [r for r in self.ended if r.repeat_of is None and not r.state.needs_no_training]

    @property
    def last(self) -> dict[Configuration, TrialRecord]:
        """What became of each configuration."""
        return {record.configuration: record for record in self.trained}

    def regrets(self, given_cheapest: bool = False) -> tuple[Floats, Floats]:
        """Training steps of proposals so far, and the mean gap below the envelope of the table; (ends,) each.

        Of what was trained to the end, by what the table says of it, not by what the search saw.
        `given_cheapest`: the best of the smallest configurations counts as known from the start, to all searches.
        """
        table = self.bench.table
        steps, found, metrics, costs = [0.0], list[float](), list[float](), list[float]()
        if given_cheapest:
            least = self._truth[: int((table.parameters == table.parameters[0]).sum())]
            metrics, costs = [float(least.max())], [float(table.parameters[0])]
        before: dict[Configuration, int] = {}
        for record in self.trained:
            if record.baseline is None:
                steps.append(steps[-1] + record.steps - before.get(record.configuration, 0))
                before[record.configuration] = record.steps
            if record.state == State.COMPLETE:
                metrics.append(self._true(record))
                costs.append(float(record.adapter_params))
            if record.baseline is None:
                found.append(self.regret(metrics, costs))
        return np.array(steps[1:]), np.array(found)

    def lost(self) -> tuple[int, float]:
        """How many of the table's true front were stopped for good, and by how much all stops raise regret.

        The regret is that of the search in the end, against that which it had if all were trained to the end.
        """
        table, last = self.bench.table, self.last.values()
        stopped = [record for record in last if record.state == State.PRUNED]
        members = set(pareto.front(self._truth.ravel(), table.costs()).tolist())
        places = {int(np.ravel_multi_index(self._place(record), self._truth.shape)) for record in stopped}
        trained = [record for record in last if record.state == State.COMPLETE]
        both = [self.regret([self._true(r) for r in of], [float(r.adapter_params) for r in of])
                for of in (trained, [*trained, *stopped])]  # fmt: skip
        return len(members & places), both[0] - both[1]

    @cached_property
    def _truth(self) -> Floats:
        return self.bench.table.truth(self.bench.seed)

    def _place(self, record: TrialRecord) -> tuple[int, int]:
        assert record.pyramid is not None
        return self.bench.place(record.pyramid, record.learning_rate)

    def _true(self, record: TrialRecord) -> float:
        return float(self._truth[self._place(record)])

    def regret(self, metrics: Sequence[float], costs: Sequence[float]) -> float:
        """The mean gap below the envelope of the table of what has these true metrics and costs."""
        table = self.bench.table
        every, low, high = table.costs(), float(table.parameters.min()), float(table.parameters.max())
        tried = np.array(metrics), np.array(costs)
        return regret(*tried, self._truth.ravel(), every, low, high, table.chance)[0]


def replay(bench: TableBench, folder: Path, workers: int = 1) -> Replay:
    """A whole search; `folder` holds its lock. Of several workers all train at the same speed."""
    ended: list[TrialRecord] = []
    clock = Clock(workers)

    def listen(event: Event) -> None:
        if isinstance(event, TrialEnded):
            ended.append(event.record)

    def work(worker: int, study: optuna.Study) -> None:
        own, turns = (
            replace(bench, wait=partial(clock.wait, worker)),
            Turns.of(folder, None, "table", lambda _: None),
        )
        seed = seed_for(bench.settings.search, 0, worker)
        with clock.working(worker):
            loop = make_loop(study, own, [], turns, Watch(None), Crew.of_this_call(None), seed, listen)
            while loop.take():
                pass

    with quiet_optuna(), ThreadPoolExecutor(workers) as pool:
        study = optuna.create_study(directions=["maximize", "minimize"])
        for done in [pool.submit(work, worker, study) for worker in range(workers)]:
            done.result()
    return Replay(bench, tuple(ended))


class Clock:
    """The time of several workers, of which one computes at any moment: the one that is the farthest behind."""

    def __init__(self, workers: int) -> None:
        self._changed = Condition()
        self._next = [(0.0, worker) for worker in range(workers)]
        self._at_work: int | None = None
        self._now = 0.0
        with self._changed:
            self._pass_on()

    @contextmanager
    def working(self, worker: int) -> Iterator[None]:
        """Begin when it is this worker's turn, and leave the turns to the others in the end."""
        self._wait_for(worker)
        try:
            yield
        finally:
            with self._changed:
                self._pass_on()

    def wait(self, worker: int, steps: float) -> None:
        """Let so many steps go by."""
        with self._changed:
            heappush(self._next, (self._now + steps, worker))
            self._pass_on()
        self._wait_for(worker)

    def _wait_for(self, worker: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._at_work == worker)

    def _pass_on(self) -> None:
        if self._next:
            self._now, self._at_work = heappop(self._next)
            self._changed.notify_all()
