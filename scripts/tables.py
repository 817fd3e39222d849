"""Tables of trainings: every configuration of a space, measured at every rung, as one compact file.

A table is what the tool's own loop measured. Of each training it keeps, at each rung, which validation examples
were right and the mean loss, and at the end which judging examples were right. Searches are replayed on it by
`bench_search.py`; nothing but the training is looked up.
"""

from __future__ import annotations

import json
import lzma
import math
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
NEAREST = 50
"""Configurations of a rate that are like one in size."""
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
    luck: float = 0.0
    """Variance of the accuracy over seeds beyond the choice of examples, where the table has one seed alone."""

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
        """What is believed of each configuration by what a search that trains with this seed does not see, (n, R).

        Accuracy on all examples, the mean over the other seeds; of a table with one seed, on the judging part.
        Most of what one training is better than its like is luck, and the best of hundreds is the luckiest: so
        each is drawn towards those of its rate that are nearest to it in size, as far as they differ by luck
        (empirical Bayes: Efron and Morris, Data analysis using Stein's estimator, 1975).
        """
        others = [i for i in range(len(self.seeds)) if i != seed]
        judged: Bits = self.judging[:, :, others or [0]]
        validated: Bits = self.validation[:, :, others, -1]
        right = np.concatenate([judged, validated], axis=-1) if others else judged
        each = right.mean(axis=-1)
        metrics, noise = each.mean(axis=-1), examples_variance(right[:, :, 0]) + self.luck
        if len(others) > 1:
            noise = (each - each.mean(axis=0)).var(axis=-1, ddof=1) / len(others)
        diverged = np.asarray(np.isnan(self.losses).any(axis=(2, 3)))
        found = np.full(metrics.shape, self.chance)
        for rate in range(len(self.rates)):
            ended = ~diverged[:, rate]
            found[ended, rate] = drawn_together(metrics[ended, rate], noise[ended, rate], self.parameters[ended])
        return found

    def save(self, path: Path) -> None:
        """Write it."""
        head = {
            "fields": self.fields,
            "pyramids": [pyramid.to_json() for pyramid in self.pyramids],
            "chance": self.chance, "layers": self.layers,
            "rates": self.rates, "seeds": self.seeds, "rungs": self.rungs, "steps": self.steps, "luck": self.luck,
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
                luck=head.get("luck", 0.0),
            )


def examples_variance(right: Bits) -> Floats:
    """Of each accuracy over the choice of examples, beside what all share; from (n, R, examples) (n, R)."""
    own = right - right.mean(axis=0)
    return np.asarray(own.var(axis=-1, ddof=1) / right.shape[-1])


def luck_of(both: Bits) -> float:
    """The variance of an accuracy over seeds, beyond the choice of examples; from pairs (n, 2, examples).

    Half the variance of the differences between the two, less what the examples give to it: what is right by one
    training and wrong by the other differs in its mean by chance too.
    """
    apart = both[:, 0].astype(np.float64) - both[:, 1]
    of_examples = apart.var(axis=1, ddof=1) / apart.shape[1]
    return max(0.0, float(apart.mean(axis=1).var(ddof=1) - of_examples.mean()) / 2)


def drawn_together(metrics: Floats, noise: Floats, sizes: NDArray[np.int64]) -> Floats:
    """Metrics, each drawn towards the mean of the `NEAREST` nearest in log size; all (n,).

    `noise`: an estimate of each one's variance, good on the average of many.
    """
    logs = np.log(sizes)
    found = np.empty(len(metrics))
    for i, size in enumerate(logs):
        near = np.argsort(np.abs(logs - size), kind="stable")[:NEAREST]
        luck, middle = noise[near].mean(), metrics[near].mean()
        true = max(0.0, metrics[near].var(ddof=1) - luck)
        found[i] = middle + (metrics[i] - middle) * true / (true + luck)
    return found


def packed(name: str, right: Bits) -> dict[str, NDArray[Any]]:
    """Bits (n, R, S, ..., examples) that differ from what most trainings have at that rate and rung."""
    usual = right.mean(axis=(0, 2), keepdims=True) > 0.5
    bits = np.packbits(np.moveaxis(right ^ usual, 0, -1).swapaxes(0, -2))  # an example's bits lie together
    return {
        f"{name}_shape": np.array(right.shape),
        f"{name}_usual": np.packbits(usual),
        f"{name}_bits": np.frombuffer(lzma.compress(bits.tobytes(), preset=9), dtype=np.uint8),
    }


def unpacked(stored: Any, name: str) -> Bits:
    """What `packed` packed."""
    n, rates, seeds, *rest = (int(size) for size in stored[f"{name}_shape"])
    usual = np.unpackbits(stored[f"{name}_usual"], count=rates * math.prod(rest)).astype(bool)
    raw = np.frombuffer(lzma.decompress(stored[f"{name}_bits"].tobytes()), dtype=np.uint8)
    order = (rates, seeds, *rest, n)
    lying = np.unpackbits(raw, count=math.prod(order)).astype(bool)
    swapped = lying.reshape(rest[-1], seeds, *rest[:-1], rates, n)
    return np.asarray(np.moveaxis(swapped.swapaxes(0, -2), -1, 0) ^ usual.reshape(1, rates, 1, *rest))
