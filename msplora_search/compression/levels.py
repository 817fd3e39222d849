"""Fits the three levels of a pyramid to given low-rank updates, by alternating truncated SVD.

For the updates `X_l` of one family of sites, in the small space that their factors span, it minimises
`sum_l ||X_l - G - M_g(l) - L_l||^2`. With the other two levels fixed, the best level is the truncated SVD
(Eckart and Young, 1936) of the residual, of its mean for a level that several layers share: the sum never rises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

Spans = tuple[tuple[int, int], ...]
ENOUGH = 1e-4
"""Relative improvement of the squared error below which a fit ends."""


@dataclass(frozen=True)
class Ranks:
    """Ranks of the global, mid and layer level."""

    top: int
    mid: int
    layer: int

    def __str__(self) -> str:
        return f"{self.top}/{self.mid}/{self.layer}"


@dataclass(frozen=True)
class Levels:
    """What each layer gets from each level; each (layers, p, q), shared parts repeated."""

    top: Tensor
    mid: Tensor
    layer: Tensor

    @property
    def whole(self) -> Tensor:
        """The sum of the levels, (layers, p, q)."""
        return self.top + self.mid + self.layer


def truncated(matrices: Tensor, rank: int) -> Tensor:
    """The best approximation of each matrix (..., p, q) by one of `rank`."""
    if rank == 0:
        return torch.zeros_like(matrices)
    u, s, v = torch.linalg.svd(matrices, full_matrices=False)
    found: Tensor = (u[..., :rank] * s[..., None, :rank]) @ v[..., :rank, :]
    return found


def fit(updates: Tensor, ranks: Ranks, groups: Spans, most: int = 300) -> Levels:
    """The levels for `updates` (layers, p, q), from the better of two starts, after at most `most` rounds."""
    starts = (_top_down(updates, ranks, groups), _common_spaces(updates, ranks, groups))
    ends = [_descended(updates, start, ranks, groups, most) for start in starts]
    return min(ends, key=lambda levels: squared_error(updates, levels))


def squared_error(updates: Tensor, levels: Levels) -> float:
    """The energy that the levels leave over."""
    return float(((updates - levels.whole) ** 2).sum())


def rounds(updates: Tensor, levels: Levels, ranks: Ranks, groups: Spans) -> Iterator[Levels]:
    """Better and better levels, without end; each round fits every level once, the others fixed."""
    while True:
        mean = (updates - levels.mid - levels.layer).mean(0)
        levels = replace(levels, top=truncated(mean, ranks.top).expand_as(updates))
        levels = replace(levels, mid=_shared(updates - levels.top - levels.layer, ranks.mid, groups))
        levels = replace(levels, layer=truncated(updates - levels.top - levels.mid, ranks.layer))
        yield levels


def _descended(updates: Tensor, levels: Levels, ranks: Ranks, groups: Spans, most: int) -> Levels:
    best, before = levels, squared_error(updates, levels)
    floor = 1e-20 * float((updates**2).sum())
    for best in islice(rounds(updates, levels, ranks, groups), most):
        now = squared_error(updates, best)
        if before - now <= ENOUGH * before or now <= floor:
            break
        before = now
    return best


def _shared(updates: Tensor, rank: int, groups: Spans) -> Tensor:
    means = torch.stack([updates[a:b].mean(0) if b > a else torch.zeros_like(updates[0]) for a, b in groups])
    best = truncated(means, rank)
    return torch.cat([best[i].expand(b - a, *best[i].shape) for i, (a, b) in enumerate(groups)])


def _top_down(updates: Tensor, ranks: Ranks, groups: Spans) -> Levels:
    """The mean of all, the means of the groups' rest, each layer's rest."""
    top = truncated(updates.mean(0), ranks.top).expand_as(updates)
    mid = _shared(updates - top, ranks.mid, groups)
    return Levels(top, mid, truncated(updates - top - mid, ranks.layer))


def _common_spaces(updates: Tensor, ranks: Ranks, groups: Spans) -> Levels:
    """The same by the spaces that all updates have in common: exact where the updates are a pyramid."""
    top = _common(updates, ranks.top).expand_as(updates)
    rest = updates - top
    mids = [_common(rest[a:b], ranks.mid).expand_as(rest[a:b]) for a, b in groups if b > a]
    mid = torch.cat(mids)
    return Levels(top, mid, truncated(rest - mid, ranks.layer))


def _common(updates: Tensor, rank: int) -> Tensor:
    """What matrices (layers, p, q) share: of `rank`, (p, q).

    Where `X = U S V + R`, and R has no column in the span of U and no row in that of V, `V X^+ U` is the inverse
    of S, whatever R is; the spans common to all layers are the leading ones of their projectors' mean.
    """
    if rank == 0:
        return torch.zeros_like(updates[0])
    u, s, v = torch.linalg.svd(updates, full_matrices=False)
    kept = (s > 1e-9 * s[:, :1]).to(s.dtype)
    left = _leading((u * kept[:, None, :]) @ u.mT, rank)
    right = _leading((v.mT * kept[:, None, :]) @ v, rank)
    inverse = (v.mT * (kept / s.clamp_min(1e-300))[:, None, :]) @ u.mT
    core: Tensor = torch.linalg.pinv((right.mT @ inverse @ left).mean(0), rtol=1e-9)
    return left @ core @ right.mT


def _leading(projectors: Tensor, rank: int) -> Tensor:
    found: Tensor = torch.linalg.eigh(projectors.mean(0)).eigenvectors[:, -rank:]
    return found
