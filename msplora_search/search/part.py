"""One worker's part in a search: make the study ready, then take one trial after another until none is left."""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import optuna

from msplora_search.design.costs import Cost
from msplora_search.design.space import SearchSpace
from msplora_search.errors import WorkerStoppedError
from msplora_search.proxy.workbench import Workbench
from msplora_search.search.baselines import Baseline, ladders_sentence, planned_baselines
from msplora_search.search.bench import Bench
from msplora_search.search.budget import Budget
from msplora_search.search.events import (
    Event,
    Further,
    Listener,
    Notice,
    SearchEnded,
    SearchStarted,
    Waiting,
    light,
)
from msplora_search.search.healing import heal
from msplora_search.search.loop import Loop
from msplora_search.search.model.candidates import Ground
from msplora_search.search.model.choosing import initial_count
from msplora_search.search.model.features import Features
from msplora_search.search.model.forecast import Forecaster
from msplora_search.search.objective import Objective
from msplora_search.search.others import Others
from msplora_search.search.preparation import enqueue_baselines, prepare_study
from msplora_search.search.proposal import Proposer
from msplora_search.search.repeats import planned_repeats
from msplora_search.search.samplers import sampler_for, seed_for
from msplora_search.search.samplers.view import SamplerView
from msplora_search.search.store.address import default_url
from msplora_search.search.store.attributes import Influences
from msplora_search.search.store.heart import ALONE, Heart
from msplora_search.search.store.history import History
from msplora_search.search.store.identity import Crew
from msplora_search.search.store.own_file import Watch
from msplora_search.search.store.patient import PatientStorage
from msplora_search.search.store.sameness import open_study
from msplora_search.search.store.storage import opened
from msplora_search.search.store.stored import attributes_of, trials_of
from msplora_search.search.turns import Turns
from msplora_search.search.untried import Untried
from msplora_search.search.warm_start import carried_sentence
from msplora_search.settings.models import StudySettings

HOUR = 3600.0
"""Seconds."""
UNFINISHED = ".unfinished"
"""Folder of trainings that go on from their last rung where their process dies."""
CREWS, STRIDE = "crews", 1000
"""Attribute of a study: the commands that took part. More than a command has workers: seeds of two are apart."""


def take_part(
    settings: StudySettings, output: Path, storage: str | None, crew: Crew, worker: int, listen: Listener
) -> None:
    """`work_off` in a process of its own, which loads what it needs."""
    try:
        work_off(Workbench.load(settings), output, storage, crew, worker, listen)
    except WorkerStoppedError as error:
        listen(Notice(f"worker {worker} stops: {error}"))  # the others may go on for hours
        raise


def work_off(
    workbench: Workbench, output: Path, storage: str | None, crew: Crew, worker: int, listener: Listener
) -> None:
    """Take trials of the study until none is left; other workers of the crew may be at it, others have been.

    `worker` tells the workers of one search apart. What it tells is `light`, so that who listens may keep it.
    Raises InputError where the storage fails, holds results of other settings or data, or disappears,
    WorkerStoppedError after several trials in a row that failed.
    """
    settings, search, space = workbench.settings, workbench.settings.search, workbench.space()
    url = storage or default_url(output)

    def listen(event: Event) -> None:
        listener(light(event))

    turns = Turns.of(output, storage, settings.name, listen)
    interval = None if crew.alone else settings.scale.heartbeat
    kept = settings.scale.checkpoints
    unfinished = output / UNFINISHED if kept is None else Path(kept) / settings.name
    with quiet_optuna(), contextlib.ExitStack() as ending:
        with turns.mine():
            common = ending.enter_context(opened(url, interval))
            if isinstance(common, PatientStorage):
                common.waiting = lambda why: listen(Waiting(why))
            study = open_study(settings, common)
            watch = Watch.on(url)
            seed = seed_for(search, len(trials_of(study)), worker + STRIDE * _place(study, crew))
            asked = [anatomy.asked for anatomy in workbench.anatomies.values()]
            baselines = planned_baselines(space, search, asked)
            prepare_study(study, workbench, Proposer(space), baselines, output, crew)
        heart = ALONE if interval is None else Heart(common, interval)
        loop = make_loop(study, workbench, baselines, turns, watch, crew, seed, listen, unfinished, heart)
        listen(_started(workbench, baselines, loop, carried_sentence(study)))
        workbench.room.tell = lambda what: listen(Notice(what))
        going = loop.take()
        gc.freeze()  # what was read and listed stays: looking through it takes half a second each time
        while going or (crew.stays and loop.others.are_at_work()):
            going = loop.take()
        listen(SearchEnded(loop.reason(), _further(workbench, loop)))


