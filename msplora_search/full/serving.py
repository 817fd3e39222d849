"""What serving takes, as measured on this machine: time and memory of a trained model's forms on a real batch.

The unmerged adapter and the merged model, which computes what the base alone does, take turns, round after round,
so that what else the machine does meets both alike; told is the ratio of their times within a round. A base that
merges with nothing is timed with its adapter switched off, which PEFT does not make free.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from msplora_search.text import printable

if TYPE_CHECKING:
    from msplora_search.settings.recipe import Recipe
    from msplora_search.tasks.parts import Part
    from msplora_search.tasks.task import Task

ROWS = 16
"""Examples of a batch, at most."""
SECONDS, FEWEST, MOST = 3.0, 5, 40
"""That rounds are added for, and how many there are at least and at most."""


@dataclass(frozen=True)
class Serving:
    """Of one delivered model."""

    device: str
    rows: int
    """Examples of the batch."""
    rounds: int
    seconds: float
    """The median of a batch: by the merged model, or where there is none by PEFT with its adapter switched off."""
    merges: bool
    """Whether it is that of the merged model."""
    unmerged: tuple[float, float, float]
    """How many times as long it takes with the adapter beside the weights, by PEFT: quartile, median, quartile."""
    weights_bytes: int
    """Of the model with its adapter."""
    further_bytes: int
    """Most that tensors of a forward pass take beside them at any time, unmerged."""

    @property
    def told(self) -> str:
        """In a sentence."""
        low, middle, high = self.unmerged
        alone = "merged, as the base alone does," if self.merges else "with the adapter switched off"
        took, spread = f"{self.seconds * 1e3:,.1f} ms {alone}", f"{low:.2f} to {high:.2f}"
        peak, weights = _megabytes(self.weights_bytes + self.further_bytes), _megabytes(self.weights_bytes)
        return (
            f"On {printable(self.device)}, a batch of {self.rows} test examples takes {took} and {middle:.2f} "
            f"times that unmerged, by PEFT (middle half of {self.rounds} rounds in turn {spread}). Peak memory of "
            f"tensors, unmerged: {peak}, of which weights {weights}."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**vars(self), "unmerged": list(self.unmerged)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Serving:
        """Read what `to_json` wrote. Raises ValueError, TypeError or LookupError."""
        return cls(**{**data, "unmerged": _three(data["unmerged"])})


@torch.no_grad()
def measure_serving(
    recipe: Recipe, served: nn.Module, merged: nn.Module | None, task: Task, part: Part
) -> Serving:
    """Time and memory of forward passes over the first examples of a part.

    `served`: as PEFT loads it. `merged`: the merged model; None where there is none.
    """
    rows = min(ROWS, len(part))
    device = next(served.parameters()).device
    batch = task.collate(part, np.arange(rows)).to(device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=recipe.backbone.dtype == "bf16")

    def forward(model: nn.Module) -> None:
        with autocast:
            task.kind.outputs(model, batch)

    plain = served if merged is None else merged
    off = served.disable_adapter if merged is None and hasattr(served, "disable_adapter") else nullcontext
    for model in (served, plain):
        model.eval()
    further = _further_bytes(served, lambda: forward(served), device)  # which warms it up, too
    with off():  # type: ignore[operator]
        forward(plain)
    forms: dict[str, tuple[Any, Callable[[], None]]] = {
        "plain": (off, lambda: forward(plain)),
        "unmerged": (nullcontext, lambda: forward(served)),
    }
    seconds = _rounds(forms, device)
    return Serving(
        device=_name(device),
        rows=rows,
        rounds=len(seconds["plain"]),
        seconds=float(np.median(seconds["plain"])),
        merges=merged is not None,
        unmerged=_quartiles(seconds["unmerged"] / seconds["plain"]),
        weights_bytes=sum(tensor.nbytes for tensor in _own(served)),
        further_bytes=further,
    )


def _rounds(forms: Mapping[str, tuple[Any, Callable[[], None]]], device: torch.device) -> dict[str, Any]:
    """Seconds of each form, (rounds,), within its context; who begins changes from round to round."""
    found: dict[str, list[float]] = {name: [] for name in forms}
    names, began = list(forms), time.perf_counter()
    for number in range(MOST):
        if number >= FEWEST and time.perf_counter() - began > SECONDS:
            break
        for name in names if number % 2 else names[::-1]:
            context, run = forms[name]
            with context():
                _wait(device)
                start = time.perf_counter()
                run()
                _wait(device)
                found[name].append(time.perf_counter() - start)
    return {name: np.array(of) for name, of in found.items()}


def _further_bytes(model: nn.Module, forward: Callable[[], None], device: torch.device) -> int:
    """What a forward pass takes beside the weights, at its peak."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        forward()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - before)
    live = _Live({tensor.untyped_storage().data_ptr() for tensor in _own(model)})
    with live:
        forward()
    return live.most


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that operators make and that are still there, and their most at any time."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.most, self._known = 0, 0, known

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, and take note of what it made; a view is no tensor of its own."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._met(tensor.untyped_storage())
        return made

    def _met(self, storage: Any) -> None:
        place, size = storage.data_ptr(), storage.nbytes()
        if not size or place in self._known:
            return
        self._known.add(place)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._gone, place, size).atexit = False

    def _gone(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.now -= size


def _own(model: nn.Module) -> list[torch.Tensor]:
    """Parameters and buffers, each once."""
    return [*model.parameters(), *model.buffers()]


def _quartiles(ratios: Any) -> tuple[float, float, float]:
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)


def _three(values: Any) -> tuple[float, float, float]:
    low, middle, high = values
    return float(low), float(middle), float(high)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _name(device: torch.device) -> str:
    """The accelerator by its name, or the processor with the threads that were used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type} with {threads} thread{'s' * (threads > 1)}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
