"""The short fine-tune: one loop that yields a measurement at every rung."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from msplora_search.adapters.turns import Turns
from msplora_search.proxy.batching import ProxyBatches
from msplora_search.proxy.limit import Limit, OutOfTimeError
from msplora_search.proxy.precision import Precision
from msplora_search.proxy.room import Room
from msplora_search.proxy.shelf import Progress, Shelf
from msplora_search.results.records import Evaluation
from msplora_search.settings.models import ProxySettings
from msplora_search.stopping import finishing
from msplora_search.tasks.metrics import Values
from msplora_search.tasks.parts import Batch
from msplora_search.tasks.task import Task

MAX_GRADIENT_NORM = 1.0
CHECKED = 16
"""Steps after which their losses are looked at, where that means to wait for a device; on a CPU after each."""


class DivergedError(RuntimeError):
    """The loss is no finite number any more."""


def train(
    model: nn.Module,
    task: Task,
    batches: ProxyBatches,
    proxy: ProxySettings,
    learning_rate: float,
    precision: Precision,
    room: Room,
    limit: Limit,
    in_training_mode: bool = False,
    shelf: Shelf | None = None,
    turns: Turns | None = None,
) -> Iterator[Evaluation]:
    """Train every parameter of `model` that requires a gradient; yield a measurement at each rung.

    AdamW, linear warm-up over `proxy.warmup_ratio` of the steps, then linear decay to zero at the end of the whole
    proxy. Whoever stops iterating stops the training; what `shelf` keeps of it goes on from its last rung, or from
    the step at which a signal or the `limit` stopped it, and yields the rungs before again at once. `room`: how
    much of a batch is computed at once; the update is that of the whole batch. `in_training_mode`: as dropout, and
    computing activations again, want it. `turns`: where a step does not train every level.

    Raises DivergedError when a loss is NaN or infinite, OutOfTimeError at the limit, MemoryError where a single
    example is too much.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=proxy.weight_decay, fused=True)
    rungs = dict(zip(rung_steps(batches.steps, proxy.rungs), proxy.rungs, strict=True))
    now = shelf.take(parameters, optimizer, task.judges[0].influence) if shelf else Progress()
    yield from [*now.curve]
    source = itertools.islice(batches.training, now.step, None)
    within = False
    model.train(in_training_mode)
    try:
        while True:
            if now.step in rungs and (not now.curve or now.curve[-1].step < now.step):
                now.curve.append(_measured(model, task, batches, precision, rungs[now.step], now, room, limit))
                now.losses.clear()
                if shelf is not None and now.step < batches.steps:
                    shelf.put(now, parameters, optimizer)
                yield now.curve[-1]
                model.train(in_training_mode)
            if now.step == batches.steps:
                break
            limit.require_time(now.step, batches.steps)
            batch = next(source)
            with finishing():
                within = True
                loss = room.differentiate(model, task, batch, precision, parameters)
                if turns is not None:
                    turns.hold(now.step, batches.steps)
                torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate * rate_factor(now.step, batches.steps, proxy.warmup_ratio)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                now.losses.append(loss)
                now.step += 1
                within = False
            if precision.device.type == "cpu":
                require_numbers(now, batches.steps, 1)
            elif now.step % CHECKED == 0:
                require_numbers(now, batches.steps, CHECKED)
    except (KeyboardInterrupt, OutOfTimeError):
        if shelf is not None and not within:
            shelf.put(now, parameters, optimizer)
        raise
    if shelf is not None:
        shelf.clear()


def require_numbers(now: Progress, steps: int, latest: int) -> None:
    """Raise DivergedError, naming the step, where one of the `latest` losses is NaN or infinite."""
    losses = torch.stack(now.losses[-latest:]).tolist()
    for step, loss in enumerate(losses, now.step - len(losses) + 1):
        if not math.isfinite(loss):
            raise DivergedError(f"the training loss is {loss} at step {step} of {steps}")


def _measured(
    model: nn.Module,
    task: Task,
    batches: ProxyBatches,
    precision: Precision,
    rung: float,
    now: Progress,
    room: Room,
    limit: Limit,
) -> Evaluation:
    """At a rung on the first validation examples, at the end on all and on the judging part too.

    Raises what `train` does.
    """
    require_numbers(now, batches.steps, CHECKED)

    def predicted(part: Sequence[Batch]) -> Values:
        return predict(model, task, part, precision, room, lambda: limit.require_time(now.step, batches.steps))

    ends, judging = now.step == batches.steps, None
    predictions = predicted(batches.validation if ends else batches.early)
    if ends and batches.judging is not None:
        judging = predicted(batches.judging)
    mean_loss = float(torch.stack(now.losses).mean())
    return task.evaluate(predictions, rung, now.step, mean_loss, judging)


def predict(
    model: nn.Module,
    task: Task,
    batches: Sequence[Batch],
    precision: Precision,
    room: Room,
    before_each: Callable[[], None] = lambda: None,
) -> Values:
    """Predictions for all examples of `batches`, in the order of the part they were made from.

    `before_each` batch is called, and may stop it.
    """
    model.eval()
    rows, predicted = [], []
    with precision.evaluation():
        for batch in batches:
            before_each()
            rows.append(batch.rows)
            predicted.append(room.predict(model, task, batch, precision))
    order = np.concatenate(rows)
    found = np.concatenate(predicted)
    in_order = np.empty_like(found)
    in_order[order] = found
    return in_order


def rate_factor(step: int, steps: int, warmup_ratio: float) -> float:
    """Share of the learning rate at `step` (from 0): linear warm-up, then linear decay to zero."""
    warmup = math.ceil(warmup_ratio * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.0, (steps - step) / max(1, steps - warmup))


def rung_steps(steps: int, rungs: Sequence[float]) -> tuple[int, ...]:
    """The step after which each rung is measured.

    Raises ValueError when the proxy has fewer steps than rungs.
    """
    found = tuple(max(1, round(rung * steps)) for rung in rungs)
    if len(set(found)) < len(found):
        raise ValueError(f"a proxy of {steps} steps has no room for {len(rungs)} rungs; train longer or drop some")
    return found
