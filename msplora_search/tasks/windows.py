"""Cuts a question and a long context into windows that a model can read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msplora_search.tasks.reading.answers import Answers
from msplora_search.tasks.tokenising import ROWS_AT_ONCE, bounded, separator

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Window:
    """A question and a part of its context."""

    ids: Ints
    types: NDArray[np.uint8] | None
    starts: Ints
    """The context's character that each token begins at, -1 where it is not of the context: (tokens,)."""
    ends: Ints
    """That behind its last, likewise."""
    null: int
    """The place of the token that stands for no answer: the tokenizer's CLS, or the first."""

    def span(self, answer: tuple[int, int] | None, is_first: bool, is_last: bool) -> tuple[int, int]:
        """Places of the first and the last token of an answer from one character to before another.

        Those of the token for no answer where it is not, or not as a whole, in this window.
        """
        places = np.flatnonzero(self.starts >= 0)
        nothing = (self.null, self.null)
        if answer is None or not len(places):
            return nothing
        starts, ends = self.starts[places], self.ends[places]
        if (not is_first and answer[0] < starts[0]) or (not is_last and answer[1] > ends[-1]):
            return nothing
        first = int(np.searchsorted(ends, answer[0], side="right"))
        last = int(np.searchsorted(starts, answer[1], side="left")) - 1
        return (int(places[first]), int(places[last])) if first <= last < len(places) else nothing


def windows_of(
    tokenizer: Any, questions: Sequence[str], contexts: Sequence[str], most: int, stride: int
) -> tuple[list[list[Window]], int]:
    """The windows of each question, of up to `most` tokens, and how many questions are cut.

    Neighbouring windows share `stride` tokens of the context, or half of their context where that is less. A
    question keeps its first tokens, up to half of what a window holds.
    """
    between = separator(tokenizer)
    room = most - int(tokenizer.num_special_tokens_to_add(pair=True)) - len(between.ids)
    asked, rooms, cut = _questions(tokenizer, questions, between.text, room)
    by_stride: dict[int, list[int]] = defaultdict(list)
    for row, left in enumerate(rooms):
        by_stride[min(stride, left // 2)].append(row)
    found: list[list[Window]] = [[] for _ in questions]
    for shared, rows in by_stride.items():
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            pairs = [asked[row] for row in some], [contexts[row] for row in some]
            for place, window in _encoded(tokenizer, *pairs, most, shared):
                found[some[place]].append(window)
    for windows in found:
        windows.sort(
            key=lambda window: window.ends.max()
        )  # a tokenizer that cuts the beginning gives the last first
    return found, cut


def target_of(answers: Answers) -> tuple[int, int] | None:
    """The characters that are trained on: those of the first answer."""
    if not answers.texts:
        return None
    return answers.starts[0], answers.starts[0] + len(answers.texts[0])


def _questions(
    tokenizer: Any, questions: Sequence[str], between: str, room: int
) -> tuple[list[str], list[int], int]:
    """Questions with what stands behind them, how many tokens each leaves, and how many are cut."""
    asked, left, cut = [], [], 0
    for start in range(0, len(questions), ROWS_AT_ONCE):
        some = [bounded(text, room) for text in questions[start : start + ROWS_AT_ONCE]]
        encoded = tokenizer(some, add_special_tokens=False, return_offsets_mapping=True)
        for text, offsets in zip(some, encoded["offset_mapping"], strict=True):
            kept, end = min(len(offsets), room // 2), len(text)
            if kept < len(offsets):
                end, cut = offsets[kept - 1][1] if kept else 0, cut + 1
            asked.append(text[:end] + between)
            left.append(room - kept)
    return asked, left, cut


def _encoded(
    tokenizer: Any, questions: list[str], contexts: list[str], most: int, stride: int
) -> Iterator[tuple[int, Window]]:
    """The windows of some questions, each with the place of its question."""
    encoded = tokenizer(
        questions,
        contexts,
        truncation="only_second",
        max_length=most,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=False,
        return_attention_mask=False,
    )
    types = encoded.get("token_type_ids")
    cls = tokenizer.cls_token_id
    for number, (ids, place) in enumerate(
        zip(encoded["input_ids"], encoded["overflow_to_sample_mapping"], strict=True)
    ):
        of_context = np.array([part == 1 for part in encoded.sequence_ids(number)], dtype=bool)
        offsets = np.array(encoded["offset_mapping"][number], dtype=np.int32).reshape(-1, 2)
        of_context &= offsets[:, 1] > offsets[:, 0]
        yield (
            int(place),
            Window(
                ids=np.asarray(ids, dtype=np.int32),
                types=None if types is None else np.asarray(types[number], dtype=np.uint8),
                starts=np.where(of_context, offsets[:, 0], -1).astype(np.int32),
                ends=np.where(of_context, offsets[:, 1], -1).astype(np.int32),
                null=ids.index(cls) if cls in ids else 0,
            ),
        )