def make_loop(
    study: optuna.Study,
    bench: Bench,
    baselines: Sequence[Baseline],
    turns: Turns,
    watch: Watch,
    crew: Crew,
    seed: int,
    listen: Listener,
    unfinished: Path | None = None,
    heart: Heart = ALONE,
) -> Loop:
    """What takes the trials of a study that is ready.

    `seed`: of what is drawn. `unfinished`: where trainings are kept from rung to rung. `heart`: gives signs of
    life where others may be at the study.
    """
    search, proposer = bench.settings.search, Proposer(bench.space())
    space = proposer.space
    history = History(study, Influences.by(*bench.task.judges), search.seed)
    inside = sum(space.contains(b.pyramid) and space.contains_rate(b.learning_rate) for b in baselines)
    ground = ground_of(bench, space)
    forecaster = Forecaster(ground, bench.task.chance, search.seed, initial_count(search.trials))
    untried = Untried(proposer, ground, lambda: forecaster.candidates, seed)
    sampler = sampler_for(search, untried, history, forecaster, inside, seed)
    view = SamplerView(study, sampler, history, bench.task.chance)
    objective = Objective(
        bench, proposer, history, forecaster, listen, crew, crew.alone or turns.of_all, unfinished
    )

    def heal_all() -> None:
        heal(study, crew, bench.task.chance)
        enqueue_baselines(study, baselines, proposer, crew)

    others = Others(study, crew, heart, heal_all, listen)
    return Loop(study, view, objective, baselines, untried, Budget(search, forecaster), turns, watch, others)


def ground_of(bench: Bench, space: SearchSpace) -> Ground:
    """What may be proposed, with what it costs."""
    search, features = bench.settings.search, Features.of(space.targets)
    if search.cost is Cost.PARAMS:
        return Ground(space, bench.adapter_params, features, search.max_params)
    price = cache(lambda pyramid: bench.costs(pyramid).of(search.cost))
    return Ground(space, bench.adapter_params, features, search.max_params, search.cost, price)


def _place(study: optuna.Study, crew: Crew) -> int:
    """How many other commands were at a study before this one; asked for under a turn, and noted there."""
    if crew.alone:
        return 0
    known: list[str] = attributes_of(study).get(CREWS, [])
    if crew.call not in known:
        study.set_user_attr(CREWS, [*known, crew.call])
    return ([*known, crew.call]).index(crew.call)


def _started(
    workbench: Workbench, baselines: Sequence[Baseline], loop: Loop, carried: tuple[str, ...]
) -> SearchStarted:
    space, search = loop.untried.space, workbench.settings.search
    return SearchStarted(
        space=space,
        configurations=space.size,
        baselines=len(baselines),
        trials=search.trials,
        budgets=loop.budget.others,
        repeats=planned_repeats(baselines, search),
        proxy_steps=workbench.steps,
        records=tuple(loop.objective.history.records()),
        notes=(*ladders_sentence(baselines), *carried, *workbench.task.notes, *workbench.room.notes),
    )


def _further(workbench: Workbench, loop: Loop) -> Further | None:
    """What a further hour of this worker would bring."""
    records = loop.objective.history.records()
    seconds = [r.seconds for r in records if r.counts and r.baseline is None and r.repeat_of is None]
    if not seconds or loop.untried.exhausted({record.configuration for record in records}):
        return None
    trials = max(1, round(HOUR / max(sum(seconds) / len(seconds), 1e-3)))
    expected = loop.budget.forecaster.further(records, trials)
    if expected is None:
        return None
    left, gain = expected
    return Further(left, left < trials, gain, workbench.task.metric.bounds)


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna's own log lines and notices of experimental parts out of the output."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", "Heartbeat of storage")  # this loop gives its own: store/heart.py
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
