"""Low-rank matrices of every layer as factors: sums of them are applied, and fitted, without being made whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

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
        return parts if _is_alone(self.of, len(parts)) else parts[self.of]

    def times(self, right: Tensor) -> Tensor:
        """(layers, q, m) to (layers, p, m)."""
        return self.each(self.up) @ (self.each(self.down) @ right)

    def turned(self, left: Tensor) -> Tensor:
        """The transposed times (layers, p, m): (layers, q, m)."""
        return self.each(self.down).mT @ (self.each(self.up).mT @ left)

    def mean(self, parts: Tensor) -> Tensor:
        """(layers, ...) as the means (n, ...) over the layers that have the same matrix."""
        return means(parts, self.of, len(self.up))

    @property
    def whole(self) -> Tensor:
        """(layers, p, q)."""
        return self.each(self.up @ self.down)


def _is_alone(of: Tensor, count: int) -> bool:
    """Whether each layer has a matrix of its own, in their order."""
    return count == len(of) and torch.equal(of, torch.arange(count))


def means(parts: Tensor, of: Tensor, count: int) -> Tensor:
    """(layers, ...) as the means (count, ...) over the layers of a number in `of`; 0 where there are none."""
    if _is_alone(of, count):
        return parts
    sums = parts.new_zeros(count, *parts.shape[1:]).index_add_(0, of, parts)
    counts = torch.bincount(of, minlength=count).clamp_min(1)
    return sums / counts.to(parts.dtype)[:, None, None]


@dataclass(frozen=True, eq=False)
class Weights:
    """How much each direction of the inputs counts: in layer l, `E` has the squared norm `tr(E C_l E^T)`.

    With the second moments of the layer's inputs as `C_l`, that is the expected squared error of its outputs.
    """

    moments: Tensor
    """`C`, (layers, q, q), symmetric and positive definite."""

    def applied(self, right: Tensor) -> Tensor:
        """`C_l` times (layers, q, m)."""
        return self.moments @ right

    def solved(self, level: Factors, right: Tensor) -> Tensor:
        """The inverse of the mean moments of the layers that share a matrix of `level`, times (n, q, m)."""
        roots = _mean_roots(self, tuple(level.of.tolist()), len(level.up))
        found: Tensor = torch.cholesky_solve(right, roots)
        return found

    @property
    def mean_root(self) -> Tensor:
        """`W` with `W W^T` the mean of all moments, (q, q)."""
        found: Tensor = torch.linalg.cholesky(self.moments.mean(0))
        return found


@lru_cache(maxsize=16)
def _mean_roots(weights: Weights, of: tuple[int, ...], count: int) -> Tensor:
    every = means(weights.moments, torch.tensor(of), count)
    unused = sorted(set(range(count)) - set(of))  # a depth group without a layer of this family
    every[unused] = torch.eye(every.shape[1], dtype=every.dtype)
    found: Tensor = torch.linalg.cholesky(every)
    return found


def refitted(
    updates: Factors, level: Factors, others: Sequence[Factors], weights: Weights | None = None
) -> Factors:
    """`level` nearer to what `others` leave of the updates, by one step of alternating least squares.

    First the best columns for the rows it has, then the best rows for these columns, each in closed form for
    the layers that share a matrix: the squared error cannot rise. (Its columns are orthonormal.) With what is left
    `R_l` and rows `A`, the best columns span those of `sum_l R_l C_l A^T`; with orthonormal columns `B`, the best
    rows are `B^T (sum_l R_l C_l) (sum_l C_l)^-1`: layers that share a matrix may weigh directions differently
    (Srebro and Jaakkola, Weighted low-rank approximations, 2003).
    """
    if level.rank == 0:
        return level
    rows = level.each(level.down).mT
    if weights is not None:
        rows = weights.applied(rows)
    columns = updates.times(rows)
    for other in others:
        columns = columns - other.times(rows)
    up = torch.linalg.qr(level.mean(columns)).Q
    wide = level.each(up)
    rest = updates.turned(wide)
    for other in others:
        rest = rest - other.turned(wide)
    if weights is None:
        return Factors(up, level.mean(rest).mT, level.of)
    return Factors(up, weights.solved(level, level.mean(weights.applied(rest))).mT, level.of)


def squared_norm(parts: Sequence[Factors], weights: Weights | None = None) -> float:
    """Of the sum of `parts` over all layers."""
    up = torch.cat([f.each(f.up) for f in parts], dim=2)
    down = torch.cat([f.each(f.down) for f in parts], dim=1)
    right = down.mT if weights is None else weights.applied(down.mT)
    return max(0.0, float(((up.mT @ up) * (down @ right)).sum()))


def orthogonal(given: Factors, weights: Weights | None = None) -> Factors:
    """The same matrices by orthonormal columns and orthogonal rows, as an SVD has them.

    With weights the rows are orthogonal under them, and the leading ones those of the best approximation: with
    `C = W W^T`, the SVD is that of `X W` (SVD-LLM, arXiv 2403.07378).
    """
    root = None if weights is None else torch.linalg.cholesky(weights.moments)
    down = given.down if root is None else given.down @ root
    (left, a), (right, b) = torch.linalg.qr(given.up), torch.linalg.qr(down.mT)
    u, s, v = torch.linalg.svd(a @ b.mT, full_matrices=False)
    rows = s[..., None] * (v @ right.mT)
    if root is not None:
        rows = torch.linalg.solve_triangular(root, rows, upper=False, left=False)
    return Factors(left @ u, rows, given.of)
