"""From a LoRA to its front of pyramids: relative error against parameters, and truncated LoRA beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msplora_search.compression.family import SiteFamily, families
from msplora_search.compression.grouping import best_groups, sharing_costs, sharing_energies
from msplora_search.compression.levels import Ranks, Spans
from msplora_search.compression.lora import Lora
from msplora_search.errors import InputError
from msplora_search.results.pareto import front
from msplora_search.text import brief, several

MOST_GROUPS = 4
FEW, MOST = 1, 30
"""Rounds of a first look at every point of the lattice, and of those that it leaves."""
Say = Callable[[str], None]
"""Is given a line on what is done next, or was done."""


def say_nothing(_: str) -> None:
    """For who wants the result alone."""


@dataclass(frozen=True)
class Point:
    """A pyramid of the lattice, and how near it comes."""

    ranks: Ranks
    groups: Spans
    params: int
    error: float
    """Norm of what is lost over the norm of the updates."""

    def to_json(self) -> dict[str, Any]:
        """For `compress.json`."""
        bounds = [a for a, _ in self.groups[1:]]
        told = {"ranks": str(self.ranks), "boundaries": bounds, "params": self.params}
        return {**told, "error": self.error, "energy_lost": self.error**2}


@dataclass(frozen=True)
class Compression:
    """Points by rising parameters."""

    lora: Lora
    families: list[SiteFamily]
    front: list[Point]
    truncated: list[Point]
    """0/0/r, for every r up to the largest of the lattice."""
    examples: int = 0
    """By whose activations the updates are weighted; 0: all input directions count alike."""

    @property
    def most_saved(self) -> float:
        """The largest share of parameters that sharing saves beside truncated LoRA of no smaller error."""
        saved = [0.0]
        for plain in self.truncated:
            near = [p.params for p in self.front if p.error <= max(plain.error, 1e-5)]
            saved += [1 - min(near) / plain.params] if near else []
        return max(saved)

    def to_json(self) -> dict[str, Any]:
        """The content of `compress.json`."""
        return {
            "base_model": self.lora.base_model,
            "weights": "activations" if self.examples else "identity",
            "examples": self.examples,
            "lora": {"rank": self.lora.rank, "params": self.lora.params},
            "front": [p.to_json() for p in self.front],
            "truncated": [p.to_json() for p in self.truncated],
            "most_saved": self.most_saved,
        }


def lattice(largest: int) -> tuple[int, ...]:
    """0, and `largest` halved up to three times: enough sizes, few enough fits."""
    return tuple(sorted({0, *(largest >> i for i in range(4))}))


def compress(
    lora: Lora,
    ranks: Sequence[int] | None = None,
    own: list[SiteFamily] | None = None,
    examples: int = 0,
    say: Say = say_nothing,
) -> Compression:
    """The front over `ranks` at every level and 2 to 4 depth groups. Raises InputError for updates of zeros.

    `own`: the families of the LoRA's sites, where they are weighted, by the activations of so many `examples`.
    """
    own = own or families(lora)
    if not sum(f.energy for f in own):
        raise InputError(f"{lora.folder}: every update is zero; train the adapter first")
    choices = sorted(set(ranks or lattice(lora.rank)))
    say(f"fitting pyramids to {several(lora.layers, 'layer')} ...")
    candidates = list(_candidates(own, lora, choices))
    kept = _front(measured(own, r, g, FEW) for r, g in candidates)
    plain = [measured(own, Ranks(0, 0, r), ((0, lora.layers),), FEW) for r in range(1, choices[-1] + 1)]
    say(f"fitting {len(kept):,} of {several(len(candidates), 'pyramid')} more closely ...")
    final = _front([*(measured(own, p.ranks, p.groups, MOST) for p in kept), *plain])
    return Compression(lora, own, final, plain, examples)


def measured(own: Sequence[SiteFamily], ranks: Ranks, groups: Spans, most: int) -> Point:
    """The point of these ranks and groups, fitted in at most `most` rounds."""
    lost = sum(f.lost(f.fitted(ranks, groups, most)) for f in own)
    return Point(ranks, groups, _params(own, ranks, groups), math.sqrt(lost / sum(f.energy for f in own)))


def _params(own: Iterable[SiteFamily], ranks: Ranks, groups: Spans) -> int:
    total = 0
    for family in own:
        units = ranks.top + ranks.layer * len(family.sites)
        units += ranks.mid * sum(b > a for a, b in family.spans(groups))
        total += units * sum(family.sites[0].shape)
    return total


def _candidates(own: Sequence[SiteFamily], lora: Lora, choices: Sequence[int]) -> Iterator[tuple[Ranks, Spans]]:
    """What can lie on the front: beside a layer level that holds the LoRA whole, sharing adds nothing."""
    whole = [f for f in own if len(f.sites) == lora.layers]
    energies = [sharing_energies(f.sketch()) for f in whole]
    sharing = [r for r in choices if r < lora.rank] if lora.layers > 1 else []
    for top in choices:
        yield from ((Ranks(top, 0, layer), ((0, lora.layers),)) for layer in sharing if top)
        for mid in choices if energies else ():
            costs = sharing_costs(energies, top + mid)
            for count in range(2, min(MOST_GROUPS, lora.layers) + 1) if mid else ():
                groups = best_groups(costs, count)
                yield from ((Ranks(top, mid, layer), groups) for layer in sharing)


def _front(points: Iterable[Point]) -> list[Point]:
    every = list(points)
    exactness = np.array([-max(p.error, 1e-12) for p in every])
    return [every[i] for i in front(exactness, np.array([float(p.params) for p in every]))]


def read_ranks(text: str | None, largest: int) -> tuple[int, ...] | None:
    """`0,2,8` as ranks from 0 to the adapter's own; None where nothing is asked. Raises InputError."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(p.strip().isdecimal() and p.strip().isascii() and len(p) < 9 for p in parts):
        raise InputError(f"--ranks {brief(text)}: numbers with commas between are right, such as 0,2,8")
    found = tuple(sorted({int(p) for p in parts}))
    if found[-1] > largest or found[-1] == 0:
        raise InputError(f"--ranks {brief(text)}: from 0 to {largest}, the rank of the adapter, and one above 0")
    return found
