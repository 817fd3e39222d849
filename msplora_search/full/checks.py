"""What a study names, looked at before anything is trained: data, model, space, and full training.

Through the functions that a search and full training use, so that what passes here is what they take.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError, placed
from msplora_search.full.trainers.arguments import training_arguments
from msplora_search.full.trainers.preference import INSTALL, lacks_trl
from msplora_search.proxy.batching import ProxyBatches
from msplora_search.proxy.choices import dissect_choices, space_in
from msplora_search.proxy.workbench import require_rungs
from msplora_search.search.warm_start import earlier_fronts
from msplora_search.settings.kinds import WITH_CLASSES
from msplora_search.settings.models import StudySettings
from msplora_search.settings.recipe import Recipe, RecipeTraining
from msplora_search.tasks.backbone import bare_model
from msplora_search.tasks.holding import placement
from msplora_search.tasks.processors import load_processor, require_weights
from msplora_search.tasks.task import Task, prepare

ANY_TWO = ("0", "1")
"""Stand for the classes of data that are not read."""
HINT = "; where there is no connection, --no-files checks the text alone"


@dataclass
class Findings:
    """What was found out about a study."""

    facts: list[str] = field(default_factory=list)
    """One line each, where there is nothing to mend."""
    problems: list[str] = field(default_factory=list)
    """One line each, with the place in the study's file."""


def check_study(settings: StudySettings) -> Findings:
    """Look at all that a study names; weights are not loaded, and nothing is trained.

    What is not there yet is fetched, as for a search.
    """
    found = Findings()
    with _collecting(found, settings):
        require_training(settings)
        if lacks_trl(settings.task.kind):
            found.facts.append(f"full training on preferences is trl's, which is not installed: {INSTALL}")
    with _collecting(found, settings):
        placement(settings.backbone)
    with _collecting(found, settings):
        earlier_fronts(settings)
    processor: Any = None
    with _collecting(found, settings):
        processor = load_processor(settings)
        require_weights(settings.model)
    if processor is None:
        return found
    task: Task | None = None
    with _collecting(found, settings):
        task = prepare(settings, processor)
        found.facts += task.notes
        require_rungs(ProxyBatches.of(task, settings.proxy, settings.search.seed).steps, settings.proxy)
    with _collecting(found, settings):
        found.facts.append(_structure(settings, processor, task.classes if task else ANY_TWO))
    return found


def require_training(settings: StudySettings) -> None:
    """Raise InputError where full training of a study's recipes would be refused for its `training` section."""
    training = RecipeTraining(**settings.training.model_dump(), seed=settings.search.seed)
    recipe = Recipe(
        name=settings.name,
        model=settings.model,
        task=settings.task,
        classes=ANY_TWO if settings.task.kind in WITH_CLASSES else (),
        pyramid=Pyramid.lora(1, 1, ("query",)).to_json(),
        training=training,
        backbone=settings.backbone,
    )
    with placed(settings.origin):
        training_arguments(recipe, Path(tempfile.gettempdir()))


def _structure(settings: StudySettings, processor: Any, classes: tuple[str, ...]) -> str:
    """Depth and targets of the model, and the size of the space in it."""
    anatomies = dissect_choices(settings, bare_model(settings, processor, classes))
    space, first = space_in(settings, anatomies), next(iter(anatomies.values()))
    targets = " or ".join(", ".join(anatomy.targets) for anatomy in anatomies.values())
    size = "a range of learning rates" if space.size is None else f"{space.size:,} configurations"
    return f"{first.layers} layers in {first.stack}, targets {targets}: {size}"


@contextmanager
def _collecting(found: Findings, settings: StudySettings) -> Iterator[None]:
    """Put a problem with the others, so that it does not hide them."""
    try:
        with placed(settings.origin), _hinting(settings):
            yield
    except InputError as error:
        found.problems.append(str(error))


@contextmanager
def _hinting(settings: StudySettings) -> Iterator[None]:
    """Say what to do where something that is no file of this machine cannot be had."""
    names = {"model": settings.model, "task.dataset": settings.task.dataset.path}
    try:
        yield
    except InputError as error:
        name = names.get(error.field or "")
        remote = name is not None and not Path(name).is_absolute() and not Path(name).exists()
        raise InputError(f"{error}{HINT if remote else ''}", error.field) from None
