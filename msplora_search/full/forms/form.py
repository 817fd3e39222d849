"""What a further form of a delivered model is: made from the trained one, proven equal, told of in the card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from msplora_search.adapters.peft_format import PeftAdapter
from msplora_search.full.cards.code import Usage
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.parts import Batch


@dataclass(frozen=True)
class Source:
    """What a form is made from."""

    recipe: Recipe
    model: nn.Module
    """Merged; where the base is quantised, which merges with nothing, still adapted."""
    adapter: PeftAdapter
    base: str
    """How the pretrained model is spoken of outside this machine."""
    processor: Any
    batch: Batch
    """The first test examples."""
    logits: Callable[[nn.Module], Tensor]
    """Those of a model on the first test examples, in batches; a module that answers as the model does is one."""


@dataclass(frozen=True)
class Passage:
    """What the card says of a form: a sentence that ends in a colon, and code behind it."""

    text: str
    code: str
    language: str = "python"


class Form(Protocol):
    """A further form."""

    @property
    def name(self) -> str:
        """That of its folder in `model/`, and of its option: `gguf` is asked for by `--gguf`."""

    def require(self, recipe: Recipe) -> None:
        """Raise InputError where it cannot be made of the model of `recipe`, or what makes it is not installed."""

    def write(self, source: Source, folder: Path) -> Tensor | None:
        """Make it in `folder`, which is not there yet.

        Gives its logits, as `Source.logits` does; None where what was written was read back and is exactly the
        adapter. Raises InputError where it cannot be made.
        """

    def told(self, usage: Usage) -> Passage:
        """For the card."""
