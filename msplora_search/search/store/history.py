"""All trials of a study: what they are there for, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import islice, takewhile

import optuna
from optuna.trial import FrozenTrial, TrialState

from msplora_search.results.records import Configuration, State, TrialRecord
from msplora_search.search.store.attributes import (
    NONE,
    PROGRESS,
    Influences,
    is_interrupted,
    record_of,
    repeat_of,
    started_again,
)
from msplora_search.search.store.stored import trials_of

NO_TRAINING = frozenset(state.value for state in State if state.needs_no_training)


class Kind(Enum):
    """What a trial is there for."""

    BASELINE = auto()
    NOISE = auto()
    """A repeat that tells the noise of training."""
    CONTEST = auto()
    """A repeat that decides the front."""
    TRAINED = auto()
    """A proposal that was trained, is being trained, or waits for a new start."""
    ANSWERED = auto()
    """A proposal that needed no training."""
    LOST = auto()
    """It was interrupted."""

    @classmethod
    def of(cls, trial: FrozenTrial) -> Kind:
        """The kind of a trial. Raises StoredError."""
        if is_interrupted(trial):
            return cls.LOST
        if (repeat := repeat_of(trial.number, trial.user_attrs)) is not None:
            return cls.CONTEST if repeat.contest else cls.NOISE
        if trial.user_attrs.get("baseline"):
            return cls.BASELINE
        return cls.ANSWERED if trial.user_attrs.get(PROGRESS, {}).get("state") in NO_TRAINING else cls.TRAINED


@dataclass(eq=False)
class Standing:
    """A study at one moment: its trials by number, but for those in whose place another was started."""

    trials: list[FrozenTrial] = field(default_factory=list)
    """They are shared, and must not be changed."""
    records: list[TrialRecord] = field(default_factory=list)
    """Of those that were planned and not interrupted."""
    known: set[Configuration] = field(default_factory=set)
    """Every configuration that is trained, was, or was refused."""
    trained: int = 0
    """Proposals of the sampler, but for those that needed no training."""
    answered: int = 0
    """The last of its proposals, as far as they needed none."""
    contests: int = 0
    """Repeats by which the front was to be decided."""
    waiting: bool = False
    """Whether a trial is enqueued."""
    every: list[FrozenTrial] = field(default_factory=list)
    """All trials, those in whose place another was started too."""

    def add(self, trial: FrozenTrial, kind: Kind, record: TrialRecord | None) -> None:
        """Take in the next trial."""
        self.trials.append(trial)
        self.waiting |= trial.state == TrialState.WAITING
        if record is not None:
            self.records.append(record)
            if record.state != State.DUPLICATE:
                self.known.add(record.configuration)
        match kind:
            case Kind.TRAINED:
                self.trained, self.answered = self.trained + 1, 0
            case Kind.ANSWERED:
                self.answered += 1
            case Kind.CONTEST:
                self.contests += 1

    def copy(self) -> Standing:
        """One that can be added to."""
        return replace(self, trials=[*self.trials], records=[*self.records], known={*self.known})


class History:
    """The records of a study. Each trial that ended is read once, and taken in once where none before it runs."""

    def __init__(self, study: optuna.Study, influences: Influences = NONE, seed: int = 0) -> None:
        self._study = study
        self._influences = influences
        self._seed = seed
        self._ended: dict[int, tuple[Kind, TrialRecord | None]] = {}
        self._settled = Standing()
        """Of the trials before `_place`, which all have ended."""
        self._place = 0
        self._again: set[int] = set()
        """Numbers of the trials in whose place another was started; `_restarted` before `_place`."""
        self._restarted: set[int] = set()
        self.last: Standing | None = None
        """What the study held when it was last looked at."""

    def look(self) -> Standing:
        """What the study holds now. Raises StoredError."""
        trials = trials_of(self._study)
        again = self._restarted | started_again(trials[self._place :])
        if again != self._again:
            self._settled, self._place, self._again, self._restarted = Standing(), 0, again, set()
        for trial in takewhile(lambda trial: trial.state.is_finished(), islice(trials, self._place, None)):
            self._add(trial, self._settled)
            self._restarted |= started_again([trial])
            self._place += 1
        self.last = replace(self._settled.copy(), every=trials)
        for trial in trials[self._place :]:
            self._add(trial, self.last)
        return self.last

    def records(self) -> list[TrialRecord]:
        """All records by number; of a trial that was started anew the last. Raises StoredError."""
        return self.look().records

    def begun(self, configuration: Configuration, seed: int) -> list[TrialRecord]:
        """The trials that, when last looked at, trained a configuration with a seed or had; none started anew."""
        standing = self.last or self.look()
        if configuration not in standing.known:
            return []
        trained = (record for record in standing.records if not record.state.needs_no_training)
        return [record for record in trained if (record.configuration, record.seed) == (configuration, seed)]

    def _add(self, trial: FrozenTrial, standing: Standing) -> None:
        if trial.number not in self._again:
            standing.add(trial, *self._read(trial))

    def _read(self, trial: FrozenTrial) -> tuple[Kind, TrialRecord | None]:
        if trial.number in self._ended:
            return self._ended[trial.number]
        read = Kind.of(trial), record_of(trial, self._influences, self._seed)
        if trial.state.is_finished():
            self._ended[trial.number] = read
        return read
