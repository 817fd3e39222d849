"""Tables of trainings: every configuration of a space, measured at every rung, as one compact file.

A table is what the tool's own loop measured. Of each training it keeps, at each rung, which validation examples
were right and the mean loss, and at the end which judging examples were right. Searches are replayed on it by
`bench_search.py`; nothing but the training is looked up.
"""

from __future__ import annotations

import json
import lzma
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.settings.models import StudySettings

FOLDER = Path(__file__).parent / "tables"
Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """n pyramids, each trained at R rates with S seeds, measured at K rungs."""

    fields: dict[str, Any]
    """The study whose proxy was trained, as in its file."""
    pyramids: tuple[Pyramid, ...]
    """By rising parameters."""
    parameters: NDArray[np.int64]
    """(n,)"""
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    rungs: tuple[float, ...]
    steps: tuple[int, ...]
    """Of each rung."""
    validation: Bits
    """(n, R, S, K, examples): which were right."""
    judging: Bits
    """(n, R, S, examples): at the end."""
    losses: NDArray[np.float32]
    """(n, R, S, K): mean training loss since the rung before; NaN where the training diverged by then."""
    chance: float
    """Accuracy of always the most frequent class."""
    layers: int

    def settings(self, **sections: dict[str, Any]) -> StudySettings:
        """The study whose proxy it holds, with other settings in some sections."""
        fields = {**self.fields, **{name: {**self.fields[name], **changes} for name, changes in sections.items()}}
        return StudySettings.model_validate(fields)

    def space(self) -> SearchSpace:
        """That of its configurations."""
        targets = (self.pyramids[0].targets,)
        found = StudySettings.model_validate(self.fields).space.for_depth(self.layers, self.rates[0], targets)
        return replace(found, learning_rate=self.rates)

    @cached_property
    def place(self) -> dict[Pyramid, int]:
        """Of each pyramid."""
        return {pyramid: i for i, pyramid in enumerate(self.pyramids)}

    @property
    def unit(self) -> int:
        """Adapter parameters of one rank unit."""
        return int(self.parameters[0]) // self.pyramids[0].rank_units

    def costs(self) -> Floats:
        """Adapter parameters of every configuration, (n * R,)."""
        return np.repeat(self.parameters.astype(np.float64), len(self.rates))

    def truth(self, seed: int) -> Floats:
        """What is known of each configuration beside what a search sees that trains with this seed, (n, R).

        Accuracy on the judging part, the mean over seeds, and with other seeds also on the validation part.
        """
        judged = self.judging.mean(axis=-1)
        others = [i for i in range(len(self.seeds)) if i != seed]
        if not others:
            return np.asarray(judged[:, :, 0])
        validated = self.validation[:, :, others, -1].mean(axis=-1)
        examples = self.judging.shape[-1] * len(self.seeds), self.validation.shape[-1] * len(others)
        return np.asarray(np.average([judged.mean(axis=2), validated.mean(axis=2)], axis=0, weights=examples))

    def save(self, path: Path) -> None:
        """Write it."""
        head = {
            "fields": self.fields,
            "pyramids": [pyramid.to_json() for pyramid in self.pyramids],
            "chance": self.chance, "layers": self.layers,
            "rates": self.rates, "seeds": self.seeds, "rungs": self.rungs, "steps": self.steps,
        }  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {
            "head": np.frombuffer(lzma.compress(json.dumps(head).encode()), dtype=np.uint8),
            "parameters": self.parameters,
            "losses": self.losses.astype(np.float16),
            **packed("validation", self.validation),
            **packed("judging", self.judging),
        }
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Table:
        """Read what `save` wrote."""
        with np.load(path) as stored:
            head = json.loads(lzma.decompress(stored["head"].tobytes()))
            return cls(
                fields=head["fields"],
                pyramids=tuple(Pyramid.from_json(told) for told in head["pyramids"]),
                parameters=stored["parameters"],
                rates=tuple(head["rates"]),
                seeds=tuple(head["seeds"]),
                rungs=tuple(head["rungs"]),
                steps=tuple(head["steps"]),
                validation=unpacked(stored, "validation"),
                judging=unpacked(stored, "judging"),
                losses=stored["losses"].astype(np.float32),
                chance=head["chance"],
                layers=head["layers"],
            )


def packed(name: str, right: Bits) -> dict[str, NDArray[Any]]:
    """Bits that differ from what most trainings have: few, and alike."""
    usual = right.reshape(-1, right.shape[-1]).mean(axis=0) > 0.5
    bits = np.packbits((right ^ usual).reshape(-1, right.shape[-1]).T)  # an example's bits lie together
    return {
        f"{name}_shape": np.array(right.shape),
        f"{name}_usual": np.packbits(usual),
        f"{name}_bits": np.frombuffer(lzma.compress(bits.tobytes(), preset=9), dtype=np.uint8),
    }


def unpacked(stored: Any, name: str) -> Bits:
    """What `packed` packed."""
    shape = tuple(int(size) for size in stored[f"{name}_shape"])
    examples = shape[-1]
    usual = np.unpackbits(stored[f"{name}_usual"], count=examples).astype(bool)
    rows = int(np.prod(shape[:-1]))
    raw = np.frombuffer(lzma.decompress(stored[f"{name}_bits"].tobytes()), dtype=np.uint8)
    bits = np.unpackbits(raw, count=rows * examples).astype(bool).reshape(examples, rows).T
    return np.asarray(bits ^ usual).reshape(shape)
