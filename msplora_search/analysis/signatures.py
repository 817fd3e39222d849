"""Signs that a pyramid's shape does not fit what it learned: pure functions of spectra, similarities and splits.

The thresholds are conventions, stated here. Of 400 pyramids of independent random numbers, where nothing is to be
found, 1.0% ± 0.5% raise "groups across borders", and none the others (`scripts/simulate_signatures.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from msplora_search.analysis.redundancy import Redundancy
from msplora_search.analysis.spectra import Spectra
from msplora_search.analysis.splitting import SHUFFLES, Split
from msplora_search.analysis.updates import Floats

IDLE = 0.01
"""A level with less of the energy does nothing."""
PARALLEL = 0.5
"""Mean cosine from which on updates are nearly parallel: one shared update would then hold half of their "
"energy."""
FLAT = 0.9
"""Share of its rank that a level fills from which on its spectrum is flat."""
LEADING = 0.5
"""Share of the energy from which on a level carries the update."""
CLEARLY = 5.0
"""Standard deviations above chance. Random updates have flat spectra too; those that learned share directions."""
UNUSED = 0.5
"""Share of directions that hold less than 1% of the energy."""
MISMATCH, MISMATCH_P = 0.05, 0.025
"""By how much layers of different groups are more alike than those of one, and how rarely chance does it."""


class Sign(StrEnum):
    """What can be wrong with a shape."""

    COLLAPSE = "mode collapse"
    LOW_RANK = "layer ranks too low"
    MISMATCH = "groups across borders"
    IDLE = "idle level"
    UNUSED = "unused ranks"


@dataclass(frozen=True)
class Finding:
    """One sign, with its evidence in figures, and what to try."""

    sign: Sign
    level: str
    evidence: str
    remedy: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def signatures(
    spectra: Spectra, groups: tuple[int, ...], own: Redundancy | None, split: Split | None
) -> list[Finding]:
    """What is found in a pyramid with these boundaries 0, ..., layers.

    `own` and `split` are of its layer level; None where it has none, or too few layers have.
    """
    return [
        *_idle(spectra),
        *_unused(spectra),
        *(_collapse(own) if own else ()),
        *(_too_low(spectra, own) if own else ()),
        *(_mismatch(groups, own, split) if own and split else ()),
    ]


def _idle(spectra: Spectra) -> Iterator[Finding]:
    for level in spectra.levels:
        if level.energy < IDLE and len(spectra.levels) > 1:
            yield Finding(
                Sign.IDLE,
                level.level,
                f"the {level.level} level holds {level.energy:.1%} of the energy, less than {IDLE:.0%}",
                f"drop the {level.level} level (rank 0), or raise its alpha",
            )


def _unused(spectra: Spectra) -> Iterator[Finding]:
    for level in spectra.levels:
        if level.unused >= UNUSED:
            lower = max(1, round(level.rank * (1 - level.unused)))
            yield Finding(
                Sign.UNUSED,
                level.level,
                f"{level.unused:.0%} of the {level.level} level's directions hold less than 1% of the energy of "
                f"their adapter (effective rank {level.effective_rank:.1f} of {level.rank:.3g})",
                f"lower the {level.level} rank to about {lower}",
            )


def _collapse(own: Redundancy) -> Iterator[Finding]:
    if own.mean >= PARALLEL:
        yield Finding(
            Sign.COLLAPSE,
            "layer",
            f"the layer updates of different layers are nearly parallel: mean cosine {own.mean:.2f} "
            f"(by chance 0 ± {own.chance_sd:.3f}); one shared update would hold {own.replaceable:.0%} of their "
            "energy",
            "move rank from the layer level to a shared one, or train longer: the layers do not specialise",
        )


def _too_low(spectra: Spectra, own: Redundancy) -> Iterator[Finding]:
    level, spaces = spectra.level("layer"), own.columns
    if level is None or spaces is None or level.rank <= 1:
        return
    if level.rank_share >= FLAT and level.energy >= LEADING and spaces.above >= CLEARLY:
        yield Finding(
            Sign.LOW_RANK,
            "layer",
            f"the layer level fills {level.rank_share:.0%} of its rank, holds {level.energy:.0%} of the energy, "
            "and "
            f"its column spaces overlap by {spaces.mean:.3f}, by chance {spaces.chance:.3f}",
            "raise the layer rank",
        )


def _mismatch(groups: tuple[int, ...], own: Redundancy, split: Split) -> Iterator[Finding]:
    if split.groups > 1:
        cuts = [own.layers[place] for place in split.boundaries[1:-1]]
        inside = [cut for cut in cuts if cut not in groups]
        if inside and split.p_values[0] <= MISMATCH_P:
            yield Finding(
                Sign.MISMATCH,
                "layer",
                f"the layer updates change at layer {_and(inside)}, inside a depth group (p "
                f"{split.p_values[0]:.3f})",
                f"search boundaries near {_and(inside)}, or allow one group more",
            )
    difference, p_value = _across(groups, own)
    if difference >= MISMATCH and p_value <= MISMATCH_P:
        yield Finding(
            Sign.MISMATCH,
            "layer",
            f"layers of different groups are more alike than those of one: mean cosine {difference:.2f} larger "
            f"(p {p_value:.3f})",
            "search other boundaries, or fewer groups",
        )


def _across(groups: tuple[int, ...], own: Redundancy) -> tuple[float, float]:
    """Mean cosine across groups less that within, and how often shuffled layers have as much."""
    member = np.searchsorted(groups, own.layers, side="right")
    same = np.equal.outer(member, member)[np.triu_indices(len(member), 1)]
    if same.all() or not same.any():
        return 0.0, 1.0
    observed = _difference(own.similarity, same)
    generator = np.random.default_rng(0)
    orders = (generator.permutation(len(member)) for _ in range(SHUFFLES))
    more = sum(_difference(own.similarity[np.ix_(order, order)], same) >= observed - 1e-12 for order in orders)
    return observed, (1 + more) / (1 + SHUFFLES)


def _difference(similarity: Floats, same: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
    pairs = similarity[np.triu_indices(len(similarity), 1)]
    return float(pairs[~same].mean() - pairs[same].mean())


def _and(layers: list[int]) -> str:
    return " and ".join(map(str, layers))
