"""Sites that can share, in the small space that their factors span; no (d_out, d_in) matrix is made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from msplora_search.compression.factors import Factors, Weights, orthogonal, squared_norm
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
    cores: Factors
    """(p, q) a layer: an update is `left @ core @ right.T`, and has the core's norm."""
    weights: Weights | None = None
    """How much the directions `right` of each site's inputs count; None: all alike."""

    @property
    def energy(self) -> float:
        """The squared norm of all updates."""
        return squared_norm([self.cores], self.weights)

    def weighted(self, moments: Mapping[str, Tensor]) -> SiteFamily:
        """Itself with the second moments (q, q) of the inputs of each site, by path, in the directions `right`."""
        return replace(self, weights=Weights(torch.stack([moments[site.path] for site in self.sites])))

    def spans(self, groups: Spans) -> Spans:
        """The depth groups as ranges of this family's own sites, which may be empty."""
        layers = [site.layer for site in self.sites]
        return tuple((sum(x < a for x in layers), sum(x < b for x in layers)) for a, b in groups)

    def fitted(self, ranks: Ranks, groups: Spans, most: int) -> Levels:
        """See `levels.fit`."""
        return fit(self.cores, ranks, self.spans(groups), most, self.weights)

    def lost(self, levels: Levels) -> float:
        """The energy that they leave over."""
        return squared_error(self.cores, levels, self.weights)

    def factors(self, level: Factors, i: int, rank: int) -> tuple[Tensor, Tensor]:
        """Balanced factors (d_out, rank) and (rank, d_in) of a level in layer i; zeros where its own is lower."""
        columns, rows = level.up[level.of[i]], level.down[level.of[i]]
        (left, a), (right, b) = torch.linalg.qr(self.left @ columns), torch.linalg.qr((rows @ self.right.T).T)
        u, s, v = torch.linalg.svd(a @ b.T)
        root = s.sqrt()
        up = self.left.new_zeros(self.left.shape[0], rank)
        down = self.left.new_zeros(rank, self.right.shape[0])
        up[:, : len(s)] = left @ (u * root)
        down[: len(s)] = (root[:, None] * v) @ right.T
        return up, down

    def sketch(self, most: int = 64) -> Tensor:
        """The cores (layers, p, q) in the at most `most` directions of most energy on either side.

        Where inputs are weighted, by the mean of the layers' moments: depth groups are chosen under that.
        """
        downs = self.cores.down if self.weights is None else self.cores.down @ self.weights.mean_root
        own = orthogonal(replace(self.cores, down=downs))
        ups = own.up * own.down.norm(dim=2)[:, None]
        left = torch.linalg.eigh((ups @ ups.mT).sum(0)).eigenvectors[:, -most:]
        right = torch.linalg.eigh((own.down.mT @ own.down).sum(0)).eigenvectors[:, -most:]
        found: Tensor = (left.T @ own.up) @ (own.down @ right)
        return found


def families(lora: Lora) -> list[SiteFamily]:
    """Sites that can share: of equal target, d_in and d_out."""
    found: dict[tuple[str, int, int], list[LoraSite]] = defaultdict(list)
    for site in sorted(lora.sites, key=lambda s: s.layer):
        found[site.target, *site.shape].append(site)
    return [_family(tuple(sites)) for sites in found.values()]


def _family(sites: tuple[LoraSite, ...]) -> SiteFamily:
    left = torch.linalg.qr(torch.cat([s.up for s in sites], dim=1)).Q
    right = torch.linalg.qr(torch.cat([s.down.T for s in sites], dim=1)).Q
    rank = max(s.rank for s in sites)
    ups = torch.stack([_padded(left.T @ s.up, rank) for s in sites])
    downs = torch.stack([_padded((s.down @ right).T, rank).T for s in sites])
    return SiteFamily(sites, left, right, orthogonal(Factors(ups, downs, torch.arange(len(sites)))))


def _padded(columns: Tensor, count: int) -> Tensor:
    return torch.nn.functional.pad(columns, (0, count - columns.shape[1]))
