"""The configurations that may be proposed: all of a space where it can be listed, else a sample of it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, product

import numpy as np
from numpy.typing import NDArray

from msplora_search.design.choice import Choice
from msplora_search.design.costs import Cost
from msplora_search.design.depth import split_evenly
from msplora_search.design.listing import every_choice
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.sampling import neighbours, random_choice
from msplora_search.design.space import LogRange, SearchSpace
from msplora_search.search.model.features import Candidate, Features

MOST = 60_000
"""Configurations of a space that is listed whole."""
DRAWN, KEPT = 10_000, 5_000
"""Of a larger space: choices that are drawn at random, and how many are kept, evenly over log parameters."""
STRATA = 40
"""Of log parameters, in such a sample."""
RATES = 9
"""By which a range of rates is represented."""

Floats = NDArray[np.float64]
Proposal = tuple[Choice, float]
"""A choice of the space, and a rate."""


@dataclass(frozen=True)
class Ground:
    """A space, what its configurations cost, and how they are described."""

    space: SearchSpace
    count: Callable[[Pyramid], int]
    """Adapter parameters of a pyramid."""
    features: Features
    limit: int | None = None
    """Most adapter parameters of a proposal."""
    cost: Cost = Cost.PARAMS
    """What the search makes small."""
    price: Callable[[Pyramid], int] | None = None
    """That of a pyramid, where it is not its parameters."""

    def candidate(self, pyramid: Pyramid, rate: float) -> Candidate:
        """A pyramid at a rate, with what it costs."""
        return Candidate(pyramid, rate, self.count(pyramid), None if self.price is None else self.price(pyramid))

    def over(self, candidates: Candidates) -> tuple[float, float]:
        """The costs between which a front is judged."""
        dearest = int(np.argmax(candidates.costs))
        rank = candidates.configurations[dearest].pyramid.unrolled_rank
        return float(candidates.costs.min()), self.cost.beyond(float(candidates.costs[dearest]), rank)

    @property
    def rates(self) -> tuple[float, ...]:
        """The choices, or some that stand for a range."""
        match self.space.learning_rate:
            case LogRange(low, high, log):
                found = np.geomspace(low, high, RATES) if log else np.linspace(low, high, RATES)
                return tuple(float(np.clip(rate, low, high)) for rate in found)
            case choices:
                return tuple(dict.fromkeys(choices))

    @property
    def is_listed(self) -> bool:
        """Whether all of it can be scored."""
        return self.space.pyramids is not None and self.space.pyramids * len(self.rates) <= MOST


@dataclass(frozen=True, eq=False)
class Candidates:
    """n configurations, each once."""

    proposals: tuple[Proposal, ...]
    configurations: tuple[Candidate, ...]
    costs: Floats
    """What the search makes small, (n,)."""
    features: Floats
    """(n, features)"""

    @cached_property
    def rates(self) -> Floats:
        """(n,)"""
        return np.array([configuration.rate for configuration in self.configurations])

    @cached_property
    def _places(self) -> dict[Candidate, int]:
        return {configuration: place for place, configuration in enumerate(self.configurations)}

    def own(self, one: Candidate) -> Candidate:
        """The same, as it stands here, where it does."""
        place = self._places.get(one)
        return one if place is None else self.configurations[place]

    def free(self, taken: Iterable[Candidate]) -> NDArray[np.bool_]:
        """Which of them are none of these, (n,)."""
        found = np.ones(len(self.configurations), dtype=bool)
        places = (self._places.get(one) for one in taken)
        found[[place for place in places if place is not None]] = False
        return found

    @classmethod
    def of(cls, ground: Ground, seed: int = 0) -> Candidates:
        """All configurations where they are at most `MOST`, else a sample.

        It has those of every combination of ranks that all groups share, in equal groups, so that it reaches
        both ends of the range of cost, and random ones, evenly over log parameters.
        """
        if ground.is_listed:
            return cls.made(every_choice(ground.space), ground)
        draw = random.Random(seed)
        drawn = _built(random_choice(ground.space, draw) for _ in range(DRAWN))
        return cls.made(chain(_built(_alike(ground.space)), _evenly(list(drawn), ground, draw)), ground)

    def some(self, most: int, seed: int) -> Candidates:
        """At most so many of them, drawn at random."""
        if len(self.proposals) <= most:
            return self
        return self.at(np.sort(np.random.default_rng(seed).choice(len(self.proposals), most, replace=False)))

    def at(self, places: NDArray[np.intp]) -> Candidates:
        """Those at some places, in that order."""
        return Candidates(
            tuple(self.proposals[place] for place in places),
            tuple(self.configurations[place] for place in places),
            self.costs[places],
            self.features[places],
        )

    def beside(self, pyramids: Iterable[Pyramid], ground: Ground) -> Candidates:
        """With the neighbours of these pyramids, where not all configurations are here already."""
        if ground.is_listed:
            return self
        known = {configuration.pyramid for configuration in self.configurations}
        near = {p: choice for of in pyramids for p, choice in neighbours(ground.space, of) if p not in known}
        other = self.made(near.items(), ground)
        return Candidates(
            self.proposals + other.proposals,
            self.configurations + other.configurations,
            np.concatenate([self.costs, other.costs]),
            np.concatenate([self.features, other.features]),
        )

    @classmethod
    def made(cls, built: Iterable[tuple[Pyramid, Choice]], ground: Ground) -> Candidates:
        """Of pyramids and choices that build them, each with every rate, but for those that cost too much."""
        found = [(ground.candidate(pyramid, 0.0), choice) for pyramid, choice in dict(built).items()]
        within = [(one, choice) for one, choice in found if ground.limit is None or one.params <= ground.limit]
        within.sort(key=lambda pair: (pair[0].cost, pair[0].params))
        each = list(product(within, ground.rates))
        configurations = tuple(one._replace(rate=rate) for (one, _), rate in each)
        return cls(
            tuple((choice, rate) for (_, choice), rate in each),
            configurations,
            np.array([configuration.cost for configuration in configurations], dtype=np.float64),
            ground.features.of_all(configurations),
        )


def _built(choices: Iterable[Choice]) -> Iterator[tuple[Pyramid, Choice]]:
    for choice in choices:
        try:
            yield choice.pyramid(), choice
        except ValueError:  # every rank is 0
            continue


def _alike(space: SearchSpace) -> Iterator[Choice]:
    """Every combination of ranks that all groups share, in equal groups, or in each of a few given splits."""
    if isinstance(space.splits, tuple):
        splits = space.splits[: space.max_groups]
    else:
        splits = tuple(split_evenly(space.layers, count) for count in space.splits.fitting(space.layers))
    for targets, alpha, global_rank, split in product(
        space.targets, space.alpha, space.fitting_global_ranks, splits
    ):
        for mid, layer in sorted(space.pairs(global_rank)):
            groups = len(split) - 1
            yield Choice(targets, alpha, global_rank, split, (mid,) * groups, (layer,) * groups, space.scaling)


def _evenly(
    built: list[tuple[Pyramid, Choice]], ground: Ground, draw: random.Random
) -> Iterator[tuple[Pyramid, Choice]]:
    """`KEPT` of them at most, as evenly over log parameters as they allow."""
    sizes = np.log([ground.count(pyramid) for pyramid, _ in built])
    edges = np.linspace(sizes.min(), sizes.max(), STRATA + 1)[1:-1]
    strata: list[list[int]] = [[] for _ in range(STRATA)]
    for place, stratum in enumerate(np.searchsorted(edges, sizes)):
        strata[stratum].append(place)
    share = math.ceil(KEPT / STRATA)
    for of in strata:
        yield from (built[place] for place in draw.sample(of, min(share, len(of))))
