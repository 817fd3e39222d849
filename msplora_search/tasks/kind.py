"""What differs between kinds of tasks; each kind has its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from msplora_search.settings.task import DatasetSource, TaskSettings
from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.parts import Batch, Examples, Rows
from msplora_search.tasks.reading.table import Table


@dataclass(frozen=True)
class Content:
    """What a table holds: see `parts.Corpus`."""

    examples: Examples
    truth: Values
    classes: tuple[str, ...] = ()
    note: str = ""
    """What a user should know of the rows."""


class Kind(Protocol):
    """How rows become inputs, and a model's outputs become a loss and predictions."""

    @property
    def settings(self) -> TaskSettings:
        """The task section of a study."""

    @property
    def auto_class(self) -> str:
        """The class of transformers that loads a model with the head of this kind."""

    @property
    def peft_type(self) -> str | None:
        """PEFT's name for it."""

    @property
    def reads_one_token(self) -> bool:
        """Whether the head may look at a single token of many."""

    @property
    def evaluation_tokens(self) -> int:
        """Tokens, padding included, of an evaluation batch."""

    @property
    def chance_is(self) -> str:
        """What `chance` is the metric of."""

    def cache_key(self, source: DatasetSource) -> list[Any]:
        """What the content read from the table of `source` depends on, beside the table."""

    def read(self, table: Table, classes: tuple[str, ...] | None) -> Content:
        """Read every row; with `classes`, labels must be among them. Raises InputError naming the row."""

    def load(self, folder: Path) -> Examples:
        """Map what `Examples.save` wrote into memory."""

    def collate(self, examples: Examples, rows: Rows, truth: Values) -> tuple[dict[str, Tensor], Tensor]:
        """Padded inputs of `rows`, and targets, see `Batch`; `truth` is that of these rows."""

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """What loss and predictions are made from: (batch, classes), (batch,), or (asked tokens, words)."""

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a batch, in fp32: ()."""

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """One number for each example, or several, as the metric takes them: (batch,) or (batch, numbers)."""

    def chance(self, truth: Values, judge: Metric) -> float:
        """The metric `judge` of a model that has learned nothing."""


@runtime_checkable
class Fits(Protocol):
    """A kind whose proxy depends on the truth that it is trained on, as by the scale of its numbers."""

    def fitted(self, truth: Values) -> Kind:
        """The kind for the proxy of a study whose training part has this truth."""


@runtime_checkable
class Refers(Protocol):
    """A kind whose loss compares a model with what it would be without its adapters."""

    def referred(self, model: nn.Module, batch: Batch) -> Batch:
        """The batch, with what the model without its adapters gives for it, as `loss` and `predict` want it."""


@runtime_checkable
class Settles(Protocol):
    """A kind whose predictions are not yet what its metric takes: that needs the examples, or all of a part."""

    def settled(self, examples: Examples, rows: Rows, predictions: Values) -> Values:
        """What the metric takes, (rows, ...), made of what `predict` gave for the examples at `rows`."""


@runtime_checkable
class Joint(Protocol):
    """A kind whose loss may be of a batch as a whole, as where examples are one another's negatives."""

    @property
    def is_joint(self) -> bool:
        """Whether the loss of a batch is no mean over its parts, and a prediction is judged by all of a part."""
