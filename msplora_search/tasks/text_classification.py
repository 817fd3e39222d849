"""Text classification: one or two text columns, any number of classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from msplora_search.settings.task import DatasetSource, TaskSettings
from msplora_search.tasks.classes import OneClass
from msplora_search.tasks.kind import Content
from msplora_search.tasks.labels import labels_of
from msplora_search.tasks.metrics import Values
from msplora_search.tasks.parts import Examples, Rows
from msplora_search.tasks.reading.cells import empty_note, texts
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.tokenising import separator, tokenise
from msplora_search.tasks.tokens import Tokens, most_tokens, pad_of, vocabulary_of
from msplora_search.text import shown


@dataclass(frozen=True)
class TextClassification(OneClass):
    """See `kind.Kind`."""

    settings: TaskSettings
    tokenizer: Any
    auto_class: str = "AutoModelForSequenceClassification"
    peft_type: str | None = "SEQ_CLS"
    reads_one_token: bool = True
    evaluation_tokens: int = 3072

    def cache_key(self, source: DatasetSource) -> list[Any]:
        """Columns, length and tokenizer."""
        return key_of_texts(self.settings, self.tokenizer)

    def read(self, table: Table, classes: tuple[str, ...] | None) -> Content:
        """Texts and labels."""
        assert self.settings.label is not None
        tokens, note = read_texts(self.settings, self.tokenizer, table)
        labels, names = labels_of(table, self.settings.label, classes)
        return Content(tokens, labels, names, note)

    def load(self, folder: Path) -> Examples:
        """Tokens."""
        return Tokens.load(folder)

    def collate(self, examples: Examples, rows: Rows, truth: Values) -> tuple[dict[str, Tensor], Tensor]:
        """Token ids with mask (batch, tokens), and classes (batch,)."""
        assert isinstance(examples, Tokens)
        return examples.padded(rows, pad_of(self.tokenizer)), torch.from_numpy(truth)


def key_of_texts(settings: TaskSettings, tokenizer: Any) -> list[Any]:
    """What labelled texts read from a table depend on, beside the table."""
    most = most_tokens(settings.max_length, tokenizer)
    pair = separator(tokenizer) if len(settings.text or ()) == 2 else None
    return [settings.text, settings.label, most, pair and pair.text, vocabulary_of(tokenizer)]


def read_texts(settings: TaskSettings, tokenizer: Any, table: Table) -> tuple[Tokens, str]:
    """The text columns of a table as tokens, and what there is to tell: what is empty, cut, or joined how.

    Raises InputError for a column that is empty everywhere.
    """
    assert settings.text is not None
    most = most_tokens(settings.max_length, tokenizer)
    columns = texts(table, settings.text, "task.text")
    notes = [empty_note(table, settings.text, columns, "task.text")]
    tokens, cut = tokenise(tokenizer, columns, most, table.source)
    notes.append(f"{cut:,} of {len(tokens):,} texts are cut to {most} tokens" if cut else "")
    if len(columns) == 2 and (between := separator(tokenizer)).ids:
        notes.append(f"{shown(between.text)} stands between the two texts, for the tokenizer puts nothing there")
    return tokens, "; ".join(filter(None, notes))
