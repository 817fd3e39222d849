"""How much of a function's variance over a space each factor explains: functional ANOVA.

Hutter, Hoos and Leyton-Brown, An efficient approach for assessing hyperparameter importance, 2014, by the effects
of Sobol, Sensitivity estimates for nonlinear mathematical models, 1993. The space is weighted by choices, each
dimension drawn evenly, and not by the models that they build. So one rank counts as much as another, though a mid
rank makes many more models, as boundaries matter beside it; and boundaries that separate nothing are a dimension
along which the function stands still.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from msplora_search.design.choice import Choice
from msplora_search.design.sampling import random_split
from msplora_search.design.space import SearchSpace, Shape
from msplora_search.design.splits import RankPair
from msplora_search.search.model.candidates import Ground
from msplora_search.search.model.features import Candidate

DRAWN, CHANGED, FEWEST = 1_000, 150, 200
"""Choices that are drawn, how many of them are also changed in each factor, and how few are too few."""
TRIES = 5
"""Draws for each choice that is wanted, as some cost too much, or adapt nothing."""
EXACT, BINS, COARSE, SIZES = 12, 6, 3, 20
"""Values of a factor that are told apart one by one; else the classes of equal weight for what stands first of a
factor (a mean over depth, a boundary), and for the tilt; and those of size."""
FIELDS = {
    "ranks": ("global_rank", "mid_ranks", "layer_ranks"),
    "global rank": ("global_rank",),
    "mid rank": ("mid_ranks",),
    "layer rank": ("layer_ranks",),
    "groups": ("split",),
    "boundaries": ("split",),
    "targets": ("targets",),
    "alpha": ("alpha",),
    "rate": ("rate",),
}
"""What is drawn anew of a choice to see a factor alone."""

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Shares:
    """Of the variance of some functions over a space; (functions, factors) but for `size`."""

    alone: Floats
    """First order: of the mean, given the factor."""
    total: Floats
    """What is left where all other factors are given."""
    size: Floats
    """(functions,): of the mean, given the number of adapter parameters, which follows from the factors."""


@dataclass(frozen=True, eq=False)
class Effects:
    """A sample of a space, with the means to split the variance of a function by factors."""

    factors: tuple[str, ...]
    """That the space varies, of those of `FIELDS`."""
    configurations: tuple[Candidate, ...]
    """m different ones."""
    drawn: Places
    """(n,): the configuration of each choice that was drawn."""
    changed: dict[str, Places]
    """By factor, those of the first choices when it alone is drawn anew."""
    classes: dict[str, Places]
    """By factor, and of `size`: which choices have it alike, (n,), in numbers from 0."""

    @classmethod
    def of(cls, ground: Ground, seed: int = 0) -> Effects | None:
        """None where hardly any choice is within the limit of the ground."""
        sampler = _Sampler.of(ground, seed)
        drawn = list(islice(sampler.valid(), DRAWN))
        if len(drawn) < FEWEST:
            return None
        known: dict[Candidate, int] = {}

        def placed(found: Iterable[Candidate]) -> Places:
            return np.array([known.setdefault(one, len(known)) for one in found], dtype=np.intp)

        there = placed(one for _, one in drawn)
        changed = {
            name: placed(sampler.changed(draw, name) or one for draw, one in drawn[:CHANGED])
            for name in _separable(ground.space)
        }
        classes = {name: _classes(name, [draw for draw, _ in drawn]) for name in changed}
        classes["size"] = _binned(np.log([float(one.params) for _, one in drawn]), SIZES)
        varied = tuple(
            name for name, of in changed.items() if (of != there[: len(of)]).any() and classes[name].max() > 0
        )
        return cls(varied, tuple(known), there, changed, classes)

    def shares(self, values: Floats) -> Shares:
        """Of functions by their values on the configurations, (functions, m), none of which is constant.

        How many groups there are comes before where they lie: boundaries explain what they explain among
        choices of equally many groups.
        """
        there = values[:, self.drawn]
        variance = there.var(axis=1)
        alone, total = {}, {}
        for name in self.factors:
            apart = values[:, self.drawn[: len(self.changed[name])]] - values[:, self.changed[name]]
            alone[name] = _explained(there, self.classes[name])
            total[name] = (apart**2).mean(axis=1) / 2 / variance  # Jansen, 1999
        if "boundaries" in alone:
            alone["boundaries"] = alone["boundaries"] - _explained(there, self.classes["groups"])
            if "groups" in total:
                total["groups"] = total["groups"] - total["boundaries"]
        first = np.stack([np.clip(alone[name], 0, 1) for name in self.factors], axis=1)
        whole = np.stack([np.clip(total[name], 0, 1) for name in self.factors], axis=1)
        return Shares(first, np.maximum(first, whole), np.clip(_explained(there, self.classes["size"]), 0, 1))


@dataclass(frozen=True)
class _Draw:
    """Every dimension of a choice; ranks for as many groups as a choice may have."""

    global_rank: int
    mid_ranks: tuple[int, ...]
    layer_ranks: tuple[int, ...]
    split: tuple[int, ...]
    targets: tuple[str, ...]
    alpha: float
    rate: float

    @property
    def groups(self) -> int:
        return len(self.split) - 1


@dataclass(frozen=True)
class _Sampler:
    ground: Ground
    draw: random.Random
    pairs_of: Callable[[int], list[list[RankPair]]]

    @classmethod
    def of(cls, ground: Ground, seed: int) -> _Sampler:
        pairs_of = cache(lambda rank: [sorted(pairs) for pairs in ground.space.shared_pairs(rank)])
        return cls(ground, random.Random(seed), pairs_of)

    def valid(self) -> Iterator[tuple[_Draw, Candidate]]:
        """Choices that adapt something within the limit, as long as they are not too rare."""
        for _ in range(TRIES * DRAWN):
            draw = self._any()
            if (built := self._built(draw)) is not None:
                yield draw, built

    def changed(self, draw: _Draw, factor: str) -> Candidate | None:
        """With one factor drawn anew, so that it is valid beside the others; None where that is hard to find."""
        for _ in range(TRIES * TRIES):
            other = self._any()
            while factor == "boundaries" and other.groups != draw.groups:
                other = replace(other, split=random_split(self.ground.space, self.draw))
            found = self._built(replace(draw, **{name: getattr(other, name) for name in FIELDS[factor]}))
            if found is not None:
                return found
        return None

    def _any(self) -> _Draw:
        """As `design.sampling.random_choice` draws."""
        space, draw = self.ground.space, self.draw
        global_rank = draw.choice(space.fitting_global_ranks)
        pairs = draw.choice(self.pairs_of(global_rank))
        mids, layers = zip(*(draw.choice(pairs) for _ in range(space.max_groups)), strict=True)
        split, targets = random_split(space, draw), draw.choice(space.targets)
        return _Draw(
            global_rank, mids, layers, split, targets, draw.choice(space.alpha), draw.choice(self.ground.rates)
        )

    def _built(self, draw: _Draw) -> Candidate | None:
        ranks = draw.mid_ranks[: draw.groups], draw.layer_ranks[: draw.groups]
        if not draw.global_rank and not any(map(any, ranks)):
            return None
        choice = Choice(draw.targets, draw.alpha, draw.global_rank, draw.split, *ranks, self.ground.space.scaling)
        pyramid = choice.pyramid()
        params, limit = self.ground.count(pyramid), self.ground.limit
        return None if limit is not None and params > limit else Candidate(pyramid, draw.rate, params)


def _separable(space: SearchSpace) -> Iterator[str]:
    """Factors that can be changed one by one; ranks that go together are one."""
    together = space.ranks is not None or space.shape is not Shape.ANY
    yield from ("ranks",) if together else ("global rank", "mid rank", "layer rank")
    yield from ("groups", "boundaries", "targets", "alpha", "rate")


def _classes(factor: str, draws: Sequence[_Draw]) -> Places:
    """Which choices have a factor alike, (n,)."""
    match factor:
        case "ranks":
            levels = [_over_depth(draws, field)[0] for field in FIELDS[factor][1:]]
            levels.append(np.array([float(draw.global_rank) for draw in draws]))
            return _joined([_binned(level, BINS) for level in levels])
        case "mid rank" | "layer rank":
            mean, tilt = _over_depth(draws, FIELDS[factor][0])
            return _joined([_binned(mean, BINS), _binned(tilt, COARSE)])
        case "boundaries":
            count = _values([draw.groups for draw in draws])
            cuts = [np.array([float(draw.split[i]) for draw in draws]) for i in (1, -2)]
            return _joined([count, *(_binned(cut, BINS) for cut in cuts)])
        case "groups":
            return _values([draw.groups for draw in draws])
        case name:
            return _values([getattr(draw, FIELDS[name][0]) for draw in draws])


def _over_depth(draws: Sequence[_Draw], field: str) -> tuple[Floats, Floats]:
    """Mean over depth and tilt of a level's log2(1 + rank), as `features.Features` has them; (n,) each."""
    means, tilts = np.zeros(len(draws)), np.zeros(len(draws))
    for place, draw in enumerate(draws):
        cuts = np.array(draw.split) / draw.split[-1]
        ranks = np.log2(1 + np.array(getattr(draw, field)[: draw.groups]))
        means[place], tilts[place] = np.diff(cuts) @ ranks, np.diff(cuts) * (cuts[1:] + cuts[:-1] - 1) @ ranks
    return means, tilts


def _values(found: Sequence[object]) -> Places:
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in found], dtype=np.intp)


def _binned(values: Floats, bins: int) -> Places:
    """Each value where there are at most `EXACT`, else classes of about equally many."""
    different, place = np.unique(values.round(9), return_inverse=True)
    if len(different) <= EXACT:
        return np.asarray(place)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, values), return_inverse=True)[1]


def _joined(parts: Sequence[Places]) -> Places:
    """Classes that are alike in all parts."""
    return np.unique(np.stack(parts), axis=1, return_inverse=True)[1].ravel()


def _explained(values: Floats, classes: Places) -> Floats:
    """Share of the variance of each row that lies between classes, (rows,), without what chance would put there.

    One less the ratio of the mean squares within and in all (Kelley, An unbiased correlation ratio measure, 1935).
    """
    rows = len(classes)
    members = (classes == np.arange(classes.max() + 1)[:, None]).astype(np.float64)
    centred = values - values.mean(axis=1, keepdims=True)
    means = centred @ members.T / members.sum(axis=1)
    whole = (centred**2).sum(axis=1)
    within = whole - (means**2 @ members.sum(axis=1))
    return np.asarray(1 - within / max(1, rows - len(members)) / (whole / (rows - 1)))
