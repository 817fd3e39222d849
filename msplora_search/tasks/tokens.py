"""Tokenised texts of any length in flat arrays, memory-mapped from the cache."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """Example `i` is `ids[offsets[i]:offsets[i + 1]]`; `types` are segment ids, where the model has them."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    types: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        return np.diff(self.offsets)

    @classmethod
    def of(cls, sequences: Iterable[Iterable[int]], types: Iterable[Iterable[int]] | None = None) -> Tokens:
        """Put sequences of token ids, and of segment ids, one behind the other."""
        rows = [np.asarray(ids, dtype=np.int32) for ids in sequences]
        return cls(
            np.concatenate(rows),
            np.concatenate([[0], np.cumsum([len(ids) for ids in rows])]).astype(np.int64),
            None if types is None else np.concatenate([np.asarray(t, dtype=np.uint8) for t in types]),
        )

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

    def padded(self, rows: NDArray[np.int64], pad_token_id: int) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask` and, where there are types, `token_type_ids`: (rows, longest)."""
        spans = [(int(self.offsets[i]), int(self.offsets[i + 1])) for i in rows]
        longest = max(stop - start for start, stop in spans)
        ids = np.full((len(spans), longest), pad_token_id, dtype=np.int64)
        mask = np.zeros((len(spans), longest), dtype=np.int64)
        types = np.zeros((len(spans), longest), dtype=np.int64)
        for i, (start, stop) in enumerate(spans):
            ids[i, : stop - start] = self.ids[start:stop]
            mask[i, : stop - start] = 1
            if self.types is not None:
                types[i, : stop - start] = self.types[start:stop]
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if self.types is not None:
            inputs["token_type_ids"] = torch.from_numpy(types)
        return inputs


def vocabulary_of(tokenizer: Any) -> str:
    """A text that changes when a tokenizer does; how it was last asked to cut and to pad is no part of it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        words = repr(sorted(tokenizer.get_vocab().items()))
    else:
        told = json.loads(backend.to_str())
        words = json.dumps({name: told[name] for name in told if name not in ("truncation", "padding")})
    return f"{words} {tokenizer.special_tokens_map} {tokenizer.truncation_side}"


def pad_of(tokenizer: Any) -> int:
    """The id to pad with: that of the end of a text where the tokenizer has none for it, or else any."""
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(int(token) for token in known if token is not None)


def most_tokens(max_length: int, tokenizer: Any) -> int:
    """Tokens kept of an example: `max_length`, or the model's context where that is less."""
    return min(max_length, int(tokenizer.model_max_length))
