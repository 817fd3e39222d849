"""Retrains the front and the baselines in full, with several seeds, on the untouched test part."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from msplora_search.errors import DamagedError, InputError
from msplora_search.files import damaged, read_json, write_whole
from msplora_search.full.delivered import set_aside_and_tell
from msplora_search.full.identity import forget_run, identity
from msplora_search.full.judgement import Confirmation, judge_found
from msplora_search.full.recipe import recipe_of
from msplora_search.full.selection import Pick
from msplora_search.full.training import train_recipe
from msplora_search.results.records import Measure
from msplora_search.scale.crew import together
from msplora_search.search.points import Point
from msplora_search.search.results import StudyResults
from msplora_search.search.summary import Summary, summarise
from msplora_search.settings.document import Document
from msplora_search.settings.origins import Origins
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.labels import metric_of

FOLDER, RESULT, LOCK = "confirm", "test.json", ".lock"
REMEDY = "it is set aside, and that training done anew"


@dataclass(frozen=True)
class Job:
    """One full training of a confirmation, and where its result is kept."""

    name: str
    recipe: Recipe
    folder: Path

    @property
    def stored(self) -> Path:
        """The result on the test part; there once the training is done."""
        return self.folder / RESULT


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


Tell = Callable[[OneTraining], None]


def confirm(
    results: StudyResults,
    output: Path,
    seeds: int,
    tell: Tell = lambda _: None,
    workers: int = 1,
    overrides: Sequence[str] = (),
) -> Confirmation:
    """Train every front point and baseline with seeds 0, 1, ...; what is trained already is not trained again.

    `tell` hears of each training when it is done. With several `workers` as many trainings run at a
    time, each in a process of its own, as in a search. `overrides` such as `training.epochs=3` change
    how all of them are trained.
    Raises InputError where there is nothing to confirm, and as `train_recipe` does.
    """
    for option, value in (("--seeds", seeds), ("--workers", workers)):
        if value < 1:
            raise InputError(f"{option} {value}: must be at least 1")
    points = candidates(summarise(results))
    if not points:
        raise InputError(f"{output}: no trial was measured to the end, so there is nothing to confirm")
    jobs = [_jobs(results, point, seeds, overrides, output) for point in points]
    _train([job for of_point in jobs for job in of_point], tell, workers)
    found = [(point, tuple(_read(job)[0] for job in own)) for point, own in zip(points, jobs, strict=True)]
    return judge_found(results, found, _read(jobs[0][0])[1])


def candidates(summary: Summary) -> list[Point]:
    """The front, the paper's pyramid and the LoRA ladder, each once, by rising parameters."""
    baselines = ([summary.paper] if summary.paper else []) + summary.lora
    unique = {point.record.number: point for point in [*summary.front, *baselines]}
    return sorted(unique.values(), key=lambda p: (p.params, p.record.number))


def _train(jobs: Sequence[Job], tell: Tell, workers: int) -> None:
    """Do every job that is not done yet, and tell of all of them."""
    done = 0

    def hear(job: Job, seconds: float | None) -> None:
        nonlocal done
        done += 1
        metric = _read(job)[0].metric
        tell(OneTraining(job.name, job.recipe.training.seed, metric, seconds, done, len(jobs)))

    _set_damaged_aside(jobs)
    for job in jobs:
        if job.stored.is_file():
            hear(job, None)
    left = [job for job in jobs if not job.stored.is_file()]
    if workers == 1:
        work_off(left, 0, lambda message: hear(*message))
    elif left:
        lost = together(min(workers, len(left)), work_off, (left,), lambda message: hear(*message))
        if lost:
            raise InputError(f"{lost[0]} before its training did; the same command goes on from its checkpoint")
    if busy := [job.folder for job in jobs if not job.stored.is_file()]:
        raise InputError(f"{busy[0]}: another process trains there; when it is done, the same command goes on")


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
    """One full training; its result on the test part, and the truth there, are stored whole or not at all."""
    trained = train_recipe(job.recipe, job.folder, quiet=True)
    test = trained.parts.test
    told = {
        "recipe": identity(job.recipe),
        "test": trained.test.to_json(),
        "labels": test.truth.tolist(),
        "groups": None if test.groups is None else test.groups.tolist(),
    }
    write_whole(job.stored, json.dumps(told) + "\n")
    forget_run(job.folder)


def _read(job: Job) -> tuple[Measure, Judge]:
    """The stored result of a job on the test part, and what measured it.

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
    return test, judge


def _set_damaged_aside(jobs: Sequence[Job]) -> None:
    """Take results that cannot be read any more out of the way, and say so: their trainings are done anew."""
    for job in jobs:
        if job.stored.is_file():
            try:
                _read(job)
            except DamagedError as error:
                set_aside_and_tell(job.stored, error)


def _jobs(results: StudyResults, point: Point, seeds: int, overrides: Sequence[str], output: Path) -> list[Job]:
    document = Document(recipe_of(results, Pick(point, "to be confirmed")), Origins(source="the study"))
    for override in overrides:
        if not override.startswith("training.") or override.startswith("training.seed"):
            raise InputError(f"--set {override}: must be a field of full training, such as training.epochs=3")
        document.override(override)
    jobs = []
    for seed in range(seeds):
        document.put("training.seed", seed)
        folder = output / FOLDER / f"trial-{point.record.number}-seed-{seed}"
        jobs.append(Job(point.name, document.validate(Recipe), folder))
    return jobs
