"""Embeddings of texts: pairs that belong together, such pairs with a text that does not, or pairs with a score."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msplora_search.errors import InputError
from msplora_search.settings.task import DatasetSource, TaskSettings
from msplora_search.tasks.anchors import Anchored, of_column
from msplora_search.tasks.contrast import contrastive_loss, cosines, own_ranks, scored_loss
from msplora_search.tasks.kind import Content
from msplora_search.tasks.labels import numbers_of
from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.parts import Batch, Examples, Rows
from msplora_search.tasks.pooling import Pooling, pooling_of
from msplora_search.tasks.reading.cells import empty_note, texts
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.recall import Recall
from msplora_search.tasks.tokenising import tokenise
from msplora_search.tasks.tokens import most_tokens, pad_of, vocabulary_of
from msplora_search.text import printable, shown

FIELD = "task.text"


@dataclass(frozen=True)
class Embedding:
    """See `kind.Kind`, `kind.Settles` and `kind.Joint`. There is no head: adapters alone are trained."""

    settings: TaskSettings
    tokenizer: Any
    auto_class: str = "AutoModel"
    peft_type: str | None = "FEATURE_EXTRACTION"
    reads_one_token: bool = False
    evaluation_tokens: int = 3072

    @property
    def chance_is(self) -> str:
        """A random order, or nothing that correlates."""
        return "the positives in random order" if self.is_joint else "always the same number"

    @property
    def is_joint(self) -> bool:
        """Whether the positives of a batch are the negatives of its other examples: where no score is given."""
        return self.settings.has_negatives

    @cached_property
    def pooling(self) -> Pooling:
        """How tokens become a vector. Raises InputError as `pooling_of` does."""
        return pooling_of(self.settings.pooling, str(self.tokenizer.name_or_path))

    def cache_key(self, source: DatasetSource) -> list[Any]:
        """Columns, length and tokenizer."""
        task = self.settings
        most = most_tokens(task.max_length, self.tokenizer)
        return [task.text, task.label, most, vocabulary_of(self.tokenizer)]

    def read(self, table: Table, classes: tuple[str, ...] | None) -> Content:
        """Texts; truth is the number of the positive, or the score, of the range of the data made 0 to 1."""
        names, label = self.settings.text or (), self.settings.label
        most = most_tokens(self.settings.max_length, self.tokenizer)
        columns = texts(table, names, FIELD)
        notes, found = [empty_note(table, names, columns, FIELD)], []
        for name, column in zip(names, columns, strict=True):
            tokens, cut = tokenise(self.tokenizer, [column], most, table.source)
            found.append(tokens)
            notes.append(
                f"{cut:,} of {len(tokens):,} texts of {shown(name)} are cut to {most} tokens" if cut else ""
            )
        pairs = Anchored.of(found)
        if label is None:
            truth, told = self._positives(table, pairs)
        else:
            truth, told = _scaled(table, label)
        return Content(pairs, truth, (), "; ".join(filter(None, [*notes, told])))

    def load(self, folder: Path) -> Examples:
        """Anchors with what belongs to them."""
        return Anchored.load(folder)

    def collate(self, examples: Examples, rows: Rows, truth: Values) -> tuple[dict[str, Tensor], Tensor]:
        """Token ids with mask of each text, (batch, its tokens); numbers (batch, texts), or scores (batch,)."""
        assert isinstance(examples, Anchored)
        inputs = examples.padded(rows, pad_of(self.tokenizer))
        if self.is_joint:
            return inputs, torch.from_numpy(np.array(examples.numbers[rows]))
        return inputs, torch.from_numpy(truth).float()

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Embeddings, (batch, texts, width), fp32."""
        found = []
        for place in range(len(self.settings.text or ())):
            inputs = of_column(batch.inputs, place)
            tokens = model(**inputs).last_hidden_state
            found.append(self.pooling.of(tokens, inputs["attention_mask"]))
        return torch.stack(found, dim=1)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Contrastive over the whole batch, or the squared error of cosines."""
        if self.is_joint:
            return contrastive_loss(outputs, batch.targets)
        return scored_loss(outputs, batch.targets)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """The cosine, (batch,); or anchor and positive at length 1 behind each other, (batch, 2 * width)."""
        embeddings = self.outputs(model, batch)
        if not self.is_joint:
            return cosines(embeddings)
        return F.normalize(embeddings[:, :2].float(), dim=-1).flatten(1)

    def settled(self, examples: Examples, rows: Rows, predictions: Values) -> Values:
        """The rank of each own positive among those of all `rows`, (rows,); cosines stay as they are."""
        if not self.is_joint:
            return predictions
        assert isinstance(examples, Anchored)
        anchors, positives = np.split(predictions, 2, axis=1)
        return own_ranks(anchors, positives, np.asarray(examples.numbers[rows, 1]))

    def chance(self, truth: Values, judge: Metric) -> float:
        """By how many different positives there are; a constant correlates with nothing."""
        return judge.at_random(len(np.unique(truth))) if isinstance(judge, Recall) else 0.0

    def _positives(self, table: Table, pairs: Anchored) -> tuple[Values, str]:
        """The number of each positive. Raises InputError where all are the same."""
        positives = pairs.numbers[:, 1]
        different = len(np.unique(positives))
        if different < 2:
            raise InputError(
                f"{printable(table.source)}: column {shown((self.settings.text or ())[1])} has a single text to "
                "the model; there must be different ones to be told apart",
                FIELD,
            )
        told = f"{different:,} of {len(positives):,} positives differ" if different < len(positives) else ""
        return positives, told


def _scaled(table: Table, label: str) -> tuple[Values, str]:
    """The scores of a column, of which the lowest becomes 0 and the highest 1."""
    scores = numbers_of(table, label)
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low), f"scores from {low:g} to {high:g} count as 0 to 1"
