"""How complex each level's updates are, and how much of the whole each level does."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from msplora_search.analysis.updates import Floats, Trained, Update


def effective_rank(values: Floats) -> float:
    """The exponential of the entropy of normalised singular values; 0 of none.

    Roy and Vetterli, The effective rank: a measure of effective dimensionality, EUSIPCO 2007.
    """
    total = float(values.sum())
    if not total:
        return 0.0
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def stable_rank(values: Floats) -> float:
    """Squared Frobenius norm over squared spectral norm; 0 of an update that is 0."""
    top = float(values.max(initial=0.0))
    return float(np.square(values / top).sum()) if top else 0.0


@dataclass(frozen=True)
class LevelSpectrum:
    """Of one level: means over its adapters, each counted once however many layers share it."""

    level: str
    adapters: int
    rank: float
    effective_rank: float
    rank_share: float
    """Mean of effective rank over rank: how much of the room that it has it fills."""
    random_share: float
    """The same of Gaussian factors of the same rank and shape: the larger the rank, the less of it they fill."""
    stable_rank: float
    unused: float
    """Share of all its directions that hold less than `updates.USED` of their adapter's energy."""
    energy: float
    """Share of the sum over sites and levels of squared norms."""
    values: tuple[float, ...]
    """Singular values, each adapter's over its own largest, then the mean; 0 beyond an adapter's rank."""


@dataclass(frozen=True)
class Spectra:
    """What the spectra of a trained adapter say."""

    levels: tuple[LevelSpectrum, ...]
    energy_by_layer: dict[str, tuple[float, ...]]
    """By level: its share in each layer, over all targets; 0 in a layer without adapters."""
    size_by_layer: tuple[float, ...]
    """The share of all energy that stands in each layer."""
    effective_by_layer: dict[str, tuple[float, ...]]
    """By level: mean effective rank over targets; NaN where a layer has none of it."""
    overlap: float
    """Energy of the whole over the sum of the levels' energies, less 1: 0 where levels do not touch each other."""

    @property
    def most_complex(self) -> tuple[str, str]:
        """The level of the largest effective rank, and that which fills most of its rank beside random factors."""
        absolute = max(self.levels, key=lambda level: level.effective_rank)
        # a level of rank 1 fills its rank whatever it does, and says nothing
        free = [level for level in self.levels if level.rank > 1] or list(self.levels)
        return absolute.level, max(free, key=lambda level: level.rank_share / level.random_share).level

    def level(self, name: str) -> LevelSpectrum | None:
        """The level of that name."""
        return next((level for level in self.levels if level.level == name), None)

    def to_json(self) -> dict[str, Any]:
        """Plain data; null where there is no number."""
        effective = {
            level: [None if math.isnan(x) else x for x in row] for level, row in self.effective_by_layer.items()
        }
        return {
            "levels": [asdict(level) for level in self.levels],
            "energy_by_layer": {level: list(row) for level, row in self.energy_by_layer.items()},
            "share_of_energy_by_layer": list(self.size_by_layer),
            "effective_rank_by_layer": effective,
            "overlap_of_levels": self.overlap,
        }


def spectra_of(trained: Trained) -> Spectra:
    """The spectra of every level."""
    energy = {level: np.zeros(trained.layers) for level in trained.levels}
    effective: dict[str, list[list[float]]] = {
        level: [[] for _ in range(trained.layers)] for level in trained.levels
    }
    for level, sites in trained.levels.items():
        for (_, layer), update in sites.items():
            energy[level][layer] += update.energy
            effective[level][layer].append(effective_rank(update.values))
    by_layer = sum(energy.values(), np.zeros(trained.layers))
    total = float(by_layer.sum())
    whole = sum(update.energy for update in trained.whole.values())
    return Spectra(
        levels=tuple(
            _level(level, _once(sites.values()), float(energy[level].sum()) / total if total else 0.0)
            for level, sites in trained.levels.items()
        ),
        energy_by_layer={
            level: tuple(np.divide(own, by_layer, out=np.zeros_like(own), where=by_layer > 0).tolist())
            for level, own in energy.items()
        },
        size_by_layer=tuple((by_layer / total).tolist()) if total else (0.0,) * trained.layers,
        effective_by_layer={
            level: tuple(float(np.mean(own)) if own else math.nan for own in rows)
            for level, rows in effective.items()
        },
        overlap=whole / total - 1 if total else 0.0,
    )


def _once(updates: Iterable[Update]) -> list[Update]:
    return list({id(update): update for update in updates}.values())


def _level(level: str, updates: list[Update], energy: float) -> LevelSpectrum:
    ranks = np.array([len(update.values) for update in updates], dtype=np.float64)
    effective = np.array([effective_rank(update.values) for update in updates])
    longest = int(ranks.max())
    sizes = {(update.rank, *update.shape) for update in updates}
    scaled = np.zeros((len(updates), longest))
    for row, update in zip(scaled, updates, strict=True):
        if update.energy:
            row[: len(update.values)] = update.values / update.values[0]
    return LevelSpectrum(
        level=level,
        adapters=len(updates),
        rank=float(ranks.mean()),
        effective_rank=float(effective.mean()),
        rank_share=float((effective / ranks).mean()),
        random_share=float(np.mean([_random_share(*size) for size in sizes])),
        stable_rank=float(np.mean([stable_rank(update.values) for update in updates])),
        unused=1 - sum(update.used for update in updates) / float(ranks.sum()),
        energy=energy,
        values=tuple(scaled.mean(axis=0).tolist()),
    )


@lru_cache(maxsize=256)
def _random_share(rank: int, d_out: int, d_in: int) -> float:
    generator = np.random.default_rng(0)
    values = Update(generator.normal(size=(rank, d_in)), generator.normal(size=(d_out, rank))).values
    return effective_rank(values) / len(values)
