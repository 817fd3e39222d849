"""A study's outlook from its records, and what follows from it for the next decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from scipy.special import ndtr

from msplora_search.results.records import State, TrialRecord
from msplora_search.search.model.candidates import Candidates, Ground, Proposal
from msplora_search.search.model.choosing import INITIAL, Prospect, best_choice, initial_choice, kernel_from
from msplora_search.search.model.ending import Endings, combined
from msplora_search.search.model.features import Candidate
from msplora_search.search.model.gain import Envelope
from msplora_search.search.model.measurements import (
    MEASURED,
    MOST_MODELLED,
    Measurements,
    candidate_of,
    first_measured,
    pending_in,
    stages,
)
from msplora_search.search.model.outlook import Outlook
from msplora_search.search.model.surrogate import Scaler, Surrogate
from msplora_search.search.repeats import training_variance

Found = TypeVar("Found")
GAUGED = 4_000
"""Candidates among which the best gain is looked for where it is only compared with, drawn at random; and those
that are scored for each proposal, where they are more: the best when all were scored last."""
FEWEST = 3
"""Trials that were trained to the end, before the model is asked."""
LOOKED_AHEAD = 8
"""Proposals."""
MOST_OF_THE_LAST = 0.98
"""Part of a proposal's gain that the next has, at most, when those that are not looked at are estimated."""


class Latest(Generic[Found]):
    """What was computed last, for as long as it is asked for again."""

    def __init__(self) -> None:
        self._kept: tuple[object, Found] | None = None

    def of(self, key: object, compute: Callable[[], Found]) -> Found:
        """What belongs to a key."""
        if self._kept is None or self._kept[0] != key:
            self._kept = key, compute()
        return self._kept[1]


