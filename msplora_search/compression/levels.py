"""Fits the three levels of a pyramid to given low-rank updates, by alternating least squares.

For the updates `X_l` of one family of sites, in the small space that their factors span, it lowers
`sum_l ||X_l - G - M_g(l) - L_l||^2`, one level at a time with the others fixed; the sum never rises. All
matrices stay factors, so that a round costs as little as the ranks are small. With `Weights` the norm is that of
each layer's own inputs. Shared rows stay within the span of the updates' own; beyond it there are better ones
where layers weigh directions very differently, but they would need moments of all input directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

import torch
from torch import Tensor

from msplora_search.compression.factors import Factors, Weights, orthogonal, refitted, squared_norm

Spans = tuple[tuple[int, int], ...]
ENOUGH = 3e-4
"""Relative improvement of the squared error below which a fit ends."""
FIRST_STEPS = 3
"""Of subspace iteration, for the first guess at a level."""


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
    """What each layer gets from each level."""

    top: Factors
    mid: Factors
    layer: Factors

    @property
    def all(self) -> tuple[Factors, Factors, Factors]:
        """The three of them."""
        return self.top, self.mid, self.layer


def fit(updates: Factors, ranks: Ranks, groups: Spans, most: int = 300, weights: Weights | None = None) -> Levels:
    """The levels for `updates`, one a layer, from the best of three starts, after at most `most` rounds.

    They leave no more over than the layer level alone would.
    """
    if ranks.top + ranks.mid == 0:
        return guessed(updates, ranks, groups, weights)  # each layer's truncated SVD: nothing is better
    starts = [start(updates, ranks, groups, weights) for start in (guessed, common, unshared)]
    best = min(starts, key=lambda levels: squared_error(updates, levels, weights))
    return _descended(updates, best, most, weights)


def squared_error(updates: Factors, levels: Levels, weights: Weights | None = None) -> float:
    """The energy that the levels leave over."""
    return squared_norm([updates, *(replace(f, up=-f.up) for f in levels.all)], weights)


def rounds(updates: Factors, levels: Levels, weights: Weights | None = None) -> Iterator[Levels]:
    """Better and better levels, without end; each round fits every level once, the others fixed."""
    while True:
        levels = replace(levels, top=refitted(updates, levels.top, (levels.mid, levels.layer), weights))
        levels = replace(levels, mid=refitted(updates, levels.mid, (levels.top, levels.layer), weights))
        levels = replace(levels, layer=_layers(updates, levels, weights))
        yield levels


def _descended(updates: Factors, levels: Levels, most: int, weights: Weights | None) -> Levels:
    before = squared_error(updates, levels, weights)
    floor = 1e-14 * squared_norm([updates], weights)
    best = levels
    for best in islice(rounds(updates, levels, weights), most):
        now = squared_error(updates, best, weights)
        if before - now <= ENOUGH * before or now <= floor:
            break
        before = now
    return best


def blank(updates: Factors, ranks: Ranks, groups: Spans, weights: Weights | None = None) -> Levels:
    """Zeros, with rows to begin a fit from: random ones, and each layer's own leading ones."""
    layers, p, q = len(updates.of), updates.up.shape[1], updates.down.shape[2]
    draw = torch.Generator().manual_seed(0)

    def level(rank: int, of: Tensor, count: int) -> Factors:
        rows = torch.randn(1, rank, q, generator=draw, dtype=updates.up.dtype)
        return Factors(updates.up.new_zeros(count, p, rank), rows.repeat(count, 1, 1), of)

    leading = (updates if weights is None else _weighted(updates, weights)).down[:, : ranks.layer]
    own = Factors(updates.up.new_zeros(layers, p, leading.shape[1]), leading, torch.arange(layers))
    of = torch.cat([torch.full((b - a,), i) for i, (a, b) in enumerate(groups)])
    return Levels(
        level(ranks.top, torch.zeros(layers, dtype=torch.long), 1),
        level(ranks.mid, of, len(groups)),
        own,
    )


@lru_cache(maxsize=32)  # the same for all ranks
def _weighted(updates: Factors, weights: Weights) -> Factors:
    return orthogonal(updates, weights)


def guessed(updates: Factors, ranks: Ranks, groups: Spans, weights: Weights | None = None) -> Levels:
    """The mean of all, the means of the groups' rest, each layer's rest."""
    levels = blank(updates, ranks, groups, weights)
    for _ in range(FIRST_STEPS):
        levels = replace(levels, top=refitted(updates, levels.top, (), weights))
    for _ in range(FIRST_STEPS):
        levels = replace(levels, mid=refitted(updates, levels.mid, (levels.top,), weights))
    return replace(levels, layer=_layers(updates, levels, weights))


