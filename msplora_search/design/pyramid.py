"""The thing that is searched for: ranks at three levels, depth groups, targets and scaling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

from msplora_search.design.canonical import canonical_stack
from msplora_search.design.depth import (
    MOST_LAYERS,
    MOST_RANK,
    DepthGroup,
    require_count,
    require_partition,
    rescale_boundaries,
    spans,
    split_evenly,
)
from msplora_search.design.scaling import LEVELS, Alpha, Scaling
from msplora_search.text import shown

MOST_TARGETS = 1_024
"""Of one pyramid; a layer of the widest mixture of experts has fewer matrices."""
MOST_CHARACTERS = 255
"""Of the name of a target."""


@dataclass(frozen=True, init=False)
class Pyramid:
    """A multi-scale low-rank adapter (MSPLoRA, arXiv 2503.21838) in canonical form.

    Each target matrix of layer `l` in group `g(l)` gets one update shared by all layers
    (`global_rank`), one shared within its group (`mid_rank`) and one of its own
    (`layer_rank`); rank 0 drops a level, so `0/0/r` is plain LoRA.

    Two configurations that build the same model are one value: they compare equal and hash
    alike. On construction

    - targets are sorted and made unique;
    - neighbouring groups merge where the boundary changes nothing (no mid level on either
      side, equal layer ranks);
    - in a group of one layer the mid and the layer level are both that layer's own, so the
      larger rank is written as `layer_rank`; in a single group the global and the mid level
      both span the stack, so the larger is written as `global_rank`;
    - the alpha of a level that is nowhere present vanishes;
    - where no rank exceeds 1, which both scalings treat alike, the scaling is `standard`.

    Above rank 1 the scaling is part of the value, whatever the alphas, as those of a space go with its one
    scaling: at rank 4, alpha 16 standard and alpha 8 rank-stabilised are two values, though one model.

    Raises ValueError when groups overlap, leave gaps or do not start at layer 0, when a rank is
    negative, when every rank is 0, when a present level has no alpha, for a scaling that does not
    exist, and for what exceeds a bound (`MOST_LAYERS`, `MOST_RANK`, `MOST_ALPHA`, `MOST_TARGETS`).
    """

    global_rank: int
    groups: tuple[DepthGroup, ...]
    targets: tuple[str, ...]
    alpha: Alpha
    scaling: Scaling

    def __init__(
        self,
        global_rank: int,
        groups: Iterable[DepthGroup],
        targets: Iterable[str],
        alpha: float | Mapping[str, float] | Alpha = 16.0,
        scaling: Scaling | str = Scaling.STANDARD,
    ) -> None:
        require_count("global_rank", global_rank, MOST_RANK)
        groups = tuple(islice(groups, MOST_LAYERS + 1))  # where there are more, one ends above that
        require_partition(groups)
        numerators, rule = Alpha.of(alpha), Scaling.of(scaling)
        _require_adapters(global_rank, groups, numerators)
        names = _canonical_targets(targets)
        global_rank, groups, alphas = canonical_stack(global_rank, groups, numerators.levels)
        object.__setattr__(self, "global_rank", global_rank)
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "targets", names)
        object.__setattr__(self, "alpha", Alpha(*alphas))
        object.__setattr__(self, "scaling", rule if self.largest_rank > 1 else Scaling.STANDARD)

    @classmethod
    def geometric(
        cls,
        rank: int,
        layers: int,
        groups: int = 3,
        targets: Iterable[str] = ("query", "value"),
        alpha: float = 16.0,
        scaling: Scaling | str = Scaling.STANDARD,
    ) -> Pyramid:
        """The paper's rule: ranks `rank`, `rank // 2`, `rank // 4`, groups of equal depth.

        `Pyramid.geometric(8, layers=12)` is the paper's setting for RoBERTa-base, 8/4/2 in thirds.
        Where `layers` is no multiple of `groups`, boundaries are rounded to the nearest layer.
        """
        if rank < 1:
            raise ValueError(f"rank is {rank}; it must be at least 1")
        ranks = rank, rank // 2, rank // 4
        return cls.from_split(ranks, split_evenly(layers, groups), targets, alpha, scaling)

    @classmethod
    def from_split(
        cls,
        ranks: tuple[int, int, int],
        boundaries: Sequence[int],
        targets: Iterable[str],
        alpha: float | Mapping[str, float] | Alpha = 16.0,
        scaling: Scaling | str = Scaling.STANDARD,
    ) -> Pyramid:
        """The same (global, mid, layer) ranks everywhere, in groups between `boundaries` 0, ..., layers."""
        global_rank, mid, layer = ranks
        groups = [DepthGroup(a, b, mid, layer) for a, b in spans(boundaries)]
        return cls(global_rank, groups, targets, alpha, scaling)

    @classmethod
    def lora(
        cls,
        rank: int,
        layers: int,
        targets: Iterable[str],
        alpha: float = 16.0,
        scaling: Scaling | str = Scaling.STANDARD,
    ) -> Pyramid:
        """Plain LoRA of `rank`, the pyramid 0/0/rank."""
        return cls.from_split((0, 0, rank), (0, layers), targets, alpha, scaling)

    def __hash__(self) -> int:
        """Computed once: searches look pyramids up by the thousand."""
        return self._hash

    def __getstate__(self) -> dict[str, Any]:
        """Without its hash, which another process computes differently."""
        return {name: value for name, value in vars(self).items() if name != "_hash"}

    @cached_property
    def _hash(self) -> int:
        return hash((self.global_rank, self.groups, self.targets, self.alpha, self.scaling))

    @property
    def layers(self) -> int:
        """The depth of the stack."""
        return self.groups[-1].stop

    def group_of(self, layer: int) -> int:
        """Index of the depth group that holds `layer`."""
        return next(i for i, group in enumerate(self.groups) if group.start <= layer < group.stop)

    @property
    def rank_units(self) -> int:
        """Rank summed over all adapters of one target: `r_G + sum_groups r_M + sum_layers r_L`."""
        return self.global_rank + sum(g.mid_rank + g.layers * g.layer_rank for g in self.groups)

    @property
    def largest_rank(self) -> int:
        """The largest rank of any adapter."""
        return max(self.global_rank, *(max(group.mid_rank, group.layer_rank) for group in self.groups))

    @property
    def unrolled_rank(self) -> int:
        """The rank of stock LoRA that holds the pyramid in every layer: the greatest sum of the three levels."""
        return self.global_rank + max(group.mid_rank + group.layer_rank for group in self.groups)

    def count(self, shapes: Mapping[str, tuple[int, int]]) -> int:
        """Number of adapter parameters, exact, without building anything.

        `shapes` gives `(d_in, d_out)` of each target. The count is
        `sum over targets (d_in + d_out) * rank_units`.

        Raises KeyError for a target without a shape.
        """
        return sum(sum(shapes[target]) for target in self.targets) * self.rank_units

    def at_depth(self, layers: int) -> Pyramid:
        """The same pyramid for a stack of another depth: boundaries keep their fraction of the depth.

        Raises ValueError when `layers` is too few for every group to keep a layer.
        """
        cuts = rescale_boundaries((0, *(group.stop for group in self.groups)), layers)
        moved = zip(self.groups, spans(cuts), strict=True)
        groups = [replace(group, start=a, stop=b) for group, (a, b) in moved]
        return Pyramid(self.global_rank, groups, self.targets, self.alpha, self.scaling)

    def scales_by(self, scaling: Scaling) -> bool:
        """Whether `scaling`, with these alphas, builds this very model."""
        return self.scaling is scaling or self.largest_rank <= 1

    def to_json(self) -> dict[str, Any]:
        """The form used in `front.json` and recipes; `from_json` reads it back. A standard scaling is left out."""
        scaling = {} if self.scaling is Scaling.STANDARD else {"scaling": self.scaling.value}
        return {
            "global_rank": self.global_rank,
            "groups": [
                {"start": g.start, "stop": g.stop, "mid_rank": g.mid_rank, "layer_rank": g.layer_rank}
                for g in self.groups
            ],
            "targets": list(self.targets),
            "alpha": self.alpha.to_json(),
            **scaling,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Pyramid:
        """Read what `to_json` wrote. Raises ValueError or TypeError naming the field that is wrong."""
        _require_keys("pyramid", data, ("global_rank", "groups", "targets", "alpha"), ("scaling",))
        for field in ("groups", "targets"):
            if not isinstance(data[field], list | tuple):
                raise TypeError(f"pyramid {field} is {shown(data[field])}; it must be a list")
        if len(data["groups"]) > MOST_LAYERS:
            raise ValueError(
                f"pyramid has {len(data['groups']):,} groups; there must be at most {MOST_LAYERS:,}, one a layer"
            )
        for i, group in enumerate(data["groups"]):
            _require_keys(f"pyramid group {i}", group, ("start", "stop", "mid_rank", "layer_rank"))
        groups = [DepthGroup(**group) for group in data["groups"]]
        scaling = data.get("scaling", Scaling.STANDARD)
        return cls(data["global_rank"], groups, data["targets"], data["alpha"], scaling)

    def __str__(self) -> str:
        """Short form for people: `8/4/2 in 0:4 4:8 8:12`; a level that differs by group is listed."""
        mids = _join(g.mid_rank for g in self.groups)
        own = _join(g.layer_rank for g in self.groups)
        where = "" if len(self.groups) == 1 else " in " + " ".join(f"{g.start}:{g.stop}" for g in self.groups)
        return f"{self.global_rank}/{mids}/{own}{where}"


def _require_adapters(global_rank: int, groups: tuple[DepthGroup, ...], alpha: Alpha) -> None:
    ranks = (global_rank, max(g.mid_rank for g in groups), max(g.layer_rank for g in groups))
    if not any(ranks):
        raise ValueError("every rank is 0: the pyramid adapts nothing; give at least one level a rank")
    for level, value, rank in zip(LEVELS, alpha.levels, ranks, strict=True):
        if rank and value is None:
            raise ValueError(f"the {level} level has a rank but no alpha; give it a positive number")


def _canonical_targets(targets: Iterable[str]) -> tuple[str, ...]:
    if isinstance(targets, str) or not isinstance(targets, Iterable):
        raise TypeError(f"targets is {shown(targets)}; it must be a list of module name suffixes")
    listed = list(islice(targets, MOST_TARGETS + 1))
    if not all(isinstance(name, str) for name in listed):
        raise TypeError(f"targets is {shown(listed)}; it must be a list of module name suffixes")
    names = tuple(sorted(set(listed)))
    if not names or not all(names):
        raise ValueError(f"targets is {shown(list(names))}; it must name at least one module suffix")
    if len(listed) > MOST_TARGETS or any(len(name) > MOST_CHARACTERS for name in names):
        raise ValueError(
            f"targets is {shown(listed)}; there must be at most {MOST_TARGETS:,}, "
            f"each of at most {MOST_CHARACTERS} characters"
        )
    return names


def _require_keys(
    what: str, data: Mapping[str, Any], keys: tuple[str, ...], optional: tuple[str, ...] = ()
) -> None:
    if not isinstance(data, Mapping):
        raise TypeError(f"{what} is {shown(data)}; it must have the fields {list(keys)}")
    if missing := [key for key in keys if key not in data]:
        raise ValueError(f"{what} lacks {missing}")
    known = [*keys, *optional]
    if unknown := [key for key in data if key not in known]:
        raise ValueError(f"{what} has unknown fields {shown(unknown)}; it has {known}")


def _join(ranks: Iterable[int]) -> str:
    values = list(ranks)
    return str(values[0]) if len(set(values)) == 1 else "(" + ",".join(map(str, values)) + ")"
