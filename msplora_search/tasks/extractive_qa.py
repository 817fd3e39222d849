"""Extractive question answering: the answer is a span of a text, or there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msplora_search.settings.task import DatasetSource, TaskSettings
from msplora_search.tasks.answer_spans import MOST_TOKENS, best_spans
from msplora_search.tasks.kind import Content
from msplora_search.tasks.language import NOT_ASKED
from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.parts import Batch, Examples, Rows
from msplora_search.tasks.passages import Passages
from msplora_search.tasks.reading.answers import Answers, answers_of
from msplora_search.tasks.reading.cells import empty_note, texts
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.several import filled, sequences_at, there_of
from msplora_search.tasks.squad import best, exact_match, word_f1
from msplora_search.tasks.strings import Strings
from msplora_search.tasks.tokenising import separator
from msplora_search.tasks.tokens import Tokens, most_tokens, pad_of, vocabulary_of
from msplora_search.tasks.windows import Window, target_of, windows_of
from msplora_search.text import shown

OURS = ("context_starts", "context_ends", "null_tokens")
"""Inputs that the model does not read, but its answers are made with."""


@dataclass(frozen=True)
class ExtractiveQA:
    """See `kind.Kind`. A context that is too long is read in windows, and the best answer of all of them counts.

    The inputs of an example are (windows, tokens), filled up over a batch with windows of no token, which no model
    gets to see. In a window without the answer, the token that stands for no answer is the right one.
    """

    settings: TaskSettings
    tokenizer: Any
    auto_class: str = "AutoModelForQuestionAnswering"
    reads_one_token: bool = False
    evaluation_tokens: int = 3072
    chance_is: str = "always no answer"

    @property
    def peft_type(self) -> str | None:
        """None where the model reads segment ids: PEFT's class of the type gives it none (up to 0.21 at least)."""
        return None if "token_type_ids" in self.tokenizer.model_input_names else "QUESTION_ANS"

    def cache_key(self, source: DatasetSource) -> list[Any]:
        """Columns, length, stride and tokenizer."""
        task, most = self.settings, most_tokens(self.settings.max_length, self.tokenizer)
        columns = [task.question, task.context, task.answers, most, stride_of(task, most)]
        return [*columns, separator(self.tokenizer).text, vocabulary_of(self.tokenizer)]

    def read(self, table: Table, classes: tuple[str, ...] | None) -> Content:
        """Windows with the places of answers; the truth is 1 for questions with an answer, and 0 for others."""
        task = self.settings
        assert task.question is not None
        assert task.context is not None
        assert task.answers is not None
        (questions,) = texts(table, [task.question], "task.question")
        (contexts,) = texts(table, [task.context], "task.context")
        notes = [
            empty_note(table, [task.question], [questions], "task.question"),
            empty_note(table, [task.context], [contexts], "task.context"),
        ]
        answers = answers_of(table, task.answers, contexts)
        most = most_tokens(task.max_length, self.tokenizer)
        windows, cut = windows_of(self.tokenizer, questions, contexts, most, stride_of(task, most))
        passages = _passages(windows, contexts, answers)
        notes.append(f"{cut:,} of {len(questions):,} questions are cut to half of {most} tokens" if cut else "")
        notes += _told(passages, most)
        if (between := separator(self.tokenizer)).ids:
            notes.append(f"{shown(between.text)} stands behind a question, for the tokenizer puts nothing there")
        truth = np.array([float(bool(one.texts)) for one in answers])
        return Content(passages, truth, (), "; ".join(filter(None, notes)))

    def load(self, folder: Path) -> Examples:
        """Questions and their contexts."""
        return Passages.load(folder)

    def collate(self, examples: Examples, rows: Rows, truth: Values) -> tuple[dict[str, Tensor], Tensor]:
        """Token ids with mask, (batch, windows, tokens), and places of answers, (batch, windows, 2)."""
        assert isinstance(examples, Passages)
        flat, there = sequences_at(examples.firsts, rows)
        padded = examples.windows.padded(flat, pad_of(self.tokenizer))
        tokens = padded["attention_mask"].shape[1]
        padded["context_starts"] = _rows_of(examples.starts, examples.windows.offsets, flat, tokens)
        padded["context_ends"] = _rows_of(examples.ends, examples.windows.offsets, flat, tokens)
        nulls = examples.nulls[flat].astype(np.int64)
        padded["null_tokens"] = torch.from_numpy(np.full_like(nulls, -1) if examples.all_answered else nulls)
        fillers = {"input_ids": pad_of(self.tokenizer), **dict.fromkeys(OURS, -1)}
        inputs = {name: filled(there, of, fillers.get(name, 0)) for name, of in padded.items()}
        return inputs, filled(there, torch.from_numpy(examples.spans[flat].astype(np.int64)), NOT_ASKED)

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scores of each token as first and as last of the answer, (tokens of all windows, 2)."""
        there = there_of(batch)
        found = model(**{name: of[there] for name, of in batch.inputs.items() if name not in OURS})
        scores = torch.stack([found.start_logits, found.end_logits], dim=-1)
        return scores[batch.inputs["attention_mask"][there].bool()]

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy of first and last token over the tokens of each window."""
        return F.cross_entropy(_by_window(outputs.float(), batch), batch.targets[there_of(batch)])

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """The answer's first character in the context, and that behind its last: (batch, 2), -1 for no answer."""
        return best_spans(
            _by_window(self.outputs(model, batch).float(), batch),
            there_of(batch),
            batch.inputs["context_starts"],
            batch.inputs["context_ends"],
            batch.inputs["null_tokens"],
        )

    def settled(self, examples: Examples, rows: Rows, predictions: Values) -> Values:
        """F1 of words, or exact match, of each answer with the right ones: (rows,)."""
        assert isinstance(examples, Passages)
        score = exact_match if self.settings.metric == "exact-match" else word_f1
        found = [
            best(score, examples.context(row)[start:end] if start >= 0 else "", examples.right(row))
            for row, (start, end) in zip(rows.tolist(), predictions.tolist(), strict=True)
        ]
        return np.array(found, dtype=np.float64)

    def chance(self, truth: Values, judge: Metric) -> float:
        """Always no answer."""
        return judge.score(truth, 1 - truth)


