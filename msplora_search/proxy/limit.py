"""How long a training may take."""

from __future__ import annotations

import time
from dataclasses import dataclass

from msplora_search.settings.values import seconds_of


class OutOfTimeError(RuntimeError):
    """A training took longer than it may."""


@dataclass(frozen=True)
class Limit:
    """Of one attempt at a training, from the moment at which this is made."""

    end: float = float("inf")
    """On the monotonic clock."""
    told: str = ""

    @classmethod
    def of(cls, duration: str | None) -> Limit:
        """From now on; `duration`: such as 30min, None for no limit."""
        return cls() if duration is None else cls(time.monotonic() + seconds_of(duration), duration)

    def require_time(self, step: int, steps: int) -> None:
        """Raise OutOfTimeError where it is over; `step`: the last of `steps` that was made."""
        if time.monotonic() >= self.end:
            raise OutOfTimeError(f"over scale.trial_time, {self.told}, at step {step} of {steps}")
