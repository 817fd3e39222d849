"""The recipe file: everything that full training of one pyramid needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from stat import S_ISDIR
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.files import user_path
from msplora_search.settings.document import Document
from msplora_search.settings.kinds import WITH_CLASSES
from msplora_search.settings.models import BackboneSettings, TrainingSettings
from msplora_search.settings.task import Model, TaskSettings, misfit
from msplora_search.settings.values import Count, Name, Rate, Seed, Switch
from msplora_search.text import brief

RECIPE_FILE = "recipe.yaml"


class RecipeTraining(TrainingSettings):
    """Full training, with its seed."""

    seed: Seed = 0


Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""What was measured, which has no bounds that are known beforehand."""


class CarriedFrom(Model):
    """What the pyramid was found on, where it was carried over to another model."""

    model: str
    pyramid: dict[str, Any]


class ServingCosts(Model):
    """Of the PEFT export, exact; see `design.costs.Costs`."""

    bytes: Count | None = None
    unrolled_rank: Count | None = None
    flops: Count | None = None


class Chosen(Model):
    """Where a pyramid comes from, why it was chosen, and how it did in the search."""

    study: str | None = None
    trial: Count | None = None
    why: str | None = None
    learning_rate: Rate | None = None
    """The proxy's."""
    metric: Finite | None = None
    metric_se: Finite | None = None
    front_probability: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    adapter_params: Count | None = None
    trainable_params: Count | None = None
    costs: ServingCosts | None = None
    """What serving it takes, as far as it was known when it was chosen."""
    carried_from: CarriedFrom | None = None


class Recipe(Model):
    """A recipe file."""

    name: Name
    model: Annotated[str, Field(min_length=1)]
    """A Hugging Face id, a folder, or demo:NAME."""
    trust_remote_code: Switch = False
    task: TaskSettings
    classes: tuple[str, ...] = ()
    """Names of the classes in the order of the head's outputs; none where the task has no classes."""
    pyramid: dict[str, Any]
    """As in front.json."""
    training: RecipeTraining = RecipeTraining()
    backbone: BackboneSettings = BackboneSettings()
    chosen: Chosen | None = None
    """Where the pyramid comes from, and why it was chosen."""
    versions: dict[str, str] = Field(default_factory=dict)

    @field_validator("pyramid", mode="after")
    @classmethod
    def _is_a_pyramid(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            Pyramid.from_json(value)
        except TypeError as error:
            raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _classes_fit_the_kind(self) -> Self:
        kind, names = self.task.kind, self.classes
        if kind in WITH_CLASSES and len(names) < 2:
            raise misfit("classes", f"has {len(names)} names; {kind} needs at least two")
        if kind not in WITH_CLASSES and names:
            raise misfit("classes", f"has {len(names)} names, but {kind} has no classes")
        if len(set(names)) < len(names):
            raise misfit("classes", "has a name twice; each must be another")
        return self

    def built(self) -> Pyramid:
        """The pyramid to train."""
        return Pyramid.from_json(self.pyramid)


def _recipe_file(path: Path) -> Path:
    try:
        mode = path.stat().st_mode
        return path / RECIPE_FILE if S_ISDIR(mode) else path
    except (OSError, ValueError):
        raise InputError(
            f"recipe {brief(str(path), 200)}: no such file; give a recipe.yaml, or the folder that export wrote"
        ) from None


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe: its file, or the folder that `export` wrote.

    Raises InputError naming file, line, field and value.
    """
    document = Document.read(_recipe_file(user_path(str(path))))
    for override in overrides:
        document.override(override)
    return document.validate(Recipe)
