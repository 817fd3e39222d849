"""Two or three texts an example, each tokenised alone, and which of them are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from msplora_search.tasks.tokens import Tokens


@dataclass(frozen=True)
class Anchored:
    """Anchor, positive and, where there is one, negative of each example."""

    columns: tuple[Tokens, ...]
    numbers: NDArray[np.int64]
    """(rows, columns); two texts have one number where their tokens are the same, so that no model tells them
    apart."""

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, of all its texts."""
        return np.asarray(sum(tokens.lengths for tokens in self.columns))

    @classmethod
    def of(cls, columns: Sequence[Tokens]) -> Anchored:
        """Number the texts as they appear, column by column."""
        known: dict[bytes, int] = {}
        numbers = [[known.setdefault(tokens[i].tobytes(), len(known)) for i in range(len(tokens))]
                   for tokens in columns]  # fmt: skip
        return cls(tuple(columns), np.array(numbers, dtype=np.int64).T)

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`, a folder for each column."""
        for place, tokens in enumerate(self.columns):
            (folder / str(place)).mkdir()
            tokens.save(folder / str(place))
        np.save(folder / "numbers.npy", self.numbers)

    @classmethod
    def load(cls, folder: Path) -> Anchored:
        """Map the arrays of `folder` into memory."""
        numbers = np.load(folder / "numbers.npy", mmap_mode="r")
        return cls(tuple(Tokens.load(folder / str(place)) for place in range(numbers.shape[1])), numbers)

    def padded(self, rows: NDArray[np.int64], pad_token_id: int) -> dict[str, Tensor]:
        """Inputs of each column, (rows, its longest), under names such as `0.input_ids`."""
        return {
            f"{place}.{name}": tensor
            for place, tokens in enumerate(self.columns)
            for name, tensor in tokens.padded(rows, pad_token_id).items()
        }


def of_column(inputs: dict[str, Tensor], place: int) -> dict[str, Tensor]:
    """Of what `padded` gives, the inputs of one column, under the model's names; none where there is no such."""
    start = f"{place}."
    return {name.removeprefix(start): tensor for name, tensor in inputs.items() if name.startswith(start)}
