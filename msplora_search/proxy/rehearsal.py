"""One training step and one evaluation before a search, so that a model that cannot be trained costs no search."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msplora_search.adapters.anatomy import Anatomy
from msplora_search.adapters.bank import BANK, attach, detach
from msplora_search.adapters.foreign import in_one_line
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError, causes, lacks_memory
from msplora_search.proxy.batching import Batches
from msplora_search.proxy.precision import Precision
from msplora_search.proxy.room import Room
from msplora_search.proxy.training import predict
from msplora_search.settings.models import StudySettings
from msplora_search.tasks.backbone import Backbone
from msplora_search.tasks.parts import Part
from msplora_search.tasks.task import Task
from msplora_search.text import printable

EXAMPLES = 8
"""Trained on in the one step."""
JUDGED = 2
"""Evaluated: a language model may have to write an answer for each."""


def rehearse(
    settings: StudySettings, task: Task, backbone: Backbone, anatomy: Anatomy, precision: Precision, room: Room
) -> None:
    """Train plain LoRA of rank 1 on `anatomy` for a step, on the longest examples, and evaluate it.

    `room` learns whether so many fit into memory at once.

    Leaves no trace: what is random draws on as if nothing had been, and model and head are as they were.
    Raises ArithmeticError where loss or gradient is no number, and whatever the model raises: see `refusing`.
    """
    with _as_it_was(backbone, precision):
        model = backbone.model
        pyramid = Pyramid.lora(1, anatomy.layers, anatomy.targets)
        attach(model, pyramid, anatomy=anatomy, trainable=backbone.head)
        model.train(settings.proxy.dropout or settings.backbone.gradient_checkpointing)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=settings.proxy.learning_rate, fused=True)
        few = _longest(task, task.train, EXAMPLES)
        loss = room.differentiate(model, task, few[0], precision, trained)
        size = torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        predict(model, task, _longest(task, task.validation, JUDGED), precision, room)
        _require_numbers({"loss": loss, "gradient": size})


@contextmanager
def refusing(settings: StudySettings, backbone: Backbone, precision: Precision) -> Iterator[None]:
    """Turn whatever goes wrong in a first step into an InputError that names the model and what to change."""
    config: Any = backbone.model.config
    name = f"model {printable(settings.model)} ({config.model_type})"
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if any(lacks_memory(one) for one in causes(error)):
            raise InputError(
                f"{name}: a step of one example does not fit into the memory of {precision.device.type}; "
                "lower task.max_length, set backbone.dtype to bf16 or backbone.gradient_checkpointing to true, "
                "or take a smaller model",
                "model",
            ) from None
        raise InputError(
            f"{name}: cannot be trained in {precision.name}: {in_one_line(error)}; {_advice(settings, precision)}",
            "model",
        ) from None


def _longest(task: Task, part: Part, count: int) -> Batches:
    """One batch of the longest examples of `part`, as a part of their own."""
    rows = np.sort(np.argsort(-part.lengths, kind="stable")[:count])
    few = replace(part, rows=part.rows[rows])
    return Batches(task, few, (np.arange(len(few)),))


def _require_numbers(found: dict[str, Tensor]) -> None:
    for what, value in found.items():
        if not math.isfinite(number := float(value)):
            raise ArithmeticError(f"the {what} of the first step is {number}")


def _advice(settings: StudySettings, precision: Precision) -> str:
    if settings.backbone.dtype == "bf16":
        return "try backbone.dtype=fp32"
    return "try proxy.precision=fp32" if precision.name == "bf16" else "take another model, or other space.targets"


@contextmanager
def _as_it_was(backbone: Backbone, precision: Precision) -> Iterator[None]:
    model, devices = backbone.model, [precision.device] if precision.device.type == "cuda" else []
    was_training = model.training
    with torch.random.fork_rng(devices), torch.enable_grad():  # whoever loads may have it off
        try:
            yield
        finally:
            if hasattr(model, BANK):
                detach(model)
            for parameter in backbone.head:
                parameter.grad = None
            backbone.reset_head()
            model.train(was_training)
