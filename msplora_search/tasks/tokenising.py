"""Turns texts into tokens: what stands between two of them, and how much of a long one is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msplora_search.errors import InputError
from msplora_search.tasks.tokens import Tokens
from msplora_search.text import printable

LEAST_CHARACTERS, CHARACTERS_A_TOKEN = 100_000, 100
"""A text is looked at up to so many characters: tokens of real text have about four."""
CHARACTERS_AT_ONCE, ROWS_AT_ONCE = 2_000_000, 1000
"""Tokenised together: a tokenizer holds about a hundred bytes a character."""


@dataclass(frozen=True)
class Separator:
    """What stands between two texts that are read as one; nothing where the tokenizer puts something there."""

    text: str = ""
    ids: tuple[int, ...] = ()


def separator(tokenizer: Any) -> Separator:
    """What a pair of texts needs between them.

    Nothing where the tokenizer gives a pair more special tokens than a single text, as BERT's does. Else the first
    that there is of its separating token, a line break that it keeps, and its end of a text.
    Raises InputError where there is none.
    """
    if tokenizer.num_special_tokens_to_add(pair=True) > tokenizer.num_special_tokens_to_add(pair=False):
        return Separator()
    for text in (tokenizer.sep_token, "\n" if keeps_line_breaks(tokenizer) else None, tokenizer.eos_token):
        ids = ids_of(tokenizer, text) if text else ()
        if text and ids:
            return Separator(text, ids)
    raise InputError(
        "task.text: the model's tokenizer has nothing to put between two texts; give one column that holds both",
        "task.text",
    )


def keeps_line_breaks(tokenizer: Any) -> bool:
    """Whether a line break is more than a space to the tokenizer, or nothing."""
    return ids_of(tokenizer, "a\na") not in (ids_of(tokenizer, "a a"), ids_of(tokenizer, "aa"))


def ids_of(tokenizer: Any, text: str) -> tuple[int, ...]:
    """The tokens of a text alone."""
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def tokenise(
    tokenizer: Any, columns: Sequence[list[str]], most: int, source: str, of_rows: Sequence[int] | None = None
) -> tuple[Tokens, int]:
    """Tokenise one or two columns of text, cut to `most` tokens, special tokens included.

    `of_rows`: the row that each text is of, where that is not its place. Also returns how many texts were cut.
    Raises InputError naming the row of a text that is none: see `bounded`.
    """
    between = separator(tokenizer).ids if len(columns) == 2 else ()
    from_end = tokenizer.truncation_side == "left"
    ids: list[Any] = []
    types: list[Any] = []
    cut = 0
    for rows in portions(columns):
        texts = [[bounded(text, most, from_end) for text in column[rows]] for column in columns]
        encoded = tokenizer(
            *texts, truncation=True, max_length=most - len(between), padding=False, return_attention_mask=False
        )
        for place, encoding in enumerate(encoded.encodings or ()):
            over = bool(encoding.overflowing)
            cut += over
            if not over:
                text = rows.start + place
                for column, part in zip(columns, texts, strict=True):
                    require_whole(column[text], part[place], source, of_rows[text] if of_rows else text)
        if between:
            encoded = _joined(encoded, between)
        ids += [np.asarray(one, dtype=np.int32) for one in encoded["input_ids"]]
        types += [np.asarray(one, dtype=np.uint8) for one in encoded.get("token_type_ids") or ()]
    return Tokens.of(ids, types or None), cut


def bounded(text: str, most: int, from_end: bool = False) -> str:
    """The part of a text that can matter where `most` tokens are kept: its first characters, or its last."""
    characters = max(LEAST_CHARACTERS, CHARACTERS_A_TOKEN * most)
    if len(text) <= characters:
        return text
    return text[-characters:] if from_end else text[:characters]


def require_whole(text: str, seen: str, source: str, row: int) -> None:
    """Raise InputError where only a part of a text was looked at, and that was not enough."""
    if len(seen) < len(text):
        raise InputError(
            f"{printable(source)}: row {row + 1} has a text of {len(text):,} characters, and {len(seen):,} of "
            "them make few tokens; it must be text of some language"
        )


def portions(columns: Sequence[list[str]]) -> Iterator[slice]:
    """Rows that are tokenised together."""
    start = characters = 0
    for row, cells in enumerate(zip(*columns, strict=True)):
        if row > start and (characters > CHARACTERS_AT_ONCE or row - start >= ROWS_AT_ONCE):
            yield slice(start, row)
            start, characters = row, 0
        characters += sum(map(len, cells))
    yield slice(start, len(columns[0]))


def _joined(encoded: Any, between: tuple[int, ...]) -> dict[str, list[list[int]]]:
    """The tokens of pairs with `between` before those of the second text, where there are any."""
    found: dict[str, list[list[int]]] = {"input_ids": [], "token_type_ids": []}
    types = encoded.get("token_type_ids")
    for row, ids in enumerate(encoded["input_ids"]):
        parts = encoded.sequence_ids(row)
        firsts = [place for place, part in enumerate(parts) if part == 0]
        place = parts.index(1) if 1 in parts else firsts[-1] + 1 if firsts else len(ids)
        found["input_ids"].append([*ids[:place], *between, *ids[place:]])
        if types is not None:
            found["token_type_ids"].append([*types[row][:place], *[0] * len(between), *types[row][place:]])
    return found
