"""Low-rank updates as plain arrays; all is computed from the factors, never from the full matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
USED = 0.01
"""Share of an update's energy from which on a direction counts as used."""


@dataclass(frozen=True, eq=False)
class Update:
    """`up @ down`: what is added to a weight of shape (d_out, d_in). Scaling is in `down`."""

    down: Floats
    """(rank, d_in)"""
    up: Floats
    """(d_out, rank)"""

    @property
    def rank(self) -> int:
        """Of the factors."""
        return len(self.down)

    @property
    def shape(self) -> tuple[int, int]:
        """(d_out, d_in)"""
        return self.up.shape[0], self.down.shape[1]

    @property
    def svd(self) -> tuple[Floats, Floats, Floats]:
        """Left directions (d_out, k), singular values (k,), right directions (d_in, k).

        Through QR of both factors; k is the rank, or the shorter side of the matrix where that is less. Not kept:
        the directions of a large model's adapter would fill its memory.
        """
        left, upper = np.linalg.qr(self.up)
        right, lower = np.linalg.qr(self.down.T)
        u, s, vt = np.linalg.svd(upper @ lower.T, full_matrices=False)
        return np.asarray(left @ u), np.asarray(s), np.asarray(right @ vt.T)

    @cached_property
    def values(self) -> Floats:
        """Singular values, falling."""
        upper, lower = (np.asarray(np.linalg.qr(factor, mode="r")) for factor in (self.up, self.down.T))
        return np.asarray(np.linalg.svd(upper @ lower.T, compute_uv=False))

    @property
    def energy(self) -> float:
        """Squared Frobenius norm."""
        return float(np.square(self.values).sum())

    @property
    def used(self) -> int:
        """Directions that hold at least `USED` of the energy; 0 of an update that is 0."""
        return int((np.square(self.values) >= USED * self.energy).sum()) if self.energy else 0

    def inner(self, other: Update) -> float:
        """Frobenius inner product of two updates of one shape: trace of (up^T up') (down' down^T)."""
        return float(np.sum((self.up.T @ other.up) * (self.down @ other.down.T)))


def together(parts: Sequence[Update]) -> Update:
    """The sum of updates of one shape; of one, itself."""
    if len(parts) == 1:
        return parts[0]
    return Update(np.concatenate([p.down for p in parts]), np.concatenate([p.up for p in parts], axis=1))


@dataclass(frozen=True)
class Place:
    """A site, named without its layer: what different layers are compared in."""

    stack: str
    target: str
    d_in: int
    d_out: int


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained adapter: the updates of each level at every site."""

    name: str
    kind: str
    """`pyramid`, or `LoRA` for what PEFT stored, whose only level is `layer`."""
    layers: int
    levels: Mapping[str, Mapping[tuple[Place, int], Update]]
    """By level, then by place and layer; a shared update stands at each of its layers, and is one object."""
    groups: tuple[int, ...]
    """Boundaries 0, ..., layers of the depth groups; without groups (0, layers)."""
    notes: tuple[str, ...] = ()
    """What was left out, or taken for granted, in sentences."""

    @property
    def places(self) -> list[Place]:
        """By name."""
        found = {place for level in self.levels.values() for place, _ in level}
        return sorted(found, key=lambda p: (p.stack, p.target, p.d_in, p.d_out))

    @cached_property
    def whole(self) -> dict[tuple[Place, int], Update]:
        """The sum of the levels at each site."""
        parts: dict[tuple[Place, int], list[Update]] = {}
        for level in self.levels.values():
            for site, update in level.items():
                parts.setdefault(site, []).append(update)
        return {site: together(those) for site, those in parts.items()}

    def of(self, level: str) -> Mapping[tuple[Place, int], Update]:
        """The updates of a level, or of all together for `whole`; none where there is no such level."""
        return self.whole if level == "whole" else self.levels.get(level, {})
