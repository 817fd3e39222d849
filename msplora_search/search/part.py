"""One worker's part in a search: make the study ready, then take one trial after another until none is left."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import TrialState

from msplora_search.proxy.workbench import Workbench
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.baselines import Baseline, ladders_sentence, planned_baselines
from msplora_search.search.events import Listener, SearchEnded, SearchStarted, light
from msplora_search.search.objective import Objective, TrialFailedError
from msplora_search.search.points import points_of
from msplora_search.search.preparation import prepare_study
from msplora_search.search.proposal import Proposer
from msplora_search.search.repeats import next_contest, noise_repeats, planned_repeats
from msplora_search.search.sampler import sampler_for
from msplora_search.search.store.address import default_url
from msplora_search.search.store.history import History, Influences, enqueue_repeat
from msplora_search.search.store.identity import Crew
from msplora_search.search.store.own_file import Watch
from msplora_search.search.store.sameness import open_study
from msplora_search.search.store.storage import answering, connect
from msplora_search.search.store.stored import trials_of
from msplora_search.search.turns import Turns
from msplora_search.search.warm_start import carried_sentence
from msplora_search.settings.models import SearchSettings, StudySettings


def take_part(
    settings: StudySettings, output: Path, storage: str | None, crew: Crew, worker: int, listen: Listener
) -> None:
    """`work_off` in a process of its own, which loads what it needs and tells of it in short messages."""
    work_off(Workbench.load(settings), output, storage, crew, worker, lambda event: listen(light(event)))


def work_off(
    workbench: Workbench, output: Path, storage: str | None, crew: Crew, worker: int, listen: Listener
) -> None:
    """Take trials of the study until none is left; other workers of the crew may be at it, others have been.

    `worker` tells the workers of one search apart. Raises InputError where the storage fails, holds
    results of other settings or data, or disappears.
    """
    settings, space = workbench.settings, workbench.space()
    url = storage or default_url(output)
    turns = Turns.of(output, listen)
    with _quiet_optuna(), answering(url):
        with turns.mine():
            study = open_study(settings, connect(url))
            watch = Watch.on(url)
            study.sampler = sampler_for(settings.search, len(trials_of(study)), worker)
            asked = [anatomy.asked for anatomy in workbench.anatomies.values()]
            baselines = planned_baselines(space, settings.search, asked)
            proposer = Proposer(space, every_dimension=settings.search.sampler != "brute-force")
            prepare_study(study, workbench, proposer, baselines, output, crew)
        history = History(study, Influences.by(*workbench.task.judges), settings.search.seed)
        objective = Objective(workbench, proposer, history, listen, crew)
        loop = Loop(study, objective, baselines, history, turns, watch)
        listen(_started(workbench, proposer, baselines, history, carried_sentence(study)))
        while loop.take():
            pass
        listen(SearchEnded(loop.reason()))


@dataclass(frozen=True)
class Loop:
    """Takes trials of a study one by one."""

    study: optuna.Study
    objective: Objective
    baselines: list[Baseline]
    history: History
    turns: Turns
    watch: Watch

    def take(self) -> bool:
        """Run one trial, from the question to Optuna to its values; False where none is left."""
        self.watch.require_there()
        with self.turns.mine():
            if not self._anything_left():
                return False
            trial = self.study.ask()
            try:
                record = self.objective.begin(trial)
            except BaseException:
                self._give_up(trial)
                raise
        self._run(trial, record)
        self.watch.require_there()
        return True

    def reason(self) -> str:
        """Why no trial is left."""
        search, asked, space = self._search, self.history.asked(), self.objective.proposer.space
        ended = f"{search.trials} proposals are made"
        if asked.proposals < search.trials:
            ended = f"the space is exhausted: all {space.size:,} configurations are measured"
        if not search.repeats:
            return ended
        if asked.contests < search.repeats:
            return f"{ended}, and the front is decided after {asked.contests} repeats"
        return f"{ended}, and {search.repeats} repeats"

    def _run(self, trial: optuna.Trial, record: TrialRecord) -> None:
        try:
            values = self.objective.finish(trial, record)
        except TrialFailedError:
            self.study.tell(trial, state=TrialState.FAIL)
        except BaseException:
            self._give_up(trial)
            raise
        else:
            self.study.tell(trial, values)

    def _give_up(self, trial: optuna.Trial) -> None:
        """Leave a trial to be started anew; where the storage is dead, as one whose process died."""
        with contextlib.suppress(Exception):
            self.study.tell(trial, state=TrialState.FAIL)

    @property
    def _search(self) -> SearchSettings:
        return self.objective.workbench.settings.search

    def _anything_left(self) -> bool:
        """Whether Optuna may be asked; repeats are enqueued when they are due.

        What waits comes first, then what tells the noise of training, then proposals, then what decides the front.
        """
        asked = self.history.asked()
        if asked.waiting or self._repeats_are_due():
            return True
        if asked.proposals < self._search.trials and not self._exhausted(asked.trials):
            return True
        return asked.contests < self._search.repeats and self._contest_is_due()

    def _repeats_are_due(self) -> bool:
        due = noise_repeats(self.history.records(), self.baselines, self._search)
        for repeat in due:
            enqueue_repeat(self.study, repeat)
        return bool(due)

    def _contest_is_due(self) -> bool:
        records = self.history.records()
        complete = [record for record in records if record.state == State.COMPLETE]
        points, _ = points_of(complete, self._search.max_params)
        due = next_contest(points, records, self._search.seed)
        if due is not None:
            enqueue_repeat(self.study, due)
        return due is not None

    def _exhausted(self, trials: int) -> bool:
        """Whether every configuration of the space has a result, or is about to."""
        space = self.objective.proposer.space
        if space.size is None or trials < space.size:
            return False
        known = {r.configuration for r in self.history.records() if r.state != State.DUPLICATE}
        inside = sum(p is not None and space.contains(p) and space.contains_rate(rate) for p, rate in known)
        return inside >= space.size


def _started(
    workbench: Workbench,
    proposer: Proposer,
    baselines: list[Baseline],
    history: History,
    carried: tuple[str, ...],
) -> SearchStarted:
    return SearchStarted(
        space=proposer.space,
        configurations=proposer.space.size,
        baselines=len(baselines),
        trials=workbench.settings.search.trials,
        repeats=planned_repeats(baselines, workbench.settings.search),
        proxy_steps=workbench.steps,
        records=tuple(history.records()),
        notes=(*ladders_sentence(baselines), *carried, *workbench.task.notes),
    )


@contextlib.contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Keep Optuna's own log lines and notices of experimental parts out of the output."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
