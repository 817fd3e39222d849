"""The configurations of a space that no trial has begun: draws one of them, and tells when none is left."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.results.records import Configuration
from msplora_search.search.model.candidates import Candidates, Ground, Proposal
from msplora_search.search.proposal import Proposer, pyramid_of
from msplora_search.text import several

MOST_DRAWN = 10_000
"""Draws, some seconds of them, after which what is left of a space is too little to be met by chance."""


class Untried:
    """What is left of a space, within the most adapter parameters that a proposal may have."""

    def __init__(
        self, proposer: Proposer, ground: Ground, candidates: Callable[[], Candidates], seed: int
    ) -> None:
        self.proposer = proposer
        self.ground = ground
        self._candidates = candidates
        """All configurations of a space that is listed."""
        self._random = np.random.default_rng(seed)
        self._order: list[int] | None = None
        """Places of all candidates, at random."""
        self._place = 0
        self._inside: dict[Configuration, bool] = {}

    @property
    def space(self) -> SearchSpace:
        """The space."""
        return self.proposer.space

    def draw(self, known: Collection[Configuration]) -> dict[str, Any] | None:
        """Parameters of a configuration that is not `known`; of a space that is listed, each is equally likely.

        None where there is none, or, of a space that is not listed, where none was met. What was known once is
        known for good.
        """
        if self._can_be_listed:
            left = self._next(known)
            return None if left is None else self.proposer.parameters(*left)
        for _ in range(MOST_DRAWN):
            drawn = {name: self._any(dimension) for name, dimension in self.proposer.dimensions.items()}
            choice, rate = self.proposer.propose(optuna.trial.FixedTrial(drawn))
            pyramid = pyramid_of(choice)
            if pyramid is not None and self._fits(pyramid) and (pyramid, rate) not in known:
                return drawn
        return None

    def exhausted(self, known: Collection[Configuration]) -> bool:
        """Whether nothing is left, as far as that can be told without listing what has not been listed yet."""
        if self._order is not None:
            return self._next(known) is None
        size = self.space.size
        return size is not None and len(known) >= size and sum(map(self._is_inside, known)) >= size

    def ending(self) -> str:
        """Why the last draw gave none."""
        limit = self.ground.limit
        within = "" if limit is None else f" of at most {several(limit, 'parameter')}"
        if not self._can_be_listed:
            return f"the space is exhausted: {MOST_DRAWN:,} draws met no new configuration{within}"
        count = self.space.size if limit is None else len(self._candidates().proposals)
        if not count:
            return f"the space holds no configuration{within}"
        return f"the space is exhausted: all {count:,} configurations{within} are measured"

    @property
    def _can_be_listed(self) -> bool:
        return self.ground.is_listed and self.space.size is not None

    def _next(self, known: Collection[Configuration]) -> Proposal | None:
        """The first in random order that is not known; those before it are never unknown again."""
        listed = self._candidates()
        if self._order is None:
            self._order = self._random.permutation(len(listed.proposals)).tolist()
        for place in islice(self._order, self._place, None):
            one = listed.configurations[place]
            if (one.pyramid, one.rate) not in known:
                return listed.proposals[place]
            self._place += 1
        return None

    def _fits(self, pyramid: Pyramid) -> bool:
        return self.ground.limit is None or self.ground.count(pyramid) <= self.ground.limit

    def _is_inside(self, configuration: Configuration) -> bool:
        if configuration not in self._inside:
            pyramid, rate = configuration
            inside = pyramid is not None and self.space.contains(pyramid) and self.space.contains_rate(rate)
            self._inside[configuration] = inside
        return self._inside[configuration]

    def _any(self, dimension: BaseDistribution) -> float:
        match dimension:
            case IntDistribution(low=low, high=high):
                return int(self._random.integers(low, high + 1))
            case FloatDistribution(low=low, high=high, log=True):
                return float(np.clip(np.exp(self._random.uniform(np.log(low), np.log(high))), low, high))
            case FloatDistribution(low=low, high=high):
                return float(self._random.uniform(low, high))
            case _:
                raise TypeError(f"no dimension of a space: {dimension}")
