"""What the updates of different layers repeat, beside what random ones of the same ranks and shapes would.

Two measures. The *similarity* of two layers is the cosine of their updates, all targets side by side: it is scale-
aware, and what one shared update could replace. The *overlap* of two updates is the mean squared cosine of the
principal angles between their column spaces (or row spaces), over the directions that they use: it says whether
they work in the same directions, whatever they do there. LoRA's down factors begin at random and stay near it in
short training, and then cosines are near 0 even where layers learn the same: the columns tell more.

The null is exact for updates U S V^T with any S, and U and V turned at random: a cosine has mean 0 and variance
1 / (d_in d_out), and an overlap of p with q directions of d has mean max(p, q) / d and variance
2 p (d-p) q (d-q) / (d^2 (d-1) (d+2) min(p, q)^2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from msplora_search.analysis.updates import Floats, Trained, Update


@dataclass(frozen=True, eq=False)
class Overlap:
    """Of the spaces of one kind, the mean over pairs of layers and targets."""

    mean: float
    chance: float
    """Expected of random ones."""
    sd: float
    """Of the mean of random ones, were the pairs independent."""
    pairs: int
    """Spaces compared."""

    @property
    def above(self) -> float:
        """By how many standard deviations of chance."""
        return (self.mean - self.chance) / self.sd if self.sd else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"mean": self.mean, "chance": self.chance, "chance_sd": self.sd, "pairs": self.pairs}


@dataclass(frozen=True, eq=False)
class Redundancy:
    """What the layers repeat, in the updates of one level or of all together."""

    level: str
    layers: tuple[int, ...]
    """Those that have an update that is not 0."""
    similarity: Floats
    """(layers, layers): cosines, 1 on the diagonal."""
    directions: Floats
    """(layers, layers): how far the overlap of columns and of rows is above chance, their mean; 1 on the "
    "diagonal."""
    chance_sd: float
    """Of one cosine of random updates, whose mean is 0."""
    by_target: dict[str, float]
    """Mean cosine over pairs of layers, a target."""
    columns: Overlap | None
    """None without two layers."""
    rows: Overlap | None

    @property
    def off_diagonal(self) -> Floats:
        """Each pair once."""
        return np.asarray(self.similarity[np.triu_indices(len(self.layers), 1)])

    @property
    def mean(self) -> float:
        """Mean cosine over pairs; 0 where there is none."""
        return float(self.off_diagonal.mean()) if len(self.layers) > 1 else 0.0

    @property
    def neighbours(self) -> float:
        """Mean cosine of layers that follow each other."""
        return float(np.diag(self.similarity, 1).mean()) if len(self.layers) > 1 else 0.0

    @property
    def replaceable(self) -> float:
        """The share of the layers' energy, each made 1, that one update shared by all would hold.

        The mean of the whole matrix; of n layers that have nothing in common it is 1 / n.
        """
        return float(self.similarity.mean()) if len(self.layers) else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "level": self.level,
            "layers": list(self.layers),
            "similarity": self.similarity.tolist(),
            "directions": self.directions.tolist(),
            "chance_sd": self.chance_sd,
            "mean": self.mean,
            "neighbours": self.neighbours,
            "replaceable_by_one": self.replaceable,
            "replaceable_by_chance": 1 / max(1, len(self.layers)),
            "by_target": self.by_target,
            "column_overlap": self.columns and self.columns.to_json(),
            "row_overlap": self.rows and self.rows.to_json(),
        }


def redundancy_of(trained: Trained, level: str) -> Redundancy:
    """Of the updates of a level, or of `whole`, over all layers that have one."""
    sites = trained.of(level)
    by_place = {
        place: {layer: update for (there, layer), update in sites.items() if there == place and update.energy}
        for place in trained.places
    }
    inner = np.zeros((trained.layers, trained.layers))
    chance, cosines = 0.0, dict[str, list[float]]()
    for place, updates in by_place.items():
        of_place = cosines.setdefault(place.target, [])
        for i, update in updates.items():
            inner[i, i] += update.energy
        for (i, one), (j, other) in combinations(updates.items(), 2):
            product = one.inner(other)
            inner[i, j] += product
            inner[j, i] += product
            of_place.append(product / math.sqrt(one.energy * other.energy))
            chance += one.energy * other.energy / (place.d_in * place.d_out)
    layers = tuple(np.flatnonzero(np.diag(inner) > 0).tolist())
    norms = np.sqrt(np.diag(inner)[list(layers)])
    energies = np.square(norms)
    pairs = (energies.sum() ** 2 - np.square(energies).sum()) / 2
    columns, of_columns = _overlaps((_columns(those) for those in by_place.values()), trained.layers)
    rows, of_rows = _overlaps((_rows(those) for those in by_place.values()), trained.layers)
    directions = (of_columns + of_rows)[np.ix_(layers, layers)] / 2
    np.fill_diagonal(directions, 1.0)
    return Redundancy(
        level=level,
        layers=layers,
        similarity=inner[np.ix_(layers, layers)] / np.outer(norms, norms),
        directions=directions,
        chance_sd=math.sqrt(chance / pairs) if pairs else 0.0,
        by_target={target: float(np.mean(found)) for target, found in cosines.items() if found},
        columns=columns,
        rows=rows,
    )


def principal_angles(one: Floats, other: Floats) -> Floats:
    """Between two spaces given by orthonormal columns (d, p) and (d, q): min(p, q) angles in radians, rising.

    Bjorck and Golub, Numerical methods for computing angles between linear subspaces, 1973.
    """
    cosines = np.linalg.svd(one.T @ other, compute_uv=False)
    return np.asarray(np.arccos(np.clip(cosines, 0.0, 1.0)))


def chance_overlap(p: int, q: int, d: int) -> tuple[float, float]:
    """Mean and variance of the overlap of random spaces of p and q directions of d."""
    mean = max(p, q) / d
    if d < 2:
        return mean, 0.0
    variance = 2 * p * (d - p) * q * (d - q) / (d**2 * (d - 1) * (d + 2)) / min(p, q) ** 2
    return mean, variance


Spaces = Mapping[int, Floats]
"""By layer, orthonormal columns (d, used directions)."""


def _columns(updates: Mapping[int, Update]) -> Spaces:
    return {layer: update.svd[0][:, : update.used] for layer, update in updates.items()}


def _rows(updates: Mapping[int, Update]) -> Spaces:
    return {layer: update.svd[2][:, : update.used] for layer, update in updates.items()}


def _overlaps(places: Iterable[Spaces], layers: int) -> tuple[Overlap | None, Floats]:
    """The mean over pairs; and by how much each pair of layers is above chance, the mean over places."""
    means, chances, variances = list[float](), list[float](), list[float]()
    above, counted = np.zeros((layers, layers)), np.zeros((layers, layers))
    for spaces in places:
        for (i, one), (j, other) in combinations(spaces.items(), 2):
            means.append(float(np.square(np.cos(principal_angles(one, other))).mean()))
            mean, variance = chance_overlap(one.shape[1], other.shape[1], len(one))
            chances.append(mean)
            variances.append(variance)
            above[[i, j], [j, i]] += means[-1] - mean
            counted[[i, j], [j, i]] += 1
    matrix = above / np.maximum(counted, 1)
    if not means:
        return None, matrix
    sd = math.sqrt(sum(variances)) / len(means)
    return Overlap(float(np.mean(means)), float(np.mean(chances)), sd, len(means)), matrix
