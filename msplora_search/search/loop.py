"""The loop of a search: what is next, is it worth training, train it, tell it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from msplora_search.results.records import State, TrialRecord
from msplora_search.search.baselines import Baseline
from msplora_search.search.budget import Budget
from msplora_search.search.events import TrialTaken
from msplora_search.search.faults import Faults
from msplora_search.search.objective import Objective
from msplora_search.search.others import Others
from msplora_search.search.points import points_of
from msplora_search.search.repeats import next_contest, noise_repeats
from msplora_search.search.samplers.view import SamplerView
from msplora_search.search.store.attributes import enqueue_repeat, enqueue_thaw
from msplora_search.search.store.history import History, Standing
from msplora_search.search.store.own_file import Watch
from msplora_search.search.telling import TrialFailedError
from msplora_search.search.turns import LostTurnError, Turns
from msplora_search.search.untried import Untried
from msplora_search.settings.models import SearchSettings
from msplora_search.text import several

PATIENCE = 10
"""Proposals in a row that need no training, after which one is drawn from what is left. Where two in three are
repeats, as TPE's in a small space, ten in a row come once in sixty times by chance; more often they mean a sampler
that is stuck."""


@dataclass(frozen=True)
class Loop:
    """Takes trials of a study one by one."""

    study: optuna.Study
    view: SamplerView
    """The same study, to ask for trials."""
    objective: Objective
    baselines: Sequence[Baseline]
    untried: Untried
    budget: Budget
    turns: Turns
    watch: Watch
    others: Others
    faults: Faults = field(default_factory=Faults)

    def take(self) -> bool:
        """Run one trial, from the question to Optuna to its values; False where none is left.

        Raises WorkerStoppedError after several in a row that failed.
        """
        self.watch.require_there()
        begun, has_begun = None, False
        while not has_begun:
            worth_it = self._worth_thawing()  # before one's turn, while others have theirs: it takes long
            try:
                with self.turns.mine():
                    self.others.look_after()
                    begun, has_begun = self._begin(worth_it), True
            except LostTurnError:
                self.others.one_is_left()
        if begun is None:
            return False
        with self.others.heart.beating(begun[0]):
            self._run(*begun)
        self.watch.require_there()
        self.faults.require_few()
        return True

    def reason(self) -> str:
        """Why no trial is left."""
        search, standing = self._search, self._history.look()
        if spent := self.budget.spent(standing):
            return spent
        ended = self.budget.enough(standing) or self.untried.ending()
        if not search.repeats:
            return ended
        if standing.contests < search.repeats:
            return f"{ended}, and the front is decided after {several(standing.contests, 'repeat')}"
        return f"{ended}, and {several(search.repeats, 'repeat')}"

    def _worth_thawing(self) -> int | None:
        """The number of a stopped trial that is to go on rather than that a new one begins."""
        found = self.budget.forecaster.worth_thawing(self._history.look().records)
        return None if found is None else found.number

    def _begin(self, worth_it: int | None) -> tuple[optuna.Trial, TrialRecord] | None:
        """Ask until there is something to train; None where nothing is left.

        `worth_it`: a stopped trial that goes on, unless another went on with it meanwhile. What needs no training
        is told at once, so that no other worker takes it for a trial.
        """
        while self._anything_left(worth_it):
            trial = self.view.ask()
            try:
                self.others.heart.beat(trial)
                record = self.objective.begin(trial)
                self.turns.require_mine()
            except BaseException:
                self._give_up(trial)
                raise
            if record.state == State.RUNNING:
                return trial, record
            self._run(trial, record)
        return None

    def _run(self, trial: optuna.Trial, record: TrialRecord) -> None:
        try:
            values = self.objective.finish(trial, record)
        except TrialFailedError as failed:
            self._tell(trial, record, None)
            self.faults.failed(failed.record)
        except UpdateFinishedTrialError:
            self.objective.listen(TrialTaken(record))
        except BaseException:
            self._give_up(trial)
            raise
        else:
            self._tell(trial, record, values)
            if record.state == State.RUNNING:
                self.faults.went_well()

    def _tell(self, trial: optuna.Trial, record: TrialRecord, values: tuple[float, float] | None) -> None:
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        try:
            told = self.study.tell(trial, values, state=state, skip_if_finished=True).state == state
        except UpdateFinishedTrialError:
            told = False
        if not told:
            self.objective.listen(TrialTaken(record))

    def _give_up(self, trial: optuna.Trial) -> None:
        """Leave a trial to be started anew; where the storage is dead, as one whose process died."""
        with contextlib.suppress(Exception):
            self.study.tell(trial, state=TrialState.FAIL)

    @property
    def _history(self) -> History:
        return self.objective.history

    @property
    def _search(self) -> SearchSettings:
        return self.objective.bench.settings.search

    def _anything_left(self, worth_it: int | None) -> bool:
        """Whether Optuna may be asked; what it is not asked for itself is enqueued when it is due.

        What waits comes first, then what tells the noise of training, then proposals, then what decides the front.
        """
        standing = self._history.look()
        if self.budget.spent(standing):
            return False
        if standing.waiting or self._repeats_are_due(standing):
            return True
        if self.budget.enough(standing) is None and self._proposal_is_left(standing, worth_it):
            return True
        return standing.contests < self._search.repeats and self._contest_is_due(standing)

    def _repeats_are_due(self, standing: Standing) -> bool:
        due = noise_repeats(standing.records, self.baselines, self._search)
        for repeat in due:
            enqueue_repeat(self.study, repeat)
        standing.waiting |= bool(due)
        return bool(due)

    def _proposal_is_left(self, standing: Standing, worth_it: int | None) -> bool:
        """Whether there is a configuration to propose; after `PATIENCE` it is drawn here.

        One that was stopped goes on instead where that is worth more.
        """
        if self.untried.exhausted(standing.known):
            return False
        there = (r for r in standing.records if r.number == worth_it and r.state == State.PRUNED)
        if (stopped := next(there, None)) is not None:
            enqueue_thaw(self.study, stopped)
            standing.waiting = True
            return True
        if standing.answered < PATIENCE:
            return True
        drawn = self.untried.draw(standing.known)
        if drawn is not None:
            self.study.enqueue_trial(drawn)
            standing.waiting = True
        return drawn is not None

    def _contest_is_due(self, standing: Standing) -> bool:
        complete = [record for record in standing.records if record.state == State.COMPLETE]
        points, _ = points_of(complete, self._search.max_params)
        due = next_contest(points, standing.records, self._search.seed)
        if due is not None:
            enqueue_repeat(self.study, due)
            standing.waiting = True
        return due is not None
