"""Text regression: one or two text columns, and a number for them, such as the similarity of STS-B."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msplora_search.settings.task import DatasetSource, TaskSettings
from msplora_search.tasks.kind import Content
from msplora_search.tasks.labels import numbers_of
from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.parts import Batch, Examples, Rows
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.text_classification import key_of_texts, read_texts
from msplora_search.tasks.tokens import Tokens, pad_of


@dataclass(frozen=True)
class TextRegression:
    """See `kind.Kind`."""

    settings: TaskSettings
    tokenizer: Any
    auto_class: str = "AutoModelForSequenceClassification"
    peft_type: str | None = "SEQ_CLS"
    reads_one_token: bool = True
    evaluation_tokens: int = 3072
    chance_is: str = "always the same number"
    center: float = 0.0
    scale: float = 1.0
    """Targets are (truth - center) / scale."""

    def fitted(self, truth: Values) -> TextRegression:
        """Targets of mean 0 and deviation 1: a short proxy reaches them, whatever they count, also in bf16.

        Correlations do not change by that. Full training is on the numbers as they are.
        """
        return replace(self, center=float(truth.mean()), scale=float(truth.std()) or 1.0)

    def cache_key(self, source: DatasetSource) -> list[Any]:
        """Columns, length and tokenizer."""
        return key_of_texts(self.settings, self.tokenizer)

    def read(self, table: Table, classes: tuple[str, ...] | None) -> Content:
        """Texts and numbers."""
        assert self.settings.label is not None
        tokens, note = read_texts(self.settings, self.tokenizer, table)
        return Content(tokens, numbers_of(table, self.settings.label), (), note)

    def load(self, folder: Path) -> Examples:
        """Tokens."""
        return Tokens.load(folder)

    def collate(self, examples: Examples, rows: Rows, truth: Values) -> tuple[dict[str, Tensor], Tensor]:
        """Token ids with mask (batch, tokens), and numbers (batch,) in fp32."""
        assert isinstance(examples, Tokens)
        return examples.padded(rows, pad_of(self.tokenizer)), torch.from_numpy(
            (truth - self.center) / self.scale
        ).float()

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """The numbers that the head gives, (batch,)."""
        given: Tensor = model(**batch.inputs).logits
        return given.squeeze(-1)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(outputs.float(), batch.targets)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """The numbers, (batch,), fp32."""
        return self.outputs(model, batch).float() * self.scale + self.center

    def chance(self, truth: Values, judge: Metric) -> float:
        """A constant correlates with nothing."""
        return 0.0
