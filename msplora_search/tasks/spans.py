"""Spans that tags of words say, such as B-PER I-PER O: where they begin and end, and how many are found.

By the rules of the library seqeval in its default mode, also for odd sequences such as I-PER after O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
OUTSIDE, ALONE = "O", "BIES"
"""The tag of no span, and those that say where in a span a word is, with or without `-` and a type behind it."""


def is_span_tag(name: str) -> bool:
    """Whether a tag is O, or one of B, I, E and S with or without a type, as in IOB1, IOB2 and IOBES."""
    return name == OUTSIDE or name in tuple(ALONE) or (name[:1] in tuple(ALONE) and name[1:2] == "-")


@dataclass(frozen=True)
class Tags:
    """What tags say, by their index."""

    letters: NDArray[Any]
    """(tags,) O, B, I, E or S."""
    types: Integers
    """(tags,) index of what a span is of; those that differ in nothing but the letter have the same."""

    @classmethod
    def of(cls, names: Sequence[str]) -> Tags:
        """`names` are span tags, see `is_span_tag`."""
        types = [name[1:].split("-", maxsplit=1)[-1] or "_" for name in names]
        known = {one: index for index, one in enumerate(dict.fromkeys(types))}
        return cls(np.array([name[0] for name in names]), np.array([known[one] for one in types]))

    def spans(self, tags: Integers, sentences: Integers) -> Integers:
        """tags, sentences: (words,), sentences one after another -> (spans, 3): first word, last word, type.

        A span begins at B and S, after E, S and O, and where the type is another than before.
        """
        letters, types = self.letters[tags], self.types[tags]
        inside, alike = letters != OUTSIDE, np.zeros(len(tags), dtype=bool)
        alike[1:] = (types[1:] == types[:-1]) & (sentences[1:] == sentences[:-1])
        goes_on = inside & alike & np.isin(letters, ("I", "E"))
        goes_on[1:] &= np.isin(letters[:-1], ("B", "I"))
        ends = inside.copy()
        ends[:-1] &= ~goes_on[1:]
        starts, stops = np.flatnonzero(inside & ~goes_on), np.flatnonzero(ends)
        return np.stack([starts, stops, types[starts]], axis=1)

    def found(self, wanted: Integers, called: Integers, sentences: Integers, count: int) -> Integers:
        """How many spans are right, and how many are called, in each of `count` sentences: (sentences, 2).

        wanted, called: tags (words,); sentences: (words,) which sentence each word is of, in rising order. A span
        is right where first word, last word and type are those of a wanted one.
        """
        true, own = self.spans(wanted, sentences), self.spans(called, sentences)
        right = own[np.isin(_keys(own, len(wanted)), _keys(true, len(wanted)))]
        each = [np.bincount(sentences[spans[:, 0]], minlength=count) for spans in (right, own)]
        return np.stack(each, axis=1).astype(np.int64)


def _keys(spans: Integers, words: int) -> Integers:
    """A number for each span, which no other has."""
    return np.asarray((spans[:, 2] * words + spans[:, 0]) * words + spans[:, 1])
