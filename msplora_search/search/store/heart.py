"""Signs of life: how workers of one storage, on whatever machines, know of each other's death.

The database's own clock says how old a sign is, so clocks of machines and numbers of processes do not matter.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import optuna
from optuna.storages import RDBStorage, fail_stale_trials


@dataclass(frozen=True)
class Heart:
    """Of one worker; one without a storage is alone at its study, and gives no signs."""

    storage: RDBStorage | None = None
    interval: int = 0
    """Seconds between two signs."""

    def beat(self, trial: optuna.Trial) -> None:
        """Give a sign for a trial: from now on its death is noticed."""
        if self.storage is not None:
            self.storage.record_heartbeat(trial._trial_id)

    @contextmanager
    def beating(self, trial: optuna.Trial) -> Iterator[None]:
        """Give signs until the trial has ended; a storage that does not answer misses some."""
        if self.storage is None:
            yield
            return
        ended = threading.Event()
        thread = threading.Thread(target=self._beat_until, args=(trial, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(self.interval)

    def bury(self, study: optuna.Study) -> bool:
        """Let trials fail whose worker gives no signs any more; whether there were any."""
        if self.storage is None:
            return False
        found: list[int] = []
        self.storage.heartbeat_stale_trial_callback = lambda _, trial: found.append(trial.number)
        fail_stale_trials(study)
        return bool(found)

    def _beat_until(self, trial: optuna.Trial, ended: threading.Event) -> None:
        assert self.storage is not None
        while not ended.wait(self.interval):
            with suppress(Exception):  # the next sign tells; who trains learns of a dead storage by itself
                self.beat(trial)
        with suppress(Exception):
            self.storage.remove_session()  # that of this thread


ALONE = Heart()
"""Of who is alone at a study."""
