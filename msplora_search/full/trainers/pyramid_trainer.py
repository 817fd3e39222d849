"""transformers' Trainer, with a word about each step before its gradients are clipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from transformers import Trainer

Listener = Callable[[int, int], None]
"""Called with a step, from 0, and how many there are."""


class PyramidTrainer(Trainer):
    """Calls `whole_gradients` when those of a step are summed over its batches and averaged over processes."""

    def __init__(self, *given: Any, whole_gradients: Sequence[Listener] = (), **named: Any) -> None:
        super().__init__(*given, **named)
        self.whole_gradients = tuple(whole_gradients)

    def let_go(self) -> None:
        """Leave the model as it is: nothing was put on it."""

    def training_step(self, *given: Any, **named: Any) -> Tensor:
        """That of the Trainer. Its callbacks hear of a step only when the gradients are clipped already."""
        loss: Tensor = super().training_step(*given, **named)
        if self.accelerator.sync_gradients:
            for listener in self.whole_gradients:
                listener(self.state.global_step, self.state.max_steps)
        return loss
