"""Examples of several sequences each, as of choices or of windows; those of example `i` lie together.

`firsts` says where: those of example `i` are `firsts[i]` to `firsts[i + 1]`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msplora_search.tasks.parts import Batch, Rows
from msplora_search.tasks.tokens import Tokens


def padded_lengths(sequences: Tokens, firsts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tokens of each example, its sequences padded to the longest of them: (examples,)."""
    longest = np.maximum.reduceat(sequences.lengths, firsts[:-1])
    return np.asarray(longest * np.diff(firsts))


def sequences_at(firsts: NDArray[np.int64], rows: Rows) -> tuple[NDArray[np.int64], Tensor]:
    """The sequences of some examples, (sequences,), and where each belongs: (rows, most sequences) of bool."""
    counts = firsts[rows + 1] - firsts[rows]
    flat = np.concatenate([np.arange(firsts[row], firsts[row + 1]) for row in rows])
    return flat, torch.from_numpy(np.arange(counts.max()) < counts[:, None])


def filled(there: Tensor, sequences: Tensor, filler: int) -> Tensor:
    """(sequences, ...) -> (rows, most sequences, ...), with `filler` where there is none."""
    found = sequences.new_full((*there.shape, *sequences.shape[1:]), filler)
    found[there] = sequences
    return found


def there_of(batch: Batch) -> Tensor:
    """Which sequences there are, the others having a mask of zeros: (batch, most sequences)."""
    return batch.inputs["attention_mask"].any(dim=-1)
