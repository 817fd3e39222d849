"""The configurations of a space that no trial has begun: draws one of them, and tells when none is left."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from msplora_search.design.choice import Choice
from msplora_search.design.listing import every_choice
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import LogRange, SearchSpace
from msplora_search.results.records import Configuration
from msplora_search.search.model.candidates import MOST as MOST_LISTED
from msplora_search.search.proposal import Proposer, pyramid_of
from msplora_search.text import several

MOST_DRAWN = 10_000
"""Draws, some seconds of them, after which what is left of a space is too little to be met by chance."""


class Untried:
    """What is left of a space, within the most adapter parameters that a proposal may have."""

    def __init__(
        self, proposer: Proposer, params_of: Callable[[Pyramid], int], limit: int | None, seed: int
    ) -> None:
        self.proposer = proposer
        self.params_of = params_of
        """Adapter parameters of a pyramid."""
        self.limit = limit
        self._random = np.random.default_rng(seed)
        self._listed: list[tuple[Pyramid, Choice, float]] | None = None
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
            return None if left is None else self.proposer.parameters(left[1], left[2])
        for _ in range(MOST_DRAWN):
            drawn = {name: self._any(dimension) for name, dimension in self.proposer.dimensions.items()}
            choice, rate = self.proposer.propose(optuna.trial.FixedTrial(drawn))
            pyramid = pyramid_of(choice)
            if pyramid is not None and self._fits(pyramid) and (pyramid, rate) not in known:
                return drawn
        return None

    def exhausted(self, known: Collection[Configuration]) -> bool:
        """Whether nothing is left, as far as that can be told without listing what has not been listed yet."""
        if self._listed is not None:
            return self._next(known) is None
        size = self.space.size
        return size is not None and len(known) >= size and sum(map(self._is_inside, known)) >= size

    def ending(self) -> str:
        """Why the last draw gave none."""
        within = "" if self.limit is None else f" of at most {several(self.limit, 'parameter')}"
        if not self._can_be_listed:
            return f"the space is exhausted: {MOST_DRAWN:,} draws met no new configuration{within}"
        count = self.space.size if self.limit is None else len(self._ordered())
        if not count:
            return f"the space holds no configuration{within}"
        return f"the space is exhausted: all {count:,} configurations{within} are measured"

    @property
    def _can_be_listed(self) -> bool:
        return self.space.size is not None and self.space.size <= MOST_LISTED

    def _ordered(self) -> list[tuple[Pyramid, Choice, float]]:
        """Every pyramid within the limit, a choice that builds it, and a rate, in random order."""
        if self._listed is None:
            rates = self.space.learning_rate
            assert not isinstance(rates, LogRange)
            fitting = [(pyramid, choice) for pyramid, choice in every_choice(self.space) if self._fits(pyramid)]
            listed = [(pyramid, choice, rate) for pyramid, choice in fitting for rate in dict.fromkeys(rates)]
            self._listed = [listed[i] for i in self._random.permutation(len(listed))]
        return self._listed

    def _next(self, known: Collection[Configuration]) -> tuple[Pyramid, Choice, float] | None:
        """The first in the random order that is not known; those before it are never unknown again."""
        for pyramid, choice, rate in islice(self._ordered(), self._place, None):
            if (pyramid, rate) not in known:
                return pyramid, choice, rate
            self._place += 1
        return None

    def _fits(self, pyramid: Pyramid) -> bool:
        return self.limit is None or self.params_of(pyramid) <= self.limit

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
