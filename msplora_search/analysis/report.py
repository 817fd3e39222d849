"""Everything that is asked of one trained adapter, put together. Computes; prints nothing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from msplora_search.analysis.recorded import Interference
from msplora_search.analysis.redundancy import Redundancy, redundancy_of
from msplora_search.analysis.signatures import Finding, signatures
from msplora_search.analysis.spectra import Spectra, spectra_of
from msplora_search.analysis.splitting import Split, suggested_split
from msplora_search.analysis.updates import Trained
from msplora_search.errors import InputError

WHOLE, LAYER = "whole", "layer"


@dataclass(frozen=True, eq=False)
class Analysis:
    """The answers for one adapter."""

    trained: Trained
    spectra: Spectra
    whole: Redundancy
    """Of all levels together."""
    split: Split
    """Of `whole`, by cosines."""
    by_directions: Split
    """Of `whole`, by the directions that its layers use."""
    own: Redundancy | None
    """Of the layer level of a pyramid; None where fewer than two layers have one."""
    findings: tuple[Finding, ...]
    """Of a pyramid; none of plain LoRA."""
    interference: Interference | None = None
    """Of its training, where that was recorded."""

    @property
    def is_pyramid(self) -> bool:
        """Whether it has more than the layer level."""
        return set(self.trained.levels) != {LAYER}

    def groups_of(self, split: Split) -> list[tuple[int, int]]:
        """The first layer of each group of a split of `whole`, and the last."""
        layers = self.whole.layers
        return [(layers[a], layers[b - 1]) for a, b in pairwise(split.boundaries)]

    def to_json(self) -> dict[str, Any]:
        """`analysis.json`."""
        return {
            "adapter": self.trained.name,
            "kind": self.trained.kind,
            "layers": self.trained.layers,
            "levels": list(self.trained.levels),
            "depth_groups": list(self.trained.groups),
            "spectra": self.spectra.to_json(),
            "redundancy": self.whole.to_json(),
            "layer_level_redundancy": self.own and self.own.to_json(),
            "suggested_groups": self._told(self.split),
            "suggested_groups_by_directions": self._told(self.by_directions),
            "failure_signatures": [finding.to_json() for finding in self.findings],
            "interference": self.interference and self.interference.to_json(),
            "notes": list(self.trained.notes),
        }

    def _told(self, split: Split) -> dict[str, Any]:
        return {**split.to_json(), "layers": [list(group) for group in self.groups_of(split)]}


def analyse(trained: Trained, interference: Interference | None = None) -> Analysis:
    """The spectra, what layers repeat, where they change, and signs of a shape that does not fit.

    Raises InputError where every update is 0.
    """
    spectra, whole = spectra_of(trained), redundancy_of(trained, WHOLE)
    if not whole.layers:
        raise InputError(f"{trained.name}: every update is 0; give an adapter that was trained")
    own = redundancy_of(trained, LAYER)
    has_own = len(own.layers) > 1
    several = set(trained.levels) != {LAYER}
    split_of_own = suggested_split(own.similarity) if has_own else None
    found = signatures(spectra, trained.groups, own if has_own else None, split_of_own) if several else []
    return Analysis(
        trained=trained,
        spectra=spectra,
        whole=whole,
        split=suggested_split(whole.similarity),
        by_directions=suggested_split(whole.directions),
        own=own if has_own and several else None,
        findings=tuple(found),
        interference=interference,
    )
