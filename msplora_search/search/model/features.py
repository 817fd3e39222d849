"""A configuration as numbers, such that neighbours train alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from msplora_search.design.pyramid import Pyramid

Floats = NDArray[np.float64]
FACTORS = (
    "parameters",
    "global rank",
    "mid rank",
    "layer rank",
    "groups",
    "boundaries",
    "targets",
    "alpha",
    "rate",
)
"""What features are of; the parameters follow from the others."""


class Candidate(NamedTuple):
    """One model to train: what makes two trainings the same but for their seed, and its exact cost."""

    pyramid: Pyramid
    rate: float
    params: int
    """Adapter parameters."""
    price: int | None = None
    """What it costs, where that is not its parameters."""

    @property
    def cost(self) -> int:
        """What the search makes small."""
        return self.params if self.price is None else self.price


@dataclass(frozen=True)
class Features:
    """The same numbers in the same order for every configuration of a study.

    Sizes, ranks, alpha and rate by their logarithms, a rank r as log2(1 + r); ranks that differ by group as their
    mean over depth and their tilt, which is positive where they rise with depth.
    """

    names: tuple[str, ...]
    """Of the modules that some choice of targets has and another has not."""

    @classmethod
    def of(cls, targets: Sequence[Sequence[str]]) -> Features:
        """For these choices of targets."""
        every = {name for choice in targets for name in choice}
        return cls(tuple(sorted(name for name in every if not all(name in choice for choice in targets))))

    @property
    def factors(self) -> tuple[str, ...]:
        """What each feature is of."""
        return (
            "parameters", "global rank", "mid rank", "mid rank", "layer rank", "layer rank",
            "groups", "boundaries", "boundaries", *("targets" for _ in self.names), "alpha", "rate",
        )  # fmt: skip

    def of_one(self, configuration: Candidate) -> list[float]:
        """(features,)"""
        pyramid = configuration.pyramid
        layers, groups = pyramid.layers, pyramid.groups
        share = [group.layers / layers for group in groups]
        tilt = [of * ((group.start + group.stop) / layers - 1) for of, group in zip(share, groups, strict=True)]
        mid = [math.log2(1 + group.mid_rank) for group in groups]
        own = [math.log2(1 + group.layer_rank) for group in groups]
        cuts = [group.stop / layers for group in groups[:-1]] or [0.5]
        alphas = [math.log2(alpha) for alpha in pyramid.alpha.levels if alpha is not None]
        there = [float(name in pyramid.targets) for name in self.names]
        return [
            math.log2(configuration.params),
            math.log2(1 + pyramid.global_rank),
            _product(share, mid),
            _product(tilt, mid),
            _product(share, own),
            _product(tilt, own),
            math.log2(len(groups)),
            cuts[0],
            cuts[-1],
            *there,
            sum(alphas) / len(alphas),
            math.log2(configuration.rate),
        ]

    def of_all(self, configurations: Sequence[Candidate]) -> Floats:
        """(configurations, features)"""
        found = [self.of_one(configuration) for configuration in configurations]
        return np.array(found, dtype=np.float64).reshape(len(found), len(self.factors))


def _product(weights: list[float], values: list[float]) -> float:
    return sum(weight * value for weight, value in zip(weights, values, strict=True))