@dataclass(eq=False)
class Forecaster:
    """What a study's records say of what is not trained yet. It keeps what takes long to compute."""

    ground: Ground
    floor: float
    """A metric that is to be had for nothing, such as that of always the most frequent class."""
    seed: int
    initial: int = INITIAL
    """Proposals before the model is asked."""
    _kernels: dict[int, Surrogate] = field(default_factory=dict)
    _prospect: Latest[Prospect | None] = field(default_factory=Latest)
    _gauge: Latest[Prospect | None] = field(default_factory=Latest)
    _best_then: Latest[Candidates] = field(default_factory=Latest)
    _known: Latest[Measurements | None] = field(default_factory=Latest)
    _whole: Latest[Endings] = field(default_factory=Latest)
    _seen: Latest[Outlook] = field(default_factory=Latest)
    _own: dict[int, Candidate] = field(default_factory=dict)
    """What each trial trains, by its number."""

    @cached_property
    def candidates(self) -> Candidates:
        """What may be proposed; of a large space without the neighbours of its front."""
        return Candidates.of(self.ground, self.seed)

    @cached_property
    def _few(self) -> Candidates:
        """Some of them."""
        return self.candidates.some(GAUGED, self.seed)

    def _taken(self, records: Sequence[TrialRecord]) -> set[Candidate]:
        """What need not be proposed any more; each the very candidate that it is, which is found at once."""
        for record in records:
            if record.number not in self._own and record.pyramid is not None:
                self._own[record.number] = self.candidates.own(candidate_of(record))
        return {self._own[record.number] for record in records if record.pyramid is not None}

    def next_proposal(self, records: Sequence[TrialRecord]) -> Proposal | None:
        """What to train next, given all that was begun so far; None where no candidate is left."""
        taken = self._taken(records)
        free = self.candidates.free(taken)
        if not free.any():
            return None
        proposed = sum(record.baseline is None and record.repeat_of is None for record in records)
        prospect = self.prospect(records) if proposed >= self.initial else None
        if prospect is not None:
            return prospect.proposal
        place = initial_choice(self.candidates, free, taken, self.seed + len(records))
        return self.candidates.proposals[place]

    def prospect(self, records: Sequence[TrialRecord]) -> Prospect | None:
        """The best proposal; None where too little was measured to tell."""
        return self._prospect.of(
            stages(records), lambda: self._best_of(records, pending_in(records), self._promising(records))
        )

    def gauge(self, records: Sequence[TrialRecord]) -> Prospect | None:
        """`prospect`, or the best of some when up to a twentieth less was measured: for what is compared with it.

        Scoring all candidates takes long; the best gain changes little from one trial to the next, and is little
        more than that of the best of thousands. Where many workers search, each of them sees a twentieth more at
        each of its proposals.
        """
        first, is_all = first_measured(records)
        if is_all:
            return self.prospect(records)
        return self._gauge.of(stages(first), lambda: self._best_of(first, [], self._few))

    def _promising(self, records: Sequence[TrialRecord]) -> Candidates:
        """The best `GAUGED` candidates when up to a twentieth less was measured; all where they are no more.

        Scoring tens of thousands takes half a second, and what was far from the best stays so for a while: as with
        kernels, until enough more was measured, whatever else changes.
        """
        if len(self.candidates.proposals) <= GAUGED:
            return self.candidates
        first, _ = first_measured(records)
        return self._best_then.of(len(first), lambda: self._most_promising(first))

    def _most_promising(self, records: Sequence[TrialRecord]) -> Candidates:
        measured = self._measured(records)
        if measured is None:
            return self.candidates
        gains = self._outlook(measured, []).gains(self.candidates)
        gains[~self.candidates.free(self._taken(records))] = -np.inf
        return self.candidates.at(np.sort(np.argsort(-gains, kind="stable")[:GAUGED]))

    def worth_thawing(self, records: Sequence[TrialRecord]) -> TrialRecord | None:
        """The stopped proposal that, trained on, would gain more a step than the best new one; None: none would.

        A new one is taken to cost as many steps as the proposals so far, which may be stopped too (Swersky, Snoek
        and Adams, Freeze-thaw Bayesian optimization, arXiv 1406.3896).
        """
        proposals = [r for r in records if r.baseline is None and r.repeat_of is None and r.planned_steps]
        stopped = [r for r in proposals if r.state == State.PRUNED]
        if not stopped:
            return None
        prospect, measured = self.gauge(records), self._measured(records)
        if measured is None or prospect is None:
            return None
        if len(stopped) > MOST_MODELLED:
            nearest = {(one.pyramid, one.rate) for one in measured.configurations}
            stopped = [record for record in stopped if record.configuration in nearest]
        if not stopped:
            return None
        outlook, each = self._outlook(measured, pending_in(records)), [candidate_of(record) for record in stopped]
        mean, sd = outlook.expected(self.ground.features.of_all(each))
        gains = outlook.envelope.expected_gain(mean, sd, np.array([float(one.cost) for one in each]))
        left = np.array([record.planned_steps - record.steps for record in stopped])
        worth = np.asarray(gains / left)
        spent = [r.steps for r in proposals if r.state in (State.PRUNED, State.COMPLETE)]
        return stopped[int(worth.argmax())] if worth.max() > prospect.gain / np.mean(spent) else None

    def further(self, records: Sequence[TrialRecord], trials: int) -> tuple[int, float] | None:
        """So many further proposals, or as many as are left, and what they are expected to add to the envelope.

        What the model expects is taken as far as it came true so far (`_came_true`). None where too little was
        measured to tell.
        """
        measured = self._measured(records)
        if measured is None:
            return None
        trials = min(trials, int(self.candidates.free(self._taken(records)).sum()))
        return trials, self._expected(measured, records, trials) * self._came_true(measured, records)

    def _expected(self, measured: Measurements, records: Sequence[TrialRecord], trials: int) -> float:
        """What so many further proposals add by the model.

        Each is believed to end at its expectation before the next is chosen; after the first few, gains are taken
        to fall on as they fell among these.
        """
        taken, pending, gains = self._taken(records), pending_in(records), list[float]()
        for _ in range(min(trials, LOOKED_AHEAD)):
            prospect = self._best(measured, taken, pending)
            choice, rate = prospect.proposal
            one = self.ground.candidate(choice.pyramid(), rate)
            taken, pending = {*taken, one}, [*pending, one]
            gains.append(prospect.gain)
        if trials <= len(gains) or gains[0] <= 0:
            return sum(gains)
        each = min(MOST_OF_THE_LAST, (gains[-1] / gains[0]) ** (1 / (len(gains) - 1)))
        rest = gains[-1] * each * (1 - each ** (trials - len(gains))) / (1 - each)
        return float(sum(gains) + rest)

    def _came_true(self, measured: Measurements, records: Sequence[TrialRecord]) -> float:
        """The part of what the model, halfway, expected of the second half of the proposals that these added.

        By what is believed of them now. The model is there to rank candidates; it expects too much of the best of
        many of them (`scripts/bench_ending.py`). From 0 to 1, which it is where the first half is too short.
        """
        proposals = [
            r for r in records if r.state == State.COMPLETE and r.baseline is None and r.repeat_of is None
        ]
        half = len(proposals) // 2
        first = [record for record in records if half and record.number <= proposals[half - 1].number]
        then = self._measured(first)
        if then is None:
            return 1.0
        expected = self._expected(then, first, len(proposals) - half)
        whole, known = measured.configurations[: measured.complete], self._taken(first)
        believed, _ = self._outlook(measured, []).expected(self.ground.features.of_all(whole))
        span, over = self.ground.over(self.candidates), measured.costs[: measured.complete]
        at_half = np.array([one in known for one in whole])
        before, now = (
            Envelope.of(believed[of], over[of], self.floor, span).mean() for of in (at_half, np.ones_like(at_half))
        )
        return float(np.clip((now - before) / expected, 0.0, 1.0)) if expected > 0 else 1.0

    def chance_to_enter(self, record: TrialRecord, records: Sequence[TrialRecord]) -> float | None:
        """The probability that a trial, once trained to the end, would raise the envelope of all others.

        From its curve, what others did between its last rung and the end, and what the model expects of its
        configuration. None where too little was measured to tell.
        """
        others = [other for other in records if other.number != record.number]
        measured, ending = self._measured(others), self._endings(others).expected(record)
        if ending is None or measured is None:
            return None
        outlook = self._outlook(measured, pending_in(others))
        mean, sd = outlook.expected(self.ground.features.of_all([candidate_of(record)]))
        metric, variance = combined((float(mean[0]), float(sd[0]) ** 2), ending)
        height = float(outlook.envelope.at(np.array([float(record.cost)]))[0])
        spread = math.sqrt(variance + measured.one_training + outlook.surrogate.luck)
        return float(ndtr((metric - height) / spread))

    def _best_of(
        self, records: Sequence[TrialRecord], pending: Sequence[Candidate], among: Candidates | None = None
    ) -> Prospect | None:
        measured = self._measured(records)
        return None if measured is None else self._best(measured, self._taken(records), pending, among)

    def _best(
        self,
        measured: Measurements,
        taken: Collection[Candidate],
        pending: Sequence[Candidate],
        among: Candidates | None = None,
    ) -> Prospect:
        front = [one.pyramid for one in measured.front()]
        candidates = (among or self.candidates).beside(front, self.ground)
        outlook = self._outlook(measured, pending)
        gains = outlook.gains(candidates)
        free = candidates.free(taken)
        if not free.any() and among is not None and among is not self.candidates:
            return self._best(measured, taken, pending, self.candidates)
        place = best_choice(gains, free)
        metric_se = math.sqrt(measured.one_training + outlook.surrogate.luck)
        return Prospect(candidates.proposals[place], float(gains[place]), metric_se)

    def _measured(self, records: Sequence[TrialRecord]) -> Measurements | None:
        """None where they are too few, or nothing is small enough to be proposed."""
        those = [record for record in records if record.state in MEASURED]

        def measured() -> Measurements | None:
            found = Measurements.of(those, training_variance(those, 1.0), self._endings(those))
            return found if found.complete >= FEWEST and len(self.candidates.costs) else None

        return self._known.of(stages(those), measured)

    def _endings(self, records: Sequence[TrialRecord]) -> Endings:
        whole = [record for record in records if record.state == State.COMPLETE]
        return self._whole.of(stages(whole), lambda: Endings.of(whole))

    def _outlook(self, measured: Measurements, pending: Sequence[Candidate]) -> Outlook:
        def seen() -> Outlook:
            like = self._kernel(measured)
            return Outlook.of(measured, self.ground, self.candidates, self.floor, pending, like)

        return self._seen.of((measured, list(pending)), seen)

    def _kernel(self, measured: Measurements) -> Surrogate:
        """Fitted to the first of what was trained to the end."""
        count = kernel_from(measured.complete)
        if count not in self._kernels:
            scaler = Scaler.of(self.candidates.features, self.ground.features.factors)
            known = scaler.scaled(self.ground.features.of_all(measured.configurations[:count]))
            metrics, variances = measured.metrics[:count], measured.variances[:count]
            self._kernels[count] = Surrogate.fitted(known, metrics, variances, measured.luck)
        return self._kernels[count]
