"""Searches that train nothing: the program's own loop, of which the trainings alone are made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from msplora_search.design.costs import Costs
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.proxy.shelf import Shelf
from msplora_search.proxy.training import DivergedError
from msplora_search.results.records import Evaluation, TrialRecord
from msplora_search.search.baselines import planned_baselines
from msplora_search.search.loop import Loop
from msplora_search.search.part import make_loop
from msplora_search.search.preparation import enqueue_baselines
from msplora_search.search.proposal import Proposer
from msplora_search.search.store.identity import Crew
from msplora_search.search.store.own_file import Watch
from msplora_search.search.turns import Turns
from msplora_search.settings import StudySettings, load_study
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import metric

LAYERS, EXAMPLES, CHANCE = 6, 60, 0.5
JUDGE = Judge(metric("accuracy"), np.ones(EXAMPLES, dtype=np.int64))


def never(_: Pyramid, __: float) -> bool:
    return False


@dataclass(frozen=True)
class Task:
    """Of which all examples are of one class."""

    chance: float = CHANCE
    judges: tuple[Judge, Judge | None] = (JUDGE, None)


@dataclass(frozen=True)
class Bench:
    """A bench that trains nothing; each training is one step, and better the larger the pyramid is."""

    settings: StudySettings
    fails: Callable[[Pyramid, float], bool] = never
    layers: int = LAYERS
    steps: int = 1
    head_params: int = 0
    task: Task = Task()
    trained: list[tuple[Pyramid, float, int | None]] = field(default_factory=list)

    def space(self) -> SearchSpace:
        return self.settings.space.for_depth(self.layers, self.settings.proxy.learning_rate)

    def adapter_params(self, pyramid: Pyramid) -> int:
        return 100 * pyramid.rank_units

    def costs(self, pyramid: Pyramid) -> Costs:
        params = self.adapter_params(pyramid)
        return Costs(params, 4 * params, pyramid.unrolled_rank, 2 * LAYERS * pyramid.unrolled_rank)

    def measure(
        self, pyramid: Pyramid, learning_rate: float, seed: int | None = None, shelf: Shelf | None = None
    ) -> Iterator[Evaluation]:
        self.trained.append((pyramid, learning_rate, seed))
        if self.fails(pyramid, learning_rate):
            raise DivergedError("the loss is nan")
        right = min(EXAMPLES, 35 + pyramid.rank_units // 2 + (seed or 0))
        measured = JUDGE.measure((np.arange(EXAMPLES) < right).astype(np.int64))
        yield Evaluation(**vars(measured), rung=1.0, step=1, loss=0.1)


def bench(fails: Callable[[Pyramid, float], bool] = never, **search: Any) -> Bench:
    """On the space `tiny` unless `space` names another; without repeats, with baselines inside it and outside."""
    space = search.pop("space", "tiny")
    fields = {"noise_repeats": 0, "baselines": "[{paper: 64}, {lora: [1, 2]}]", **search}
    overrides = [f"search.{name}={value}" for name, value in fields.items()]
    return Bench(load_study("quickstart", [f"space={space}", *overrides]), fails)


def loop_on(made: Bench, folder: Path, study: optuna.Study | None = None, seed: int = 0) -> Loop:
    """The search's loop, ready to begin, on a new study unless one is given; `folder` is for its lock."""
    study = study or optuna.create_study(directions=["maximize", "minimize"])
    crew, space = Crew.of_this_call(None), made.space()
    baselines = planned_baselines(space, made.settings.search)
    enqueue_baselines(study, baselines, Proposer(space), crew)
    turns = Turns.of(folder, None, "study", lambda _: None)
    return make_loop(study, made, baselines, turns, Watch(None), crew, seed, lambda _: None)


def run(loop: Loop) -> list[TrialRecord]:
    """To its end."""
    with quiet():
        while loop.take():
            pass
    return loop.objective.history.records()


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's log lines."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)
