"""The record of a delivered model, `results.json`: written last, so that what it stands beside is whole."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msplora_search.design.costs import Costs
from msplora_search.errors import DamagedError, InputError
from msplora_search.files import damaged, read_json, set_aside
from msplora_search.full.checkpoints import identity
from msplora_search.full.serving import Serving
from msplora_search.settings.recipe import Recipe

FOLDER, RESULTS = "model", "results.json"


@dataclass(frozen=True)
class Delivered:
    """What was written, and how it did."""

    folder: Path
    metric: float
    interval: tuple[float, float]
    """95% over the test examples."""
    trained_params: int
    unrolled_params: int
    """As stock LoRA, without the zeros that fill ranks up."""
    stored_params: int
    """As stock LoRA, with them."""
    apart: float
    """Largest difference of logits between the tied model and its other forms."""
    costs: Costs | None = None
    """What serving it takes, exact; None where a version delivered it that did not say."""
    serving: Serving | None = None
    """The same as measured; None where it was not."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the folder."""
        told = {name: value for name, value in vars(self).items() if name != "folder"}
        costs, serving = self.costs and self.costs.to_json(), self.serving and self.serving.to_json()
        return {**told, "costs": costs, "serving": serving}


def results_text(recipe: Recipe, done: Delivered) -> str:
    """The content of `results.json`."""
    return json.dumps({"recipe": identity(recipe), **done.to_json()}, indent=2) + "\n"


def read_delivered(recipe: Recipe, output: Path) -> Delivered | None:
    """What an earlier call delivered into `output`; None where nothing was.

    A damaged record is set aside, which is told on stderr: the model is then delivered anew, from the last
    checkpoint where there is one. Raises InputError where it is of another recipe.
    """
    file = output / FOLDER / RESULTS
    if not file.is_file():
        return None
    try:
        data = read_json(file, "it is set aside, and the model delivered anew")
        done = _delivered(data, file)
    except DamagedError as error:
        set_aside_and_tell(file, error)
        return None
    if data["recipe"] != identity(recipe):
        raise InputError(
            f"--output {output}: holds the model of another recipe; name another folder, or delete it"
        )
    return done


def set_aside_and_tell(file: Path, error: InputError) -> None:
    """Rename a damaged file out of the way, and say so on stderr. Raises InputError where that cannot be done."""
    try:
        aside = set_aside(file)
    except FileNotFoundError:  # another process of the same training did it
        return
    except OSError as refused:
        raise InputError(f"{error}; but it cannot be renamed: {refused.strerror or refused}") from None
    sys.stderr.write(f"{error} (it is now {aside.name})\n")


def _delivered(data: Any, file: Path) -> Delivered:
    """Raises DamagedError where `data` is no record."""
    remedy = "it is set aside, and the model delivered anew"
    if not isinstance(data, dict) or not isinstance(data.get("recipe"), str):
        raise damaged(file, "it says of no recipe", remedy)
    facts = {"stored_params": data.get("unrolled_params"), **data}  # version 0.1 filled nothing up
    numbers = ("metric", "apart", "trained_params", "unrolled_params", "stored_params")
    if odd := next((name for name in numbers if not _is_number(facts.get(name))), None):
        raise damaged(file, f"{odd} is no number", remedy)
    interval = facts.get("interval")
    if not isinstance(interval, list) or len(interval) != 2 or not all(map(_is_number, interval)):
        raise damaged(file, "interval is no pair of numbers", remedy)
    low, high = interval
    try:
        costs = None if facts.get("costs") is None else Costs.from_json(facts["costs"])
        serving = None if facts.get("serving") is None else Serving.from_json(facts["serving"])
    except (ValueError, TypeError, LookupError) as error:
        raise damaged(file, f"what serving takes cannot be read: {error}", remedy) from None
    return Delivered(
        folder=file.parent,
        metric=facts["metric"],
        interval=(low, high),
        trained_params=facts["trained_params"],
        unrolled_params=facts["unrolled_params"],
        stored_params=facts["stored_params"],
        apart=facts["apart"],
        costs=costs,
        serving=serving,
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
