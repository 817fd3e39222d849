"""Questions about texts: their tokens in windows, and what it takes to say how good an answer is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msplora_search.tasks.several import padded_lengths
from msplora_search.tasks.strings import Strings
from msplora_search.tasks.tokens import Tokens

ARRAYS = ("firsts", "starts", "ends", "nulls", "spans", "context_of", "answers_from")


@dataclass(frozen=True)
class Passages:
    """Every example has one window or several, see `several`."""

    windows: Tokens
    """Question and a part of the context, one window behind the other."""
    firsts: NDArray[np.int64]
    starts: NDArray[np.int32]
    """For each token of all windows: the context's character that it begins at; -1 where it is not of it."""
    ends: NDArray[np.int32]
    """That behind its last; -1 likewise."""
    nulls: NDArray[np.int32]
    """(windows,) the place of the token that stands for no answer."""
    spans: NDArray[np.int32]
    """(windows, 2) places of the first and last token of the answer; of that for none where it is not there."""
    contexts: Strings
    """Each once."""
    context_of: NDArray[np.int64]
    """(examples,)"""
    answers: Strings
    answers_from: NDArray[np.int64]
    """The right answers of example `i` are `answers[answers_from[i]:answers_from[i + 1]]`."""

    def __len__(self) -> int:
        return len(self.firsts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, its windows padded to the longest of them."""
        return padded_lengths(self.windows, self.firsts)

    @property
    def all_answered(self) -> bool:
        """Whether no question is without an answer."""
        return bool((np.diff(self.answers_from) > 0).all())

    def context(self, row: int) -> str:
        """The text that is asked about."""
        return self.contexts[int(self.context_of[row])]

    def right(self, row: int) -> list[str]:
        """The right answers; none where there is none."""
        return [self.answers[place] for place in range(self.answers_from[row], self.answers_from[row + 1])]

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`."""
        self.windows.save(folder)
        self.contexts.save(folder, "contexts")
        self.answers.save(folder, "answers")
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def load(cls, folder: Path) -> Passages:
        """Map the arrays of `folder` into memory."""
        return cls(
            windows=Tokens.load(folder),
            contexts=Strings.load(folder, "contexts"),
            answers=Strings.load(folder, "answers"),
            **{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS},
        )
