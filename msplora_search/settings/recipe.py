"""The recipe file: everything that full training of one pyramid needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from stat import S_ISDIR
from typing import Annotated, Any

from pydantic import Field, field_validator

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.files import user_path
from msplora_search.settings.document import Document
from msplora_search.settings.models import BackboneSettings, TrainingSettings
from msplora_search.settings.task import Model, TaskSettings
from msplora_search.settings.values import Name, Seed, Switch
from msplora_search.text import brief

RECIPE_FILE = "recipe.yaml"


class RecipeTraining(TrainingSettings):
    """Full training, with its seed."""

    seed: Seed = 0


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
