"""Tokenised texts of any length in flat arrays, memory-mapped from the cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tokens:
    """Example `i` is `ids[offsets[i]:offsets[i + 1]]`; `types` are segment ids, where the model has them."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    types: NDArray[np.uint8] | None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        return np.diff(self.offsets)

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`."""
        np.save(folder / "ids.npy", self.ids)
        np.save(folder / "offsets.npy", self.offsets)
        if self.types is not None:
            np.save(folder / "types.npy", self.types)

    @classmethod
    def load(cls, folder: Path) -> Tokens:
        """Map the arrays of `folder` into memory; all processes of a machine share the pages."""
        types = folder / "types.npy"
        return cls(
            np.load(folder / "ids.npy", mmap_mode="r"),
            np.load(folder / "offsets.npy", mmap_mode="r"),
            np.load(types, mmap_mode="r") if types.is_file() else None,
        )


def tokenise(tokenizer: Any, columns: list[list[str]], max_length: int) -> Tokens:
    """Tokenise one or two columns of text, cut to `max_length` tokens, special tokens included."""
    encoded = tokenizer(
        *columns, truncation=True, max_length=max_length, padding=False, return_attention_mask=False
    )
    lengths = [len(ids) for ids in encoded["input_ids"]]
    types = encoded.get("token_type_ids")
    return Tokens(
        np.concatenate([np.asarray(ids, dtype=np.int32) for ids in encoded["input_ids"]]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        None if types is None else np.concatenate([np.asarray(t, dtype=np.uint8) for t in types]),
    )
