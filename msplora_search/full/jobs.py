"""The full trainings of a confirmation: done in any order by any number of workers, each kept when it is done."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from filelock import FileLock, Timeout

from msplora_search.adapters.bank import merge
from msplora_search.adapters.peft_format import to_peft
from msplora_search.adapters.pyramid_file import save_pyramid
from msplora_search.errors import DamagedError, InputError
from msplora_search.files import damaged, read_json, write_whole
from msplora_search.full.checkpoints import forget_run, identity
from msplora_search.full.delivered import set_aside_and_tell
from msplora_search.full.proofs import reload_peft
from msplora_search.full.serving import Serving, measure_serving
from msplora_search.full.training import Trained, train_recipe
from msplora_search.results.records import Measure
from msplora_search.scale.crew import together
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.labels import metric_of

RESULT, ADAPTERS, LOCK = "test.json", "pyramid", ".lock"
REMEDY = "it is set aside, and that training done anew"


@dataclass(frozen=True)
class Job:
    """One full training of a confirmation, and where its result is kept."""

    place: int
    """Of its point in the confirmation."""
    name: str
    recipe: Recipe
    folder: Path
    choosing: bool = False
    """Whether its learning rate is one of several."""
    measures: bool = False
    """Whether what serving takes is measured too: for one training of each point."""

    @property
    def stored(self) -> Path:
        """The result on the test part; there once the training is done."""
        return self.folder / RESULT

    @property
    def adapters(self) -> Path:
        """Folder of the trained pyramid, as `save_pyramid` writes it."""
        return self.folder / ADAPTERS


@dataclass(frozen=True)
class Outcome:
    """What a training reached."""

    test: Measure
    judge: Judge
    """Of the test part."""
    choosing: float | None
    """The metric on the rows that are kept to choose a learning rate by."""
    serving: Serving | None = None
    """What serving takes, where it was measured."""


@dataclass(frozen=True)
class Planned:
    """What is about to be trained."""

    trainings: int
    points: int
    seeds: int
    """Of each point."""
    rates: int
    """At each of which a point is trained with each seed."""
    done: int
    """In earlier calls."""
    at_a_time: int


@dataclass(frozen=True)
class OneTraining:
    """A full training that is done: now, or in an earlier call."""

    name: str
    seed: int
    metric: float
    seconds: float | None
    """None: it was trained in an earlier call."""
    done: int
    of: int
    rate: float | None = None
    """The learning rate, where it is one of several."""
    left: float | None = None
    """Seconds that those still to be done take, by those that were done in this call; None: not known."""


Tell = Callable[[Planned | OneTraining], None]


def train_all(jobs: Sequence[Job], tell: Tell, workers: int) -> None:
    """Do every job that is not done yet; tell what is planned, and of all of them.

    Raises InputError as `train_recipe` does, where a worker is lost, and where another process trains one of them.
    """
    done, took = 0, list[float]()

    def hear(job: Job, seconds: float | None) -> None:
        nonlocal done
        done += 1
        took.extend([] if seconds is None else [seconds])
        training, metric = job.recipe.training, read(job).test.metric
        rate = training.learning_rate if job.choosing else None
        rest = sum(took) / len(took) * (len(jobs) - done) / at_a_time if took else None
        tell(OneTraining(job.name, training.seed, metric, seconds, done, len(jobs), rate, rest))

    set_damaged_aside(jobs)
    at_a_time = max(1, min(workers, sum(not job.stored.is_file() for job in jobs)))
    tell(_planned(jobs, at_a_time))
    for job in jobs:
        if job.stored.is_file():
            hear(job, None)
    left = [job for job in jobs if not job.stored.is_file()]
    if workers == 1:
        work_off(left, 0, lambda message: hear(*message))
    elif left:
        lost = together(at_a_time, work_off, (left,), lambda message: hear(*message))
        if lost:
            raise InputError(f"{lost[0]} before its training did; the same command goes on from its checkpoint")
    if busy := [job.folder for job in jobs if not job.stored.is_file()]:
        raise InputError(f"{busy[0]}: another process trains there; when it is done, the same command goes on")


def _planned(jobs: Sequence[Job], at_a_time: int) -> Planned:
    return Planned(
        trainings=len(jobs),
        points=len({job.place for job in jobs}),
        seeds=len({job.recipe.training.seed for job in jobs}),
        rates=len({job.recipe.training.learning_rate for job in jobs}),
        done=sum(job.stored.is_file() for job in jobs),
        at_a_time=at_a_time,
    )


def work_off(jobs: Sequence[Job], worker: int, tell: Callable[[tuple[Job, float]], None]) -> None:
    """One worker's part: do every job that is neither done nor in the hands of another worker.

    Raises InputError as `train_recipe` does, and where a result cannot be written.
    """
    for job in jobs:
        try:
            job.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(job.folder / LOCK).acquire(timeout=0):
                if not job.stored.is_file():
                    began = time.monotonic()
                    _do(job)
                    tell((job, time.monotonic() - began))
        except Timeout:
            continue
        except OSError as error:
            raise InputError(
                f"{job.folder}: {error.strerror or error}; mend that, and the same command goes on"
            ) from None


def _do(job: Job) -> None:
    """One full training; its result on the test part, and the truth there, are stored whole or not at all.

    Its pyramid stays too: some hundred kB, in which `analyze` sees what each level learned.
    """
    trained = train_recipe(job.recipe, job.folder, quiet=True, choosing=job.choosing)
    test = trained.parts.test
    told = {
        "recipe": identity(job.recipe),
        "test": trained.test.to_json(),
        "labels": test.truth.tolist(),
        "groups": None if test.groups is None else test.groups.tolist(),
    }
    if trained.choosing is not None:
        told["choosing"] = trained.choosing.metric
    save_pyramid(trained.backbone.model, job.adapters)
    if job.measures:
        told["serving"] = _serving(job.recipe, trained).to_json()
    write_whole(job.stored, json.dumps(told) + "\n")
    forget_run(job.folder)


def _serving(recipe: Recipe, trained: Trained) -> Serving:
    """By a PEFT export that is thrown away; the model in memory is merged."""
    model, parts = trained.backbone.model, trained.parts
    device = next(model.parameters()).device
    with TemporaryDirectory() as name:
        to_peft(model).save(name, None, task_type=parts.task.kind.peft_type)
        served = reload_peft(recipe, Path(name), device)
    merged = merge(model) if recipe.backbone.quantization == "none" else None
    return measure_serving(recipe, served, merged, parts.task, parts.test)


def read(job: Job) -> Outcome:
    """The stored result of a job.

    Raises DamagedError where it is none, InputError where it is of other settings.
    """
    data = read_json(job.stored, REMEDY)
    try:
        recipe, labels, groups = data["recipe"], np.array(data["labels"]), data.get("groups")
        judge = Judge(
            metric_of(job.recipe.task, job.recipe.classes), labels, None if groups is None else np.array(groups)
        )
        whole = isinstance(recipe, str) and labels.dtype.kind in "if" and len(labels) > 0
        test = Measure.from_json(data["test"], judge.influence if whole else None)
        choosing = float(data["choosing"]) if job.choosing else None
        serving = None if data.get("serving") is None else Serving.from_json(data["serving"])
        whole = whole and isinstance(test.metric, float)
    except (LookupError, ValueError, TypeError, AttributeError, zlib.error) as error:
        raise damaged(job.stored, str(error) or type(error).__name__, REMEDY) from None
    if not whole:
        raise damaged(job.stored, "it is no result of a test part", REMEDY)
    if recipe != identity(job.recipe):
        raise InputError(
            f"{job.stored}: is of other settings; give the --set that it was trained with, "
            f"or delete {job.folder.parent} to confirm anew"
        )
    return Outcome(test, judge, choosing, serving)


def set_damaged_aside(jobs: Sequence[Job]) -> None:
    """Take results that cannot be read any more out of the way, and say so: their trainings are done anew."""
    for job in jobs:
        if job.stored.is_file():
            try:
                read(job)
            except DamagedError as error:
                set_aside_and_tell(job.stored, error)
