"""One trial, from proposal to the values that Optuna is told."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

from msplora_search.design.costs import Costs
from msplora_search.design.pyramid import Pyramid
from msplora_search.proxy.shelf import SUFFIX, Shelf
from msplora_search.results.records import Failure, State, TrialRecord
from msplora_search.search.bench import Bench
from msplora_search.search.events import Listener, TrialEnded, TrialMeasured, TrialStarted
from msplora_search.search.model.forecast import Forecaster
from msplora_search.search.proposal import Proposer, pyramid_of
from msplora_search.search.pruning import Verdict, should_stop
from msplora_search.search.store.attributes import (
    IN_SPACE,
    RESTART,
    repeat_of,
    store_plan,
    store_progress,
    thawed_at,
    with_result,
)
from msplora_search.search.store.failure import failure_of
from msplora_search.search.store.history import History
from msplora_search.search.store.identity import Crew, this_worker
from msplora_search.search.telling import duplicate_reason, tell_values


@dataclass(frozen=True)
class Objective:
    """From an Optuna trial to its values (metric, log10 of cost)."""

    bench: Bench
    proposer: Proposer
    history: History
    forecaster: Forecaster
    listen: Listener
    crew: Crew
    asks_alone: bool = True
    """Whether nobody else begins a trial while one begins here."""
    unfinished: Path | None = None
    """Where trainings are kept, so that what was stopped, or ran out of time, can go on; None: it begins anew."""

    def begin(self, trial: optuna.Trial) -> TrialRecord:
        """What the trial is to train, or its answer where it needs no training.

        Only one worker at a time may ask and begin: the others then see what it took.
        """
        record = self._plan(trial)
        if not self.asks_alone:
            self.history.look()  # no turn holds back who searches from another folder
        answered = self._answer(record, trial.user_attrs.get(RESTART))
        begun = answered or replace(record, planned_steps=self.bench.steps)
        store_plan(trial, begun, this_worker(self.crew))
        return begun

    def finish(self, trial: optuna.Trial, record: TrialRecord) -> tuple[float, float]:
        """Train what was begun; the values for Optuna. Raises TrialFailedError for a trial without a result."""
        if record.state == State.RUNNING:
            ended, shelf = self._measure(trial, record), self._shelf(record)
            if shelf is not None and ended.state != State.PRUNED and ended.failure != Failure.TIME:
                shelf.clear()
        else:
            ended = record  # what it repeats may have stopped, and may go on
        store_progress(trial, ended)
        self.listen(TrialEnded(ended))
        return tell_values(trial, ended, self.bench.task.chance)

    def _plan(self, trial: optuna.Trial) -> TrialRecord:
        """What the trial is to train: an enqueued baseline or repeat, or a proposal."""
        attributes = trial.user_attrs  # each look at them is one at the storage
        repeat, baseline = repeat_of(trial.number, attributes), attributes.get("baseline")
        pyramid: Pyramid | None
        if attributes.get(IN_SPACE):
            self.proposer.propose(trial)  # the sampler learns from the enqueued parameters
        if repeat is not None:
            baseline, pyramid, rate = repeat.baseline, repeat.pyramid, repeat.learning_rate
        elif baseline is not None:
            pyramid, rate = Pyramid.from_json(attributes["pyramid"]), attributes["learning_rate"]
        else:
            choice, rate = self.proposer.propose(trial)
            pyramid = pyramid_of(choice)
        costs = Costs(0, 0, 0, 0) if pyramid is None else self.bench.costs(pyramid)
        return TrialRecord(
            number=trial.number,
            state=State.RUNNING,
            baseline=baseline,
            pyramid=pyramid,
            learning_rate=rate,
            adapter_params=costs.params,
            trainable_params=costs.params + self.bench.head_params,
            curve=(),
            steps=0,
            planned_steps=0,
            seconds=0.0,
            seed=self.bench.settings.search.seed if repeat is None else repeat.seed,
            repeat_of=None if repeat is None else repeat.of,
            costs=costs,
            cost_is=self.bench.settings.search.cost,
        )

    def _answer(self, record: TrialRecord, replaced: int | None) -> TrialRecord | None:
        """The result of a proposal that needs no training; None where it does.

        `replaced`: the trial in whose place it stands.
        """
        limit = self.bench.settings.search.max_params
        proposed = record.baseline is None and record.repeat_of is None
        if record.pyramid is None:
            return with_result(record, State.REFUSED, "every rank is 0: adapts nothing")
        if proposed and limit is not None and record.adapter_params > limit:
            return with_result(
                record, State.REFUSED, f"{record.adapter_params:,} parameters; max_params is {limit:,}"
            )
        for earlier in self.history.begun(record.configuration, record.seed):
            if earlier.number == replaced or (earlier.state == State.FAILED and not proposed):
                continue  # a baseline is always tried, and so is a repeat
            curve = earlier.curve if earlier.state in (State.COMPLETE, State.PRUNED) else ()
            return with_result(replace(record, curve=curve), State.DUPLICATE, duplicate_reason(earlier))
        return None

    def _measure(self, trial: optuna.Trial, record: TrialRecord) -> TrialRecord:
        """Train until the end, until the pruning rule stops it, or until it fails."""
        judged, seconds = thawed_at(trial)
        began = time.monotonic() - seconds
        running = record
        self.listen(TrialStarted(running))
        assert running.pyramid is not None
        shelf, measure = self._shelf(running), self.bench.measure
        try:
            training = measure(running.pyramid, running.learning_rate, running.seed, shelf)
            with closing(training) as curve:  # type: ignore[type-var]
                for evaluation in curve:
                    running = replace(
                        running,
                        curve=(*running.curve, evaluation),
                        steps=evaluation.step,
                        seconds=time.monotonic() - began,
                    )
                    if evaluation.rung < 1.0:  # else it has ended, and is stored as such
                        store_progress(trial, running)
                    self.listen(TrialMeasured(running))
                    if running.baseline is not None or running.repeat_of is not None or evaluation.rung <= judged:
                        continue  # never stopped, or known by then
                    verdict = self._judge(running)
                    if verdict.stop:
                        return with_result(running, State.PRUNED, verdict.reason)
        except (StorageInternalError, UpdateFinishedTrialError):
            raise  # no fault of this trial: nothing can be recorded any more, or another worker has taken it over
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            failed = replace(running, seconds=time.monotonic() - began)
            return with_result(failed, State.FAILED, reason, failure_of(error))
        return with_result(running, State.COMPLETE)

    def _shelf(self, running: TrialRecord) -> Shelf | None:
        """Of its configuration and seed."""
        if self.unfinished is None or running.pyramid is None:
            return None
        told = json.dumps([running.pyramid.to_json(), running.learning_rate, running.seed], sort_keys=True)
        return Shelf(self.unfinished / f"{hashlib.sha256(told.encode()).hexdigest()[:24]}{SUFFIX}")

    def _judge(self, running: TrialRecord) -> Verdict:
        """Whether the trial is to stop."""
        settings = self.bench.settings
        records = self.history.records() if settings.pruning.rule != "none" else []
        return should_stop(running, records, self.forecaster, settings.pruning, settings.proxy)
