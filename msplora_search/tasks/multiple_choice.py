"""Multiple choice: one of several texts is the right continuation, or the right answer, of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from msplora_search.settings.task import DatasetSource, TaskSettings
from msplora_search.tasks.classes import majority
from msplora_search.tasks.kind import Content
from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.parts import Batch, Examples, Rows
from msplora_search.tasks.reading.cells import empty_note, texts
from msplora_search.tasks.reading.choices import Choices, choices_of, right_choices
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.several import filled, padded_lengths, sequences_at, there_of
from msplora_search.tasks.text_classification import key_of_texts
from msplora_search.tasks.tokenising import separator, tokenise
from msplora_search.tasks.tokens import Tokens, most_tokens, pad_of
from msplora_search.text import shown


@dataclass(frozen=True)
class ChoiceTokens:
    """A sequence for each choice of each example, see `several`."""

    tokens: Tokens
    firsts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.firsts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, its choices padded to the longest of them."""
        return padded_lengths(self.tokens, self.firsts)

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`."""
        self.tokens.save(folder)
        np.save(folder / "firsts.npy", self.firsts)

    @classmethod
    def load(cls, folder: Path) -> ChoiceTokens:
        """Map the arrays of `folder` into memory."""
        return cls(Tokens.load(folder), np.load(folder / "firsts.npy", mmap_mode="r"))

    def padded(self, rows: Rows, pad_token_id: int) -> dict[str, Tensor]:
        """As `Tokens.padded`, (rows, most choices, longest); a choice that is not there has a mask of zeros."""
        flat, there = sequences_at(self.firsts, rows)
        fillers = {"input_ids": pad_token_id}
        padded = self.tokens.padded(flat, pad_token_id)
        return {name: filled(there, sequences, fillers.get(name, 0)) for name, sequences in padded.items()}


@dataclass(frozen=True)
class MultipleChoice:
    """See `kind.Kind`. The head scores every choice by itself; the highest score is the answer."""

    settings: TaskSettings
    tokenizer: Any
    auto_class: str = "AutoModelForMultipleChoice"
    peft_type: str | None = None
    reads_one_token: bool = True
    evaluation_tokens: int = 3072
    chance_is: str = "always the place that is right most often"

    def cache_key(self, source: DatasetSource) -> list[Any]:
        """Columns, length and tokenizer."""
        between = separator(self.tokenizer)
        return [*key_of_texts(self.settings, self.tokenizer), self.settings.choices, between.text]

    def read(self, table: Table, classes: tuple[str, ...] | None) -> Content:
        """A sequence of text and choice for each choice, and the index of the right one."""
        settings = self.settings
        assert settings.text is not None
        assert settings.choices is not None
        assert settings.label is not None
        columns = texts(table, settings.text, "task.text")
        notes = [empty_note(table, settings.text, columns, "task.text")]
        choices = choices_of(table, settings.choices)
        right, read_as = right_choices(table, settings.label, choices)
        asked, answers = _pairs(columns, choices)
        of_rows = [row for row, of in enumerate(choices) for _ in of.texts]
        most = most_tokens(settings.max_length, self.tokenizer)
        tokens, cut = tokenise(self.tokenizer, (asked, answers), most, table.source, of_rows)
        notes += [_counts_note(choices), read_as]
        notes.append(f"{cut:,} of {len(tokens):,} texts with a choice are cut to {most} tokens" if cut else "")
        if (between := separator(self.tokenizer)).ids:
            notes.append(f"{shown(between.text)} stands before a choice, for the tokenizer puts nothing there")
        firsts = np.concatenate([[0], np.cumsum([len(of.texts) for of in choices])]).astype(np.int64)
        return Content(ChoiceTokens(tokens, firsts), right, (), "; ".join(filter(None, notes)))

    def load(self, folder: Path) -> Examples:
        """Sequences of choices."""
        return ChoiceTokens.load(folder)

    def collate(self, examples: Examples, rows: Rows, truth: Values) -> tuple[dict[str, Tensor], Tensor]:
        """Token ids with mask (batch, choices, tokens), and indices of choices (batch,)."""
        assert isinstance(examples, ChoiceTokens)
        return examples.padded(rows, pad_of(self.tokenizer)), torch.from_numpy(truth)

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scores of the choices that are there, (choices of all examples,)."""
        there = there_of(batch)
        inputs = {name: tensor[there][None] for name, tensor in batch.inputs.items()}
        scores: Tensor = model(**inputs).logits
        return scores[0]

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy of the choices of each example."""
        return F.cross_entropy(_by_example(outputs.float(), batch), batch.targets)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """The index of the choice with the highest score, (batch,)."""
        return _by_example(self.outputs(model, batch).float(), batch).argmax(dim=-1)

    def chance(self, truth: Values, judge: Metric) -> float:
        """Always the same place, the one that is right most often."""
        return majority(judge, truth)


def _pairs(columns: Sequence[list[str]], choices: Sequence[Choices]) -> tuple[list[str], list[str]]:
    """What stands first and second in the sequence of each choice; a second column goes before the choice."""
    asked, answers = [], []
    for cells, of in zip(zip(*columns, strict=True), choices, strict=True):
        for text in of.texts:
            asked.append(cells[0])
            answers.append(" ".join(filter(None, (*cells[1:], text))))
    return asked, answers


def _counts_note(choices: Sequence[Choices]) -> str:
    counts = Counter(len(of.texts) for of in choices)
    if len(counts) == 1:
        return f"each row has {next(iter(counts))} choices"
    return f"rows have {min(counts)} to {max(counts)} choices"


def _by_example(scores: Tensor, batch: Batch) -> Tensor:
    """(choices of all examples,) -> (batch, choices), -inf where there is none."""
    there = there_of(batch)
    return scores.new_full(there.shape, -torch.inf).masked_scatter(there, scores)
