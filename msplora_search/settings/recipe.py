"""The recipe file: everything that full training of one pyramid needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.settings.document import Document
from msplora_search.settings.models import BackboneSettings, TrainingSettings
from msplora_search.settings.task import Model, TaskSettings

RECIPE_FILE = "recipe.yaml"


class RecipeTraining(TrainingSettings):
    """Full training, with its seed."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class Recipe(Model):
    """A recipe file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    model: Annotated[str, Field(min_length=1)]
    """A Hugging Face id, a folder, or demo:NAME."""
    trust_remote_code: bool = False
    task: TaskSettings
    classes: tuple[str, ...] = ()
    """Names of the classes in the order of the head's outputs; none where the task has no classes."""
    pyramid: dict[str, Any]
    """As in front.json."""
    training: RecipeTraining = RecipeTraining()
    backbone: BackboneSettings = BackboneSettings()
    chosen: dict[str, Any] | None = None
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

    def built(self) -> Pyramid:
        """The pyramid to train."""
        return Pyramid.from_json(self.pyramid)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe: its file, or the folder that `export` wrote.

    Raises InputError naming file, line, field and value.
    """
    file = Path(path) / RECIPE_FILE if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise InputError(f"recipe {path}: no such file; give a recipe.yaml, or the folder that export wrote")
    document = Document.read(file)
    for override in overrides:
        document.override(override)
    return document.validate(Recipe)
