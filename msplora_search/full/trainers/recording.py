"""Writes down, while a pyramid trains, whether its levels pull the same way: `interference.jsonl`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msplora_search.adapters.bank import AdapterBank
from msplora_search.adapters.interference import by_layer, cosines_of
from msplora_search.files import write_whole

FILE = "interference.jsonl"


def moments(count: int, steps: int) -> set[int]:
    """So many of the steps from 0, evenly spaced, the first and the last among them; all where there are fewer."""
    if count >= steps:
        return set(range(steps))
    return {round(i * (steps - 1) / max(1, count - 1)) for i in range(count)}


@dataclass
class Recorder:
    """Of one training; one that goes on from a checkpoint makes the file of one that never stopped."""

    bank: AdapterBank
    count: int
    """Steps to be recorded."""
    path: Path
    _moments: set[int] | None = field(default=None, init=False)
    """Known from the first step of this process on."""

    def __call__(self, step: int, steps: int) -> None:
        """Add a line for `step`, from 0, of so many, if it is one of those that are recorded."""
        if self._moments is None:
            self._moments = moments(self.count, steps)
            write_whole(self.path, "".join(line for line in whole_lines(self.path) if _step(line) <= step))
        if step in self._moments:
            layers = by_layer(self.bank, cosines_of(self.bank))
            told = {"step": step + 1, "steps": steps, "cosines": {" ".join(pair): c for pair, c in layers.items()}}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(told) + "\n")


def whole_lines(path: Path) -> list[str]:
    """The lines of the file that were written to their end; none where it is not there."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [line for line in lines if line.endswith("\n")]


def _step(line: str) -> float:
    """From 1; of a damaged line infinity."""
    try:
        told: Any = json.loads(line)
        return int(told["step"])
    except (ValueError, LookupError, TypeError):
        return float("inf")
