"""Where a training waits that stopped: with it, it goes on as if it had never stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from msplora_search.files import write_whole
from msplora_search.results.records import Evaluation, InfluenceOf

MOST_BYTES = 64 * 2**20
"""Of one training; of a larger one nothing is kept, and it would begin anew."""
FORMAT = "2"
SUFFIX = ".safetensors"


@dataclass
class Progress:
    """How far a training has come."""

    step: int = 0
    """Of the last that was made."""
    curve: list[Evaluation] = field(default_factory=list)
    """Of the rungs so far; the one at `step` may be missing."""
    losses: list[Tensor] = field(default_factory=list)
    """Of the steps since the last rung; scalars."""


@dataclass(frozen=True)
class Shelf:
    """A file for one training: adapters, head, optimizer, generators of random numbers, and its progress.

    What it holds can be lost: whoever finds nothing trains from the start, and gets the same.
    """

    path: Path

    def put(self, progress: Progress, parameters: Sequence[Tensor], optimizer: torch.optim.Optimizer) -> None:
        """Keep what there is; a full or read-only disk, or a large state, keeps nothing new."""
        if sum(p.numel() * p.element_size() for p in parameters) * 3 > MOST_BYTES:  # with two moments of each
            return
        told = optimizer.state_dict()
        tensors = {f"parameter.{i}": parameter.detach() for i, parameter in enumerate(parameters)}
        for i, moments in told["state"].items():
            tensors |= {f"optimizer.{i}.{name}": value for name, value in moments.items()}
        tensors["random"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random_cuda"] = torch.cuda.get_rng_state()
        if progress.losses:
            tensors["losses"] = torch.stack(progress.losses)
        facts = {
            "format": FORMAT,
            "step": str(progress.step),
            "groups": json.dumps(told["param_groups"]),
            "curve": json.dumps([evaluation.to_json() for evaluation in progress.curve]),
        }
        written = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, facts)
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, written)

    def take(
        self, parameters: Sequence[Tensor], optimizer: torch.optim.Optimizer, influence: InfluenceOf
    ) -> Progress:
        """Bring parameters and optimizer to where they were, and say how far that is.

        The start, where nothing is kept, or nothing that fits: then all is as it was.
        """
        try:
            facts, tensors = _read(self.path)
            kept = [tensors[f"parameter.{i}"] for i in range(len(parameters))]
            if facts["format"] != FORMAT or [k.shape for k in kept] != [p.shape for p in parameters]:
                return Progress()
            curve = [Evaluation.from_json(told, influence) for told in json.loads(facts["curve"])]
            losses = list(tensors["losses"].unbind()) if "losses" in tensors else []
            progress = Progress(int(facts["step"]), curve, [loss.to(parameters[0].device) for loss in losses])
            optimizer.load_state_dict({"state": _state(tensors), "param_groups": json.loads(facts["groups"])})
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError):
            return Progress()
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)
        torch.set_rng_state(tensors["random"])
        if "random_cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random_cuda"])
        return progress

    def clear(self) -> None:
        """Keep nothing any more; the folder goes with the last file in it."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
            self.path.parent.rmdir()


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _state(tensors: dict[str, Tensor]) -> dict[int, dict[str, Any]]:
    """Of an optimizer, by the place of each parameter."""
    found: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, place, moment = name.split(".", 2)
            found.setdefault(int(place), {})[moment] = tensor
    return found
