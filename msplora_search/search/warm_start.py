"""The fronts of earlier studies, of other models and depths too, in the space of a study: proposed first.

What a front gives is fixed when it is first read, and stored with the study: a search that goes on needs the
earlier studies no more, and proposes nothing of them twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from pathlib import Path

import optuna

from msplora_search.adapters.roles import counterpart
from msplora_search.design.choice import Choice
from msplora_search.design.nearest import nearest_choice, nearest_rate
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.errors import InputError, placed
from msplora_search.proxy.workbench import Workbench
from msplora_search.results.front_file import load_front
from msplora_search.results.records import Configuration
from msplora_search.search.baselines import Baseline
from msplora_search.search.proposal import Proposer
from msplora_search.search.results import load_results
from msplora_search.search.store.attributes import CARRIED
from msplora_search.search.store.carried import EarlierPoint, WarmStart, origins_of
from msplora_search.search.store.history import History
from msplora_search.search.store.stored import reading
from msplora_search.search.summary import summarise
from msplora_search.settings.models import StudySettings
from msplora_search.text import shown

REMEDY = "give the output folder of an earlier study, or its front.json"


def carried_over(
    points: Sequence[EarlierPoint],
    space: SearchSpace,
    params: Callable[[Pyramid], int],
    limit: int | None = None,
    taken: Container[Configuration] = (),
) -> list[tuple[Choice, float, EarlierPoint]]:
    """What each point is in `space`: choice, learning rate, and the point itself; by rising parameters.

    Targets go by role (see `counterpart`), all else to what is nearest (see `nearest_choice`, `nearest_rate`).
    Each configuration comes once, and none that is `taken`. `params`: of a pyramid of the space; what has more
    than `limit` is left out.
    """
    found: dict[Configuration, tuple[Choice, float, EarlierPoint]] = {}
    for point in points:
        choice = nearest_choice(point.pyramid, space, counterpart(point.pyramid.targets, space.targets))
        rate = nearest_rate(point.learning_rate, space)
        if (choice.pyramid(), rate) not in taken:
            found.setdefault((choice.pyramid(), rate), (choice, rate, point))
    sized = [(params(carried[0].pyramid()), carried) for carried in found.values()]
    within = [(size, carried) for size, carried in sized if limit is None or size <= limit]
    return [carried for _, carried in sorted(within, key=lambda sized: sized[0])]


def earlier_fronts(settings: StudySettings, known: Container[str] = ()) -> dict[str, list[EarlierPoint]]:
    """The fronts that a study is to begin with, by what names them; those of `known` are not read.

    Raises InputError, with the place in the study's file, where one cannot be read or has no point.
    """
    found: dict[str, list[EarlierPoint]] = {}
    with placed(settings.origin):
        for place, output in enumerate(settings.search.warm_start):
            if output not in known:
                found[output] = _front_named(output, f"search.warm_start.{place}")
    return found


def propose_first(
    study: optuna.Study, workbench: Workbench, proposer: Proposer, baselines: Sequence[Baseline]
) -> None:
    """Enqueue what is carried over and has no trial yet, by rising parameters, as far as `search.trials` reaches.

    Raises InputError where the front of an earlier study that is new to this one cannot be read.
    """
    search, history = workbench.settings.search, History(study)
    if not search.warm_start:
        return
    trained = {record.configuration for record in history.records()}
    known = WarmStart.of(study)
    if fronts := earlier_fronts(workbench.settings, known.fronts):
        taken = {*trained, *((b.pyramid, b.learning_rate) for b in baselines)}
        taken |= {point.configuration for point in known.points}
        every = [point for front in fronts.values() for point in front]
        carried = carried_over(every, proposer.space, workbench.adapter_params, search.max_params, taken)
        moved = [replace(p, pyramid=choice.pyramid(), learning_rate=rate) for choice, rate, p in carried]
        known = known.extended({output: len(front) for output, front in fronts.items()}, moved)
        known.store(study)
    begun = origins_of(study)
    left = [p for p in known.points if p.origin not in begun and p.configuration not in trained]
    left = [point for point in left if point.origin[0] in search.warm_start]
    left.sort(key=lambda point: workbench.adapter_params(point.pyramid))
    most = len(left) if search.trials is None else search.trials - history.look().trained
    for point in spread(left, most):
        with reading("what it carries over"):
            choice = proposer.space.locate(point.pyramid)
            assert choice is not None
            parameters = proposer.parameters(choice, point.learning_rate)
        study.enqueue_trial(parameters, user_attrs={CARRIED: point.origin})


def spread(points: Sequence[EarlierPoint], most: int) -> list[EarlierPoint]:
    """The points; where there are more than `most`, so many of them at equal distances, both ends included."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / max(1, most - 1))] for i in range(most)]


def carried_sentence(study: optuna.Study) -> tuple[str, ...]:
    """What a search is told before it begins of what it proposes first; nothing where it carries nothing over.

    Raises StoredError.
    """
    fronts = WarmStart.of(study).fronts
    if not fronts:
        return ()
    points, proposed = sum(fronts.values()), len(origins_of(study))
    where = "the front of an earlier study" if len(fronts) == 1 else f"the fronts of {len(fronts)} earlier studies"
    rest = "; the others are equal to them, trained in any case, over search.max_params or beyond search.trials"
    return (f"proposed first: {proposed} of the {points} points on {where}{rest if proposed < points else ''}",)


def _front_named(output: str, field: str) -> list[EarlierPoint]:
    said = f"{field} is {shown(output)}"
    if not os.path.lexists(output):
        raise InputError(f"{said}, but nothing is there; {REMEDY}", field)
    try:
        front = _front_of(Path(output))
    except InputError as error:
        raise InputError(f"{said}: {error}", field) from None
    if not front:
        raise InputError(f"{said}, whose front has no point; give a study that measured something", field)
    return [EarlierPoint((output, trial), pyramid, rate) for trial, pyramid, rate in front]


def _front_of(path: Path) -> list[tuple[int, Pyramid, float]]:
    """Trial, pyramid and learning rate of each point: by a report where one was written, else by the storage."""
    if path.is_dir() and not os.path.lexists(path / "report" / "front.json"):
        records = [point.record for point in summarise(load_results(path)).front]
        return [(r.number, r.pyramid, r.learning_rate) for r in records if r.pyramid is not None]
    return [(point.trial, point.pyramid, point.learning_rate) for point in load_front(path)]
