"""Low-rank matrices of every layer as factors: sums of them are applied, and fitted, without being made whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Factors:
    """Matrices `up @ down`, and which of them each layer has."""

    up: Tensor
    """(n, p, k)"""
    down: Tensor
    """(n, k, q)"""
    of: Tensor
    """(layers,), from 0 to n - 1."""

    @property
    def rank(self) -> int:
        """Of each matrix, at most."""
        return self.up.shape[2]

    def each(self, parts: Tensor) -> Tensor:
        """(n, ...) as (layers, ...)."""
        layers = len(self.of)
        return parts if len(parts) == layers else parts[self.of]

    def times(self, right: Tensor) -> Tensor:
        """(layers, q, m) to (layers, p, m)."""
        return self.each(self.up) @ (self.each(self.down) @ right)

    def turned(self, left: Tensor) -> Tensor:
        """The transposed times (layers, p, m): (layers, q, m)."""
        return self.each(self.down).mT @ (self.each(self.up).mT @ left)

    def mean(self, parts: Tensor) -> Tensor:
        """(layers, ...) as the means (n, ...) over the layers that have the same matrix."""
        if len(self.up) == len(self.of):
            return parts
        sums = parts.new_zeros(len(self.up), *parts.shape[1:]).index_add_(0, self.of, parts)
        counts = torch.bincount(self.of, minlength=len(self.up)).clamp_min(1)
        return sums / counts.to(parts.dtype)[:, None, None]

    @property
    def whole(self) -> Tensor:
        """(layers, p, q)."""
        return self.each(self.up @ self.down)


def refitted(updates: Factors, level: Factors, others: Sequence[Factors]) -> Factors:
    """`level` nearer to what `others` leave of the updates, by one step of alternating least squares.

    First the best columns for the rows it has, then the best rows for these columns, each in closed form for
    the mean of the layers that share a matrix: the squared error cannot rise. (Its columns are orthonormal.)
    """
    if level.rank == 0:
        return level
    rows = level.each(level.down).mT
    columns = updates.times(rows)
    for other in others:
        columns = columns - other.times(rows)
    up = torch.linalg.qr(level.mean(columns)).Q
    wide = level.each(up)
    rest = updates.turned(wide)
    for other in others:
        rest = rest - other.turned(wide)
    return Factors(up, level.mean(rest).mT, level.of)


def squared_norm(parts: Sequence[Factors]) -> float:
    """Of the sum of `parts` over all layers."""
    up = torch.cat([f.each(f.up) for f in parts], dim=2)
    down = torch.cat([f.each(f.down) for f in parts], dim=1)
    return max(0.0, float(((up.mT @ up) * (down @ down.mT)).sum()))
