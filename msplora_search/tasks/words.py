"""Texts that come as lists of words: the words of a row, their tags, and their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msplora_search.errors import InputError
from msplora_search.tasks.reading.cells import class_of, lists_of, text_of
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.tokenising import bounded, portions
from msplora_search.tasks.tokens import Tokens
from msplora_search.text import printable, shown

WORDS_FIELD, TAGS_FIELD = "task.words", "task.label"
CUT = -1
"""Stands in place of the first token of a word that has none."""
Lists = list[list[str]]


@dataclass(frozen=True)
class Split:
    """The tokens of all rows, and which token is the first of which word."""

    tokens: Tokens
    firsts: list[NDArray[np.int64]]
    """Of each row, (words,): the place of each word's first token among those of the row, CUT where it is cut."""
    unknown: int
    """Words of which the tokenizer makes nothing, and that are read as its unknown token."""


def word_lists(table: Table, name: str) -> Lists:
    """The words of each row. Raises InputError naming the row of what is no list of texts."""
    return lists_of(table, WORDS_FIELD, name, text_of, "a list of words")


def tag_lists(table: Table, name: str, words: Lists) -> Lists:
    """The tags of each row, one a word. Raises InputError naming the row where it is otherwise."""
    tags = lists_of(table, TAGS_FIELD, name, class_of, "a list of tags, text or whole numbers")
    for row, (own, those) in enumerate(zip(words, tags, strict=True)):
        if len(own) != len(those):
            raise table.refused(
                TAGS_FIELD, name, row, f"has {len(those):,} tags for {len(own):,} words; each word must have one"
            )
    if not any(words):
        raise InputError(
            f"{printable(table.source)}: no row has a word; column {shown(name)} must hold tags of words",
            TAGS_FIELD,
        )
    return tags


def lead(tokenizer: Any) -> str:
    """What is put before every word but the first, so that its tokens are those that it has within a text.

    A space for tokenizers that tell a word behind a space from one at the beginning, when words come one by one.
    """
    within = tokenizer("a a", add_special_tokens=False)["input_ids"]
    for between in ("", " "):
        if (
            tokenizer(["a", f"{between}a"], is_split_into_words=True, add_special_tokens=False)["input_ids"]
            == within
        ):
            return between
    return ""


def split(tokenizer: Any, words: Lists, most: int) -> Split:
    """Tokenise lists of words, cut to `most` tokens, special tokens included, on the tokenizer's own side.

    A row without words has the unknown token alone. Raises InputError where the tokenizer has none for a word
    of which it makes nothing.
    """
    if not tokenizer.is_fast:
        raise InputError("task.kind: the model's tokenizer does not say which token is of which word", "task.kind")
    between, from_end = lead(tokenizer), tokenizer.truncation_side == "left"
    ids: list[Any] = []
    types: list[Any] = []
    firsts: list[NDArray[np.int64]] = []
    unknown = 0
    for rows in portions([[" ".join(row) for row in words]]):
        # Each word has a token or more, so none beyond can matter.
        offsets = [max(0, len(row) - most) if from_end else 0 for row in words[rows]]
        read = [row[start : start + most] for start, row in zip(offsets, words[rows], strict=True)]
        encoded, lost = _encoded(tokenizer, [_led(row, between, most) for row in read], most)
        unknown += lost
        ids += [np.asarray(one, dtype=np.int32) for one in encoded["input_ids"]]
        types += [np.asarray(one, dtype=np.uint8) for one in encoded.get("token_type_ids") or ()]
        for row, start, encoding in zip(words[rows], offsets, encoded.encodings, strict=True):
            firsts.append(_firsts(encoding, len(row), start, from_end))
    return Split(Tokens.of(ids, types or None), firsts, unknown)


def _led(words: Sequence[str], between: str, most: int) -> list[str]:
    """The words as they are tokenised; the first of what is left after a cut too begins a text."""
    return [bounded(between * (place > 0) + word, most) for place, word in enumerate(words)]


def _encoded(tokenizer: Any, words: Lists, most: int) -> tuple[Any, int]:
    """The tokens of rows of words, and how many words were read as the unknown token."""
    lost = 0

    def encoded() -> Any:
        return tokenizer(
            words,
            is_split_into_words=True,
            truncation=True,
            max_length=most,
            padding=False,
            return_attention_mask=False,
        )

    words = [row or [_unknown(tokenizer)] for row in words]
    found = encoded()
    for row, encoding in zip(words, found.encodings, strict=True):
        seen = {word for part in (encoding, *encoding.overflowing) for word in part.word_ids}
        for place in set(range(len(row))) - seen:
            row[place] = _unknown(tokenizer)
            lost += 1
    return (encoded() if lost else found), lost


def _unknown(tokenizer: Any) -> str:
    if tokenizer.unk_token is None:
        raise InputError(
            "task.words: a row has no words, or one of which the model's tokenizer makes nothing, and it has no "
            "token for unknown words; leave such words and rows out",
            WORDS_FIELD,
        )
    return str(tokenizer.unk_token)


def _firsts(encoding: Any, words: int, start: int, from_end: bool) -> NDArray[np.int64]:
    """(words,) see `Split`; those of the encoding begin at word `start`."""
    places = np.full(words, CUT, dtype=np.int64)
    elsewhere = {word for part in encoding.overflowing for word in part.word_ids} if from_end else set()
    for place, word in enumerate(encoding.word_ids):
        # A word that is cut in two has its first token on the side that is cut off, where that is the beginning.
        if word is not None and word not in elsewhere and word < words and places[start + word] == CUT:
            places[start + word] = place
    return places
