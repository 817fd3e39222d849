"""The settings that every front is compared with: the paper's pyramid and a ladder of plain LoRA."""

from __future__ import annotations

import math
from dataclasses import dataclass

from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import LogRange, SearchSpace
from msplora_search.settings.models import LoraLadder, PaperRank, SearchSettings


@dataclass(frozen=True)
class Baseline:
    """One baseline at one learning rate."""

    name: str
    """`paper`, or `lora-RANK`."""
    pyramid: Pyramid
    learning_rate: float


def planned_baselines(space: SearchSpace, search: SearchSettings) -> list[Baseline]:
    """Every baseline at every rate it is given, each configuration once; LoRA from the lowest rank."""
    targets, alpha = space.targets[0], space.alpha[0]
    thirds = min(3, space.most_groups or space.layers)
    named: dict[Pyramid, str] = {}
    for baseline in search.baselines:
        match baseline:
            case PaperRank(paper=rank):
                pyramid = Pyramid.geometric(rank, space.layers, thirds, targets, alpha)
                named.setdefault(pyramid, "paper")
            case LoraLadder(lora=ranks):
                for rank in sorted(set(ranks)):
                    named.setdefault(Pyramid.lora(rank, space.layers, targets, alpha), f"lora-{rank}")
    return [Baseline(name, p, rate) for p, name in named.items() for rate in baseline_rates(space)]


def baseline_rates(space: SearchSpace) -> tuple[float, ...]:
    """Up to three learning rates across the range; a baseline's best counts, as a proposal's does."""
    match space.learning_rate:
        case LogRange(low, high, log):
            return low, math.sqrt(low * high) if log else (low + high) / 2, high
        case choices:
            middle = choices[len(choices) // 2]
            return tuple(dict.fromkeys((choices[0], middle, choices[-1])))
