"""Texts with any number of labels each: one or two text columns, and a column of lists or one for each label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from msplora_search.settings.task import DatasetSource, TaskSettings
from msplora_search.tasks.classes import class_scores
from msplora_search.tasks.kind import Content
from msplora_search.tasks.labels import indices_of_lists
from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.parts import Batch, Examples, Rows
from msplora_search.tasks.reading.cells import class_of, lists_of, switch_of
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.text_classification import key_of_texts, read_texts
from msplora_search.tasks.tokens import Tokens, pad_of
from msplora_search.text import shown


@dataclass(frozen=True)
class MultiLabel:
    """See `kind.Kind`. A label is called where its probability is above one half."""

    settings: TaskSettings
    tokenizer: Any
    auto_class: str = "AutoModelForSequenceClassification"
    peft_type: str | None = "SEQ_CLS"
    reads_one_token: bool = True
    evaluation_tokens: int = 3072
    chance_is: str = "always the same labels"

    def cache_key(self, source: DatasetSource) -> list[Any]:
        """Columns, length and tokenizer."""
        return [*key_of_texts(self.settings, self.tokenizer), self.settings.labels]

    def read(self, table: Table, classes: tuple[str, ...] | None) -> Content:
        """Texts, and whether each has each label: (rows, labels) of 0 and 1."""
        tokens, note = read_texts(self.settings, self.tokenizer, table)
        truth, names = self._labels(table, classes)
        without = int((truth.sum(axis=1) == 0).sum())
        told = f"{without:,} of {len(truth):,} rows have no label" if without else ""
        return Content(tokens, truth, names, "; ".join(filter(None, (note, told))))

    def load(self, folder: Path) -> Examples:
        """Tokens."""
        return Tokens.load(folder)

    def collate(self, examples: Examples, rows: Rows, truth: Values) -> tuple[dict[str, Tensor], Tensor]:
        """Token ids with mask (batch, tokens), and labels (batch, labels)."""
        assert isinstance(examples, Tokens)
        return examples.padded(rows, pad_of(self.tokenizer)), torch.from_numpy(truth.astype(np.float32))

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scores, (batch, labels)."""
        return class_scores(model, batch)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean binary cross-entropy over examples and labels."""
        return F.binary_cross_entropy_with_logits(outputs.float(), batch.targets)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """Whether each label is called, (batch, labels) of 0 and 1."""
        return (class_scores(model, batch) > 0).long()

    def chance(self, truth: Values, judge: Metric) -> float:
        """The most frequent labels for every example, as many as do best: no other constant does better."""
        order, always = np.argsort(-truth.sum(axis=0), kind="stable"), np.zeros_like(truth)
        scores = [0.0]
        for label in order:
            always[:, label] = 1
            scores.append(judge.score(truth, always))
        return max(scores)

    def _labels(self, table: Table, classes: tuple[str, ...] | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        if self.settings.labels is not None:
            return _switches(table, self.settings.labels), self.settings.labels
        assert self.settings.label is not None
        wanted = "a list of labels, text or whole numbers; an empty one where none holds"
        lists = lists_of(table, "task.label", self.settings.label, class_of, wanted)
        indices, names = indices_of_lists(table, self.settings.label, lists, classes)
        truth = np.zeros((table.rows, len(names)), dtype=np.int64)
        for row, own in enumerate(indices):
            truth[row, own] = 1
        return truth, names


def _switches(table: Table, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Columns of 0 and 1, or true and false: (rows, columns). Raises InputError naming the row of what is else."""
    found = np.empty((table.rows, len(names)), dtype=np.int64)
    for place, name in enumerate(names):
        for row, cell in enumerate(table.column("task.labels", name)):
            value = switch_of(cell)
            if value is None:
                raise table.refused("task.labels", name, row, f"is {shown(cell)}; it must be 0, 1, true or false")
            found[row, place] = value
    return found