def stride_of(task: TaskSettings, most: int) -> int:
    """Tokens that neighbouring windows of up to `most` share, unless said otherwise a quarter of them."""
    return most // 4 if task.stride is None else task.stride


def _passages(windows: list[list[Window]], contexts: Sequence[str], answers: Sequence[Answers]) -> Passages:
    flat = [window for of in windows for window in of]
    spans = [
        window.span(target_of(one), i == 0, i == len(of) - 1)
        for of, one in zip(windows, answers, strict=True)
        for i, window in enumerate(of)
    ]
    places = {text: place for place, text in enumerate(dict.fromkeys(contexts))}
    types = [window.types for window in flat if window.types is not None]
    return Passages(
        windows=Tokens.of([window.ids for window in flat], types or None),
        firsts=np.cumsum([0, *map(len, windows)]).astype(np.int64),
        starts=np.concatenate([window.starts for window in flat]),
        ends=np.concatenate([window.ends for window in flat]),
        nulls=np.array([window.null for window in flat], dtype=np.int32),
        spans=np.array(spans, dtype=np.int32),
        contexts=Strings.of(places),
        context_of=np.array([places[text] for text in contexts], dtype=np.int64),
        answers=Strings.of(text for one in answers for text in one.texts),
        answers_from=np.cumsum([0, *(len(one.texts) for one in answers)]).astype(np.int64),
    )


def _told(passages: Passages, most: int) -> list[str]:
    """What is to be known of windows and answers."""
    counts, answered = np.diff(passages.firsts), np.diff(passages.answers_from) > 0
    found, spans = passages.spans[:, 0] != passages.nulls, passages.spans
    in_some = np.logical_or.reduceat(found, passages.firsts[:-1])
    too_long = found & (spans[:, 1] - spans[:, 0] >= MOST_TOKENS)
    long = int(np.logical_or.reduceat(too_long, passages.firsts[:-1]).sum())
    whole, answers = f"{len(counts):,} questions", f"{int(answered.sum()):,} answers"
    many = f"{int((counts > 1).sum()):,} of {whole} have a context in several windows of {most} tokens"
    none = f"{int((~answered).sum()):,} of {whole} have no answer"
    lost = int((answered & ~in_some).sum())
    return [
        f"{many}, {len(spans):,} windows in all" if (counts > 1).any() else "",
        none if not answered.all() else "",
        f"{lost:,} of {answers} are whole in no window; a larger task.stride keeps them" if lost else "",
        f"{long:,} of {answers} have more than the {MOST_TOKENS} tokens that are given at most" if long else "",
    ]


def _rows_of(values: Values, offsets: Values, windows: Values, tokens: int) -> Tensor:
    """The values of the tokens of some windows, (windows, tokens), -1 behind the last."""
    found = np.full((len(windows), tokens), -1, dtype=np.int64)
    for i, window in enumerate(windows):
        start, stop = int(offsets[window]), int(offsets[window + 1])
        found[i, : stop - start] = values[start:stop]
    return torch.from_numpy(found)


def _by_window(scores: Tensor, batch: Batch) -> Tensor:
    """(tokens of all windows, 2) -> (windows that are there, tokens, 2), -inf where there is padding."""
    real = batch.inputs["attention_mask"][there_of(batch)].bool()[..., None].expand(-1, -1, 2)
    return scores.new_full(real.shape, -torch.inf).masked_scatter(real, scores)
