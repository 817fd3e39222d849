"""The other workers of a search, on this machine or elsewhere: what becomes of their trials when they die."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import optuna
from optuna.trial import TrialState

from msplora_search.search.events import Listener, Waiting
from msplora_search.search.healing import is_orphan
from msplora_search.search.store.attributes import worker_of
from msplora_search.search.store.heart import Heart
from msplora_search.search.store.identity import Crew
from msplora_search.search.store.stored import trials_of

LOOKED = 5.0
"""Seconds between two looks at those that are waited for."""


@dataclass
class Others:
    """Of one worker, whose study may have others; alone at it, it has none to look after."""

    study: optuna.Study
    crew: Crew
    heart: Heart
    heal: Callable[[], None]
    """Settles the trials of the dead, and starts anew what has no result; asked for under a turn."""
    listen: Listener
    _looked: float = field(default=float("-inf"), init=False)
    _left: bool = field(default=False, init=False)
    _named: str = field(default="", init=False)

    def look_after(self) -> None:
        """Once in a while, under a turn: have others trained what the dead began."""
        if self.crew.alone or time.monotonic() < self._looked + self.heart.interval:
            return
        self._looked = time.monotonic()
        left, self._left = self._left, False
        if self.heart.bury(self.study) or left or any(is_orphan(trial, self.crew) for trial in self._running()):
            self.heal()

    def one_is_left(self) -> None:
        """A trial was given up by this worker itself: at the next turn it is started anew."""
        self._left, self._looked = True, float("-inf")

    def are_at_work(self) -> bool:
        """Wait a moment where others train, or are taken to, and say so; False where none does."""
        running = [] if self.crew.alone else self._running()
        if not running:
            return False
        told = [(trial.number, worker_of(trial)) for trial in running]
        named = ", ".join(f"trial {number} on {worker['host']}" for number, worker in told if worker)
        if named != self._named and named:
            self.listen(Waiting(f"for {named}"))
        self._named = named
        time.sleep(LOOKED)
        return True

    def _running(self) -> list[optuna.trial.FrozenTrial]:
        return [trial for trial in trials_of(self.study) if trial.state == TrialState.RUNNING]
