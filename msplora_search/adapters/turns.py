"""Which level of a pyramid a step trains, where it does not train all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from msplora_search.adapters.bank import AdapterBank
from msplora_search.design.scaling import LEVELS
from msplora_search.errors import InputError
from msplora_search.settings.values import Optimization


@dataclass(frozen=True)
class Turns:
    """The levels of one training, each in its turn."""

    levels: Mapping[str, tuple[nn.Parameter, ...]]
    """Those that there are, the widest first."""
    staged: bool
    """Whether a level has all of its steps at once."""

    @classmethod
    def of(cls, bank: AdapterBank, optimization: Optimization) -> Turns | None:
        """None where every step trains every level, as where there is but one."""
        levels: dict[str, list[nn.Parameter]] = {}
        for key, adapter in zip(bank.keys, bank.adapters, strict=True):
            levels.setdefault(key.level, []).extend(adapter.parameters())
        if optimization == "joint" or len(levels) == 1:
            return None
        ordered = {level: tuple(levels[level]) for level in LEVELS if level in levels}
        return cls(ordered, optimization == "staged")

    def at(self, step: int, steps: int) -> str:
        """The level that `step`, from 0, of so many trains; the shares of stages differ by a step at most."""
        place = step * len(self.levels) // steps if self.staged else step % len(self.levels)
        return list(self.levels)[place]

    def hold(self, step: int, steps: int) -> None:
        """Take the gradients of the levels away that `step` does not train; to be called before they are clipped.

        An optimizer passes over what has none: it neither moves nor decays, and its momentum waits.
        """
        own = self.at(step, steps)
        for level, parameters in self.levels.items():
            if level != own:
                for parameter in parameters:
                    parameter.grad = None


def require_steps(steps: int, levels: int, optimization: Optimization, field: str) -> None:
    """Raise InputError on `field` where some level would have no step."""
    if optimization != "joint" and steps < levels:
        raise InputError(
            f"{optimization} training of {levels} levels needs as many steps, and there are {steps}; train "
            "longer, or let optimization be joint",
            field=field,
        )
