"""Where a training waits that stopped at a rung: with it, it goes on as if it had never stopped."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from msplora_search.files import write_whole
from msplora_search.results.records import Evaluation, InfluenceOf

MOST_BYTES = 64 * 2**20
"""Of one training; of a larger one nothing is kept, and it would begin anew."""
FORMAT = 1


@dataclass(frozen=True)
class Shelf:
    """A file for one training: adapters, head, optimizer, generators of random numbers, and its curve.

    What it holds can be lost: whoever finds nothing trains from the start, and gets the same.
    """

    path: Path

    def put(
        self,
        step: int,
        parameters: Sequence[Tensor],
        optimizer: torch.optim.Optimizer,
        curve: Sequence[Evaluation],
    ) -> None:
        """Keep the state after `step`; a full or read-only disk, or a large state, keeps nothing."""
        if sum(p.numel() * p.element_size() for p in parameters) * 3 > MOST_BYTES:  # with two moments of each
            return
        state = {
            "format": FORMAT,
            "step": step,
            "parameters": [parameter.detach().cpu() for parameter in parameters],
            "optimizer": optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
            "curve": json.dumps([evaluation.to_json() for evaluation in curve]),
        }
        written = io.BytesIO()
        torch.save(state, written)
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, written.getvalue())

    def take(
        self, parameters: Sequence[Tensor], optimizer: torch.optim.Optimizer, influence: InfluenceOf
    ) -> tuple[int, list[Evaluation]]:
        """Bring parameters and optimizer to where they were; the last step, and the curve up to there.

        Step 0 and no curve where nothing is kept, or nothing that fits: then all is as it was.
        """
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            if not _fits(state, parameters):
                return 0, []
            curve = [Evaluation.from_json(told, influence) for told in json.loads(state["curve"])]
            optimizer.load_state_dict(state["optimizer"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, UnpicklingError):
            return 0, []
        with torch.no_grad():
            for parameter, kept in zip(parameters, state["parameters"], strict=True):
                parameter.copy_(kept)
        torch.set_rng_state(state["random"])
        if state["random_cuda"] is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["random_cuda"])
        return state["step"], curve

    def clear(self) -> None:
        """Keep nothing any more; the folder goes with the last file in it."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
            self.path.parent.rmdir()


def _fits(state: dict[str, Any], parameters: Sequence[Tensor]) -> bool:
    shapes = [parameter.shape for parameter in parameters]
    return state["format"] == FORMAT and [kept.shape for kept in state["parameters"]] == shapes
