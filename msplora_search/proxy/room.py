"""As many examples at once as there is memory for: what does not fit is computed in smaller parts."""

from __future__ import annotations

import gc
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from msplora_search.adapters.foreign import in_one_line
from msplora_search.errors import causes, lacks_memory
from msplora_search.proxy.caching import differentiate_in_parts
from msplora_search.proxy.precision import Precision
from msplora_search.tasks.metrics import Values
from msplora_search.tasks.parts import Batch
from msplora_search.tasks.task import Task

Found = TypeVar("Found")


def nobody(_: str) -> None:
    """Hears nothing."""


@dataclass
class Room:
    """Of one process, for all its trainings: what did not fit once is not tried again."""

    examples: int = sys.maxsize
    """Most at once in a training step: a micro-batch."""
    cuts: int = 1
    """Parts that each batch of an evaluation is computed in."""
    tell: Callable[[str], None] = nobody
    """Told when either changes."""

    @property
    def notes(self) -> list[str]:
        """What a user should know."""
        training = f"out of memory: micro-batches of {self.examples}"
        evaluation = f"out of memory: batches of an evaluation in {self.cuts} parts"
        return [training] * (self.examples < sys.maxsize) + [evaluation] * (self.cuts > 1)

    def differentiate(
        self, model: nn.Module, task: Task, batch: Batch, precision: Precision, parameters: Sequence[Tensor]
    ) -> Tensor:
        """Leave the gradient of the mean loss of a batch in `parameters`, which have none; gives that loss: ().

        In parts it is the same but for rounding and for what dropout draws: each part is weighted by its share in
        the mean, or where examples count only together, see `caching`. Raises MemoryError where a single example
        does not fit.
        """

        def forget() -> None:
            for parameter in parameters:
                parameter.grad = None

        def attempt(size: int) -> Tensor:
            if task.is_joint and size < len(batch):
                return differentiate_in_parts(model, task, batch, precision, size)
            whole, losses = batch.asked, []
            for part in batch.parts(size):
                if not part.asked and len(part) < len(batch):
                    continue  # a mean over nothing
                with precision.training():
                    loss = task.loss(model, part.to(precision.device))
                    if part.asked < whole:
                        loss = loss * (part.asked / whole)
                loss.backward()  # type: ignore[no-untyped-call]
                losses.append(loss.detach())
            return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

        most = min(self.examples, len(batch))
        loss, fitted = _fitting(most, attempt, forget)
        if fitted < most:
            self.examples = fitted
            self.tell(self.notes[0])
        return loss

    def predict(self, model: nn.Module, task: Task, batch: Batch, precision: Precision) -> Values:
        """One number for each example of a batch. Raises MemoryError where a single example does not fit."""

        def attempt(size: int) -> Values:
            return np.concatenate([task.predict(model, part.to(precision.device)) for part in batch.parts(size)])

        most = math.ceil(len(batch) / self.cuts)
        predicted, fitted = _fitting(most, attempt)
        if fitted < most:
            self.cuts = math.ceil(len(batch) / fitted)
            self.tell(self.notes[-1])
        return predicted


def _fitting(
    size: int, attempt: Callable[[int], Found], forget: Callable[[], None] = lambda: None
) -> tuple[Found, int]:
    """`attempt(size)`, or with half of that for as long as memory does not suffice; and with what it was.

    `forget` takes back what an attempt did before it failed.
    """
    while True:
        try:
            return attempt(size), size
        except Exception as error:
            if not any(lacks_memory(one) for one in causes(error)):
                raise
            said = in_one_line(error)
        # Only here nothing holds the frames of the attempt any more, and with them what it had computed.
        forget()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if size == 1:
            raise MemoryError(f"not even a single example fits: {said}")
        size //= 2