def common(updates: Factors, ranks: Ranks, groups: Spans, weights: Weights | None = None) -> Levels:
    """The same by the spaces that all updates have in common: exact where the updates are a pyramid."""
    levels = blank(updates, ranks, groups, weights)
    if ranks.top:
        up, down = shared(updates, (0, len(updates.of)), ranks.top)
        levels = replace(levels, top=Factors(up[None], down[None], levels.top.of))
    if ranks.mid:
        parts = [_beyond(shared(updates, (a, b), ranks.top + ranks.mid), levels.top, ranks.mid)
                 if b > a else (levels.mid.up[0], levels.mid.down[0]) for a, b in groups]  # fmt: skip
        mid = Factors(torch.stack([u for u, _ in parts]), torch.stack([d for _, d in parts]), levels.mid.of)
        levels = replace(levels, mid=mid)
    return replace(levels, layer=_layers(updates, levels, weights))


def unshared(updates: Factors, ranks: Ranks, groups: Spans, weights: Weights | None = None) -> Levels:
    """The layers' own first, and shared levels for what these leave over."""
    levels = blank(updates, ranks, groups, weights)
    levels = replace(levels, layer=refitted(updates, levels.layer, (), weights))
    levels = replace(levels, top=refitted(updates, levels.top, (levels.layer,), weights))
    return replace(levels, mid=refitted(updates, levels.mid, (levels.top, levels.layer), weights))


def _layers(updates: Factors, levels: Levels, weights: Weights | None) -> Factors:
    return refitted(updates, levels.layer, (levels.top, levels.mid), weights)


def _beyond(whole: tuple[Tensor, Tensor], top: Factors, rank: int) -> tuple[Tensor, Tensor]:
    """What a group has in common beyond what all have: factors of `rank`."""
    left, a = torch.linalg.qr(torch.cat([whole[0], -top.up[0]], dim=1))
    right, b = torch.linalg.qr(torch.cat([whole[1], top.down[0]]).mT)
    u, s, v = torch.linalg.svd(a @ b.mT, full_matrices=False)
    up, down = left @ (u[:, :rank] * s[:rank]), v[:rank] @ right.mT
    missing = rank - up.shape[1]
    return torch.nn.functional.pad(up, (0, missing)), torch.nn.functional.pad(down, (0, 0, 0, missing))


@lru_cache(maxsize=32)  # the same for every rank of the layer level
def shared(updates: Factors, layers: tuple[int, int], rank: int) -> tuple[Tensor, Tensor]:
    """What the matrices of some layers share: factors (p, rank) and (rank, q).

    Where `X = U S V + R`, and R has no column in the span of U and no row in that of V, `V X^+ U` is the inverse
    of S, whatever R is; the spans common to all layers are the leading ones of their projectors' mean. `updates`
    has orthonormal columns, and orthogonal rows.
    """
    up, down = updates.up[slice(*layers)], updates.down[slice(*layers)]
    sizes = down.norm(dim=2)
    kept = (sizes > 1e-9 * sizes.amax(1, keepdim=True)).to(up.dtype)
    rows = down * (kept / sizes.clamp_min(1e-300))[..., None]
    left, right = _leading(up * kept[:, None, :], rank), _leading(rows.mT, rank)
    inverse = (rows @ right).mT @ ((kept / sizes.clamp_min(1e-300))[..., None] * (up.mT @ left))
    core: Tensor = torch.linalg.pinv(inverse.mean(0), rtol=1e-9)
    return left @ core, right.mT


def _leading(bases: Tensor, rank: int) -> Tensor:
    """(layers, p, k) to (p, rank): by subspace iteration on the mean of the projectors."""
    flat = bases.transpose(0, 1).flatten(1)
    if flat.shape[0] <= 4 * rank + 32:
        found: Tensor = torch.linalg.eigh(flat @ flat.mT).eigenvectors[:, -rank:]
        return found
    draw = torch.Generator().manual_seed(0)
    basis = torch.randn(flat.shape[0], rank + 8, generator=draw, dtype=flat.dtype)
    for _ in range(8):
        basis = torch.linalg.qr(flat @ (flat.mT @ basis)).Q
    inner: Tensor = torch.linalg.eigh(basis.mT @ (flat @ (flat.mT @ basis))).eigenvectors
    return basis @ inner[:, -rank:]
