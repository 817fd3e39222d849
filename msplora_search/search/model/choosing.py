"""Which configuration to train next."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msplora_search.search.model.candidates import Candidates, Proposal
from msplora_search.search.model.features import Candidate

INITIAL, FEWEST_INITIAL, LEFT_FOR_THE_MODEL = 10, 4, 2
"""See `initial_count`."""
NEAR = 0.02
"""Share of the range of log parameters within which sizes count as equally far."""

CONVERGED = 0.02
"""Part of the standard error of a metric: a proposal that is expected to add less is not worth its training."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prospect:
    """The proposal that is expected to raise the front most."""

    proposal: Proposal
    gain: float
    """Of the mean of the envelope over log parameters, in units of the metric."""
    metric_se: float
    """Of one measurement, beside what all have in common."""

    @property
    def is_worth_little(self) -> bool:
        """Whether the front has converged: measurements are too inexact to tell it from what is left."""
        return self.gain < CONVERGED * self.metric_se


def initial_count(trials: int | None) -> int:
    """Proposals before the model is asked: the cheapest configuration, and what lies far from all others in cost.

    Ten, and in a short search all but its last two: with four, a search is behind from the tenth trial to the last
    (`scripts/bench_search.py`, medians after 12 and 36: 0.55 to 0.44 and 0.31 to 0.28 points on `digits`; after
    18 and 36 0.77 to 0.67 and 0.57 to 0.51 on `tiny`), and ahead before it. Choosing them far apart in all
    features, and asking the model for every second of them, were tried and did not help.
    """
    return INITIAL if trials is None else min(INITIAL, max(FEWEST_INITIAL, trials - LEFT_FOR_THE_MODEL))


def initial_choice(
    candidates: Candidates, free: NDArray[np.bool_], known: Collection[Candidate], seed: int
) -> int:
    """The cheapest free candidate where nothing as cheap is known, else one as far from all known costs as can be.

    Of several rates the one in the middle, of an even number the two in turn: who gives a choice of rates gives it
    about the one that is believed best; but the cheapest soon once more, see `_cheapest_again`. Of those that are
    equally far one is drawn, always the same for a seed.
    """
    again = _cheapest_again(candidates, free, known) if len(known) >= FEWEST_INITIAL else None
    if again is not None:
        return again
    sizes = np.log(candidates.costs)
    middle = free & (candidates.rates == _middle(candidates.rates, known))
    free = middle if middle.any() else free
    low, high = float(sizes.min()), float(sizes.max())
    there = np.log([one.cost for one in known]) if known else np.empty(0)
    cheapest = int(np.flatnonzero(free)[np.argmin(sizes[free])])
    if not len(there) or there.min() > sizes[cheapest]:
        return cheapest
    apart = np.abs(sizes[:, None] - there).min(axis=1)
    far = np.flatnonzero(free & (apart >= apart[free].max() - NEAR * (high - low)))
    return int(np.random.default_rng(seed).choice(far))


def _cheapest_again(candidates: Candidates, free: NDArray[np.bool_], known: Collection[Candidate]) -> int | None:
    """The cheapest configuration at the next higher rate, where it is known at one rate alone.

    Its step of the envelope is the longest, and small pyramids want high rates. On `digits` a search has half the
    regret after six to nine trials by it, and the same from the twelfth on.
    """
    those = [one for one in known if one.cost == candidates.costs.min()]
    if len(those) != 1:
        return None
    higher = [
        place
        for place in np.flatnonzero(
            free & (candidates.costs == those[0].cost) & (candidates.rates > those[0].rate)
        )
        if candidates.configurations[place].pyramid == those[0].pyramid
    ]
    return int(min(higher, key=lambda place: candidates.rates[place])) if higher else None


def _middle(rates: Floats, known: Collection[Candidate]) -> float:
    """The rate in the middle; of two the one that fewer are known of, first the lower."""
    every = np.unique(rates)
    two = every[(len(every) - 1) // 2 : len(every) // 2 + 1]
    return float(min(two, key=lambda rate: sum(one.rate == rate for one in known)))


def best_choice(gains: Floats, free: NDArray[np.bool_]) -> int:
    """The free candidate that is expected to raise the front most; of equal ones the first, the cheapest."""
    return int(np.argmax(np.where(free, gains, -np.inf)))


def kernel_from(count: int) -> int:
    """How many of the first measurements the kernel is fitted to, when there are `count`.

    A fourth more each time: a kernel changes little from one to the next, and fitting it is what takes long. By
    the count alone, so that a search that was interrupted goes on with the same.
    """
    fitted = 2
    while (after := max(fitted + 1, fitted * 5 // 4)) <= count:
        fitted = after
    return fitted


def gauged_from(count: int) -> int:
    """How many of the first measurements the best gain is told by, when there are `count`: all of up to 40.

    Then a twentieth more each time, by the count alone, as for `kernel_from`.
    """
    gauged = 40
    while (after := gauged + gauged // 20) <= count:
        gauged = after
    return min(gauged, count)
