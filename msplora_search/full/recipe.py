"""A recipe: everything that full training of one front point needs."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from msplora_search.adapters.census import anatomy_of
from msplora_search.adapters.costs import Pricing
from msplora_search.design.costs import Costs
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.files import write_whole
from msplora_search.full.selection import Pick
from msplora_search.search.results import StudyResults
from msplora_search.settings.document import dump
from msplora_search.settings.recipe import RECIPE_FILE
from msplora_search.tasks.processors import model_location


def recipe_of(results: StudyResults, chosen: Pick) -> dict[str, Any]:
    """The recipe as plain data.

    Schedule and learning rate are the study's `training` section: the rate that a short proxy
    prefers is higher than what long training wants. The proxy's rate is kept under `chosen`.
    """
    settings = results.settings
    plain = settings.model_dump(mode="json", exclude_none=True)
    record = chosen.point.record
    assert record.pyramid is not None
    return {
        "name": f"{settings.name}-trial-{record.number}",
        "model": settings.model,
        "trust_remote_code": settings.trust_remote_code,
        "task": plain["task"],
        "classes": results.facts["classes"],
        "pyramid": record.pyramid.to_json(),
        "backbone": plain["backbone"],
        "training": {**plain["training"], "seed": settings.search.seed},
        "chosen": {
            "study": settings.name,
            "trial": record.number,
            "why": chosen.reason,
            "learning_rate": record.learning_rate,
            "metric": chosen.point.metric,
            "metric_se": chosen.point.measure.metric_se,
            "front_probability": chosen.point.front_probability,
            "adapter_params": record.adapter_params,
            "trainable_params": record.trainable_params,
            **_costs(record.costs),
        },
        "versions": {**results.facts["versions"], "msplora-search": version("msplora-search")},
    }


def carry_over(recipe: dict[str, Any], model: str) -> dict[str, Any]:
    """The recipe for another model: the pyramid keeps its ranks and the fractions of its boundaries.

    Raises InputError where the model has no such targets, or too few layers.
    """
    pyramid = Pyramid.from_json(recipe["pyramid"])
    anatomy = anatomy_of(model_location(model), pyramid.targets)
    try:
        moved = pyramid.at_depth(anatomy.layers)
        costs = Pricing(anatomy, None).costs(moved)  # the head, and so the file, is known once it is trained
    except ValueError as error:
        raise InputError(f"--for-model {model}: {error}") from None
    chosen = {name: value for name, value in recipe["chosen"].items() if name != "costs"}
    carried = {"carried_from": {"model": recipe["model"], "pyramid": recipe["pyramid"]}}
    return {
        **recipe,
        "name": f"{recipe['name']}-carried",
        "model": model,
        "pyramid": moved.to_json(),
        "chosen": {**chosen, **carried, "adapter_params": costs.params, **_costs(costs)},
    }


def _costs(costs: Costs | None) -> dict[str, Any]:
    """What is known of serving it, as a recipe has it."""
    served = {} if costs is None else {name: of for name, of in costs.to_json().items() if name != "params"}
    return {"costs": {name: of for name, of in served.items() if of is not None}} if served else {}


def write_recipe(recipe: dict[str, Any], folder: Path) -> Path:
    """Write `folder`/recipe.yaml and return its path. Raises InputError where the folder cannot be written."""
    path = folder / RECIPE_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, "# Full training of one point of a front.\n" + dump(recipe))
    except OSError as error:
        raise InputError(f"--to {folder}: {error.strerror or error}; name a folder that can be written") from None
    return path
