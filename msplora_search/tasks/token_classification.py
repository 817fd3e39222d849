"""Token classification: a list of words, with a tag for each; spans of tags are judged, or tags one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from msplora_search.adapters.outputs import Outputs
from msplora_search.errors import InputError
from msplora_search.settings.task import DatasetSource, TaskSettings
from msplora_search.tasks.kind import Content
from msplora_search.tasks.labels import indices_of_lists
from msplora_search.tasks.language import NOT_ASKED, asked_scores, token_loss, token_sums
from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.parts import Batch, Examples, Rows
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.spans import OUTSIDE, Tags, is_span_tag
from msplora_search.tasks.tallies import TagAccuracy
from msplora_search.tasks.tokens import Tokens, most_tokens, pad_of, vocabulary_of
from msplora_search.tasks.words import CUT, TAGS_FIELD, lead, split, tag_lists, word_lists
from msplora_search.text import printable, shown


@dataclass(frozen=True)
class Tagged:
    """The tokens of each example, and which tag is asked for at which of them."""

    tokens: Tokens
    tags: NDArray[np.int32]
    """(tokens of all examples,): index of the tag at the first token of a word, NOT_ASKED at all others."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        return self.tokens.lengths

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`."""
        self.tokens.save(folder)
        np.save(folder / "tags.npy", self.tags)


@dataclass(frozen=True)
class TokenClassification:
    """See `kind.Kind`. The first token of a word stands for it; the others are read, and not asked."""

    settings: TaskSettings
    tokenizer: Any
    auto_class: str = "AutoModelForTokenClassification"
    peft_type: str | None = "TOKEN_CLS"
    reads_one_token: bool = False
    evaluation_tokens: int = 3072

    @property
    def chance_is(self) -> str:
        """Of spans, and of tags."""
        return "finding no span" if self._of_spans else "always the most frequent tag"

    def cache_key(self, source: DatasetSource) -> list[Any]:
        """Columns, length and tokenizer; whether truth counts spans or words."""
        task, most = self.settings, most_tokens(self.settings.max_length, self.tokenizer)
        words = [lead(self.tokenizer), vocabulary_of(self.tokenizer)]
        return [task.words, task.label, most, self._of_spans, *words]

    def read(self, table: Table, classes: tuple[str, ...] | None) -> Content:
        """Words and tags. Words that are cut are not asked; nor are those of a span that is cut in two.

        Truth counts them all the same: the spans of each example, or its words, and those of them with the most
        frequent tag.
        """
        assert self.settings.words is not None
        assert self.settings.label is not None
        most = most_tokens(self.settings.max_length, self.tokenizer)
        words = word_lists(table, self.settings.words)
        lists = tag_lists(table, self.settings.label, words)
        tags, names = indices_of_lists(table, self.settings.label, lists, classes)
        if self._of_spans:
            _require_span_tags(table, names)
        read = split(self.tokenizer, words, most)
        every = np.full(len(read.tokens.ids), NOT_ASKED, dtype=np.int32)
        spans, missed = np.zeros(len(tags)), 0
        for row, (wanted, firsts) in enumerate(zip(tags, read.firsts, strict=True)):
            asked = firsts != CUT
            if self._of_spans:
                of_row = Tags.of(names).spans(wanted, np.zeros(len(wanted), dtype=np.int64))
                for first, last, _ in of_row[[not asked[first : last + 1].all() for first, last, _ in of_row]]:
                    asked[first : last + 1] = False
                    missed += 1
                spans[row] = len(of_row)
            every[read.tokens.offsets[row] + firsts[asked]] = wanted[asked]
        note = self._note(read.firsts, read.unknown, missed, most)
        return Content(Tagged(read.tokens, every), spans if self._of_spans else _words(tags), names, note)

    def load(self, folder: Path) -> Examples:
        """Tagged words."""
        return Tagged(Tokens.load(folder), np.load(folder / "tags.npy", mmap_mode="r"))

    def collate(self, examples: Examples, rows: Rows, truth: Values) -> tuple[dict[str, Tensor], Tensor]:
        """Token ids with mask, and tags at the first token of each word, both (batch, tokens)."""
        assert isinstance(examples, Tagged)
        inputs = examples.tokens.padded(rows, pad_of(self.tokenizer))
        targets = np.full(tuple(inputs["input_ids"].shape), NOT_ASKED, dtype=np.int64)
        for i, row in enumerate(rows):
            tags = examples.tags[examples.tokens.offsets[row] : examples.tokens.offsets[row + 1]]
            targets[i, : len(tags)] = tags
        return inputs, torch.from_numpy(targets)

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scores of the words, (asked words, tags)."""
        return asked_scores(model(**batch.inputs).logits, batch.targets)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy of the words; 0 where none is asked."""
        return token_loss(outputs, batch.targets) if len(outputs) else outputs.float().sum()

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """Right spans, and spans that are called, (batch, 2); or words whose tag is right, (batch,)."""
        scores = self.outputs(model, batch)
        if not self._of_spans:
            return token_sums(self.settings.metric, scores, batch.targets)
        names = Outputs.of(model)
        assert names is not None
        asked = batch.targets != NOT_ASKED
        sentences, wanted = asked.nonzero()[:, 0].cpu().numpy(), batch.targets[asked].cpu().numpy()
        called = scores.argmax(dim=-1).cpu().numpy()
        return torch.from_numpy(Tags.of(names.names).found(wanted, called, sentences, len(batch)))

    def chance(self, truth: Values, judge: Metric) -> float:
        """No span, or always the most frequent tag."""
        return 0.0 if self._of_spans else TagAccuracy.majority(truth)

    @property
    def _of_spans(self) -> bool:
        return self.settings.metric == "f1"

    def _note(self, firsts: Sequence[NDArray[np.int64]], unknown: int, missed: int, most: int) -> str:
        """What is cut, and what the tokenizer does not know."""
        words, cut = sum(map(len, firsts)), sum(int((row == CUT).sum()) for row in firsts)
        empty = sum(not len(row) for row in firsts)
        notes = [f"{empty:,} of {len(firsts):,} rows have no words"] if empty else []
        if cut:
            rows = sum(bool((row == CUT).any()) for row in firsts)
            those = f", which count as {'called O' if self._of_spans else 'wrong'}"
            those += f"; {missed:,} {'span is' if missed == 1 else 'spans are'} missed by that" if missed else ""
            notes.append(
                f"{rows:,} of {len(firsts):,} rows are cut to {most} tokens, and lose {cut:,} of {words:,} words"
                f"{those}"
            )
        if unknown:
            said = shown(self.tokenizer.unk_token)
            notes.append(f"{unknown:,} words of which the tokenizer makes nothing are read as {said}")
        return "; ".join(notes)


def _words(tags: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """The words of each row, and those of the most frequent tag: (rows, 2)."""
    most = np.bincount(np.concatenate(tags)).argmax()
    return np.array([(len(row), (row == most).sum()) for row in tags], dtype=np.float64)


def _require_span_tags(table: Table, names: Sequence[str]) -> None:
    """Raise InputError for a tag that is of no span, and where all are outside of spans."""
    odd = next((name for name in names if not is_span_tag(name)), None)
    if odd is not None:
        raise InputError(
            f"{printable(table.source)}: task.metric is f1, which counts spans, but a tag is {shown(odd)}; "
            "tags of spans are O, and B-, I-, E- and S- with a type behind; for others take token-accuracy",
            "task.metric",
        )
    if all(name == OUTSIDE for name in names):
        raise InputError(f"{printable(table.source)}: no word is in a span; all tags are O", TAGS_FIELD)
