"""Sites that can share, in the small space that their factors span; no (d_out, d_in) matrix is made."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from msplora_search.compression.levels import Levels, Ranks, Spans, fit, squared_error
from msplora_search.compression.lora import Lora, LoraSite


@dataclass(frozen=True)
class SiteFamily:
    """The sites of one target in one shape, by rising layer."""

    sites: tuple[LoraSite, ...]
    left: Tensor
    """Orthonormal, (d_out, p)."""
    right: Tensor
    """Orthonormal, (d_in, q)."""
    cores: Tensor
    """(layers, p, q): an update is `left @ core @ right.T`, and has the core's norm."""

    @property
    def energy(self) -> float:
        """The squared norm of all updates."""
        return float((self.cores**2).sum())

    def spans(self, groups: Spans) -> Spans:
        """The depth groups as ranges of this family's own sites, which may be empty."""
        layers = [site.layer for site in self.sites]
        return tuple((sum(x < a for x in layers), sum(x < b for x in layers)) for a, b in groups)

    def fitted(self, ranks: Ranks, groups: Spans, most: int) -> Levels:
        """See `levels.fit`."""
        return fit(self.cores, ranks, self.spans(groups), most)

    def lost(self, levels: Levels) -> float:
        """The energy that they leave over."""
        return squared_error(self.cores, levels)

    def factors(self, core: Tensor, rank: int) -> tuple[Tensor, Tensor]:
        """Balanced factors (d_out, rank) and (rank, d_in) of a core of that rank; zeros where its own is lower."""
        u, s, v = torch.linalg.svd(core, full_matrices=False)
        known = min(rank, len(s))
        root = s[:known].sqrt()
        up = self.left.new_zeros(self.left.shape[0], rank)
        down = self.left.new_zeros(rank, self.right.shape[0])
        up[:, :known] = self.left @ (u[:, :known] * root)
        down[:known] = (root[:, None] * v[:known]) @ self.right.T
        return up, down


def families(lora: Lora) -> list[SiteFamily]:
    """Sites that can share: of equal target, d_in and d_out."""
    found: dict[tuple[str, int, int], list[LoraSite]] = defaultdict(list)
    for site in sorted(lora.sites, key=lambda s: s.layer):
        found[site.target, *site.shape].append(site)
    return [_family(tuple(sites)) for sites in found.values()]


def _family(sites: tuple[LoraSite, ...]) -> SiteFamily:
    left = torch.linalg.qr(torch.cat([s.up for s in sites], dim=1)).Q
    right = torch.linalg.qr(torch.cat([s.down.T for s in sites], dim=1)).Q
    cores = torch.stack([(left.T @ s.up) @ (s.down @ right) for s in sites])
    return SiteFamily(sites, left, right, cores)
