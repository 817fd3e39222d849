"""Adapters whose answer is known, made of random numbers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from msplora_search.analysis.updates import Floats, Place, Trained, Update

LAYERS, WIDTH, GROUPS = 12, 48, (0, 4, 8, 12)
PLACES = (Place("encoder", "query", WIDTH, WIDTH), Place("encoder", "value", WIDTH, WIDTH))


def update(generator: np.random.Generator, rank: int, size: float = 1.0, falling: float = 1.0) -> Update:
    """Random directions; each singular value about `falling` times the one before."""
    scale = size * falling ** np.arange(rank)
    down, up = generator.normal(size=(rank, WIDTH)), generator.normal(size=(WIDTH, rank))
    return Update(down * scale[:, None] / WIDTH, up)


def plus(one: Update, other: Update) -> Update:
    """The sum, of the sum of both ranks."""
    return Update(np.concatenate([one.down, other.down]), np.concatenate([one.up, other.up], axis=1))


def pyramid(
    ranks: tuple[int, int, int] = (8, 4, 2),
    sizes: tuple[float, float, float] = (1.0, 1.0, 1.0),
    seed: int = 0,
    falling: float = 1.0,
) -> Trained:
    """Ranks and sizes of the global, mid and layer level; every adapter independent of the others."""
    generator = np.random.default_rng(seed)
    levels: dict[str, dict[tuple[Place, int], Update]] = {}
    for level, rank, size, bounds in zip(
        ("global", "mid", "layer"), ranks, sizes, ((0, LAYERS), GROUPS, tuple(range(LAYERS + 1))), strict=True
    ):
        for place in PLACES if rank else ():
            for start, stop in pairwise(bounds):
                shared = update(generator, rank, size, falling)
                levels.setdefault(level, {}).update({(place, layer): shared for layer in range(start, stop)})
    return Trained("made", "pyramid", LAYERS, levels, GROUPS)


def with_layers(trained: Trained, layer_level: dict[tuple[Place, int], Update]) -> Trained:
    """The same with another layer level."""
    levels = {**trained.levels, "layer": layer_level}
    return Trained(trained.name, trained.kind, trained.layers, levels, trained.groups)


def grouped(
    bounds: tuple[int, ...], shared: float, seed: int = 0, rank: int = 2
) -> dict[tuple[Place, int], Update]:
    """Updates that have a part in common with those of their group, `shared` times as large as their own."""
    generator = np.random.default_rng(seed)
    found = {}
    for place in PLACES:
        for start, stop in pairwise(bounds):
            common = update(generator, rank, shared)
            for layer in range(start, stop):
                found[place, layer] = plus(common, update(generator, rank))
    return found


def full(update: Update) -> Floats:
    """The matrix itself."""
    return np.asarray(update.up @ update.down)
