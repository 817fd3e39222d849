"""Many texts in one array of bytes, memory-mapped from the cache."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Strings:
    """Text `i` is `data[offsets[i]:offsets[i + 1]]` in UTF-8."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, place: int) -> str:
        return self.data[self.offsets[place] : self.offsets[place + 1]].tobytes().decode("utf-8")

    @classmethod
    def of(cls, texts: Iterable[str]) -> Strings:
        """Put texts one behind the other."""
        encoded = [text.encode("utf-8") for text in texts]
        offsets = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def save(self, folder: Path, name: str) -> None:
        """Write the arrays into `folder`, under names that begin with `name`."""
        np.save(folder / f"{name}.npy", self.data)
        np.save(folder / f"{name}_offsets.npy", self.offsets)

    @classmethod
    def load(cls, folder: Path, name: str) -> Strings:
        """Map what `save` wrote into memory; an empty array cannot be mapped, and is read."""
        offsets = np.load(folder / f"{name}_offsets.npy", mmap_mode="r")
        return cls(np.load(folder / f"{name}.npy", mmap_mode="r" if offsets[-1] else None), offsets)
