"""A space file as a validated model: what a search may propose. Each field is described once, here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from msplora_search.design.depth import MOST_LAYERS, split_by_fractions
from msplora_search.design.scaling import Scaling
from msplora_search.design.space import LogRange, SearchSpace, Shape, uniform_splits
from msplora_search.design.splits import FreeSplits
from msplora_search.settings.task import Model, misfit
from msplora_search.settings.values import (
    MOST_CHOICES,
    MOST_LISTED,
    Layers,
    Part,
    Rank,
    Ranks,
    Rate,
    ScalingNumerator,
    Switch,
    Targets,
)  # fmt: skip

DEFAULT_SCALING = Scaling.STANDARD
"""Of a space that names none."""


class RateRange(Model):
    """A range of learning rates, each above 0 and below 1."""

    low: Rate
    """Lowest rate."""
    high: Rate
    """Highest rate."""
    log: Switch = True
    """Draw uniformly in the logarithm."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        return self


class PerGroup(Model):
    """Which levels may have another rank in each depth group."""

    mid_rank: Switch = False
    """Whether each group has a mid rank of its own."""
    layer_rank: Switch = False
    """Whether the layers of each group have a layer rank of their own."""


def _kind_of_rates(value: Any) -> str | None:
    match value:
        case list() | tuple():
            return "(list)"
        case dict() | RateRange():
            return "(range)"
    return None


def _kind_of_boundaries(value: Any) -> str | None:
    match value:
        case list() | tuple():
            return "(list)"
        case "free" | "uniform":
            return "(word)"
    return None


RateChoices = Annotated[
    Annotated[tuple[Rate, ...], Field(min_length=1, max_length=MOST_CHOICES), Tag("(list)")]
    | Annotated[RateRange, Tag("(range)")],
    Discriminator(
        _kind_of_rates,
        custom_error_type="rates",
        custom_error_message="it should be a number, a list of numbers, or {low: 1e-4, high: 1e-2}",
    ),
]
Splits = Annotated[tuple[Part, ...], Field(min_length=1, max_length=MOST_LAYERS)]
Boundaries = Annotated[
    Annotated[Literal["free", "uniform"], Tag("(word)")]
    | Annotated[tuple[Splits, ...], Field(min_length=1, max_length=MOST_LISTED), Tag("(list)")],
    Discriminator(
        _kind_of_boundaries,
        custom_error_type="boundaries",
        custom_error_message="it should be free, uniform, or a list of splits such as [[33, 33, 34]]",
    ),
]


class Groups(Model):
    """Which depth groups may be proposed."""

    count: Annotated[tuple[Layers, ...], Field(min_length=1, max_length=MOST_CHOICES)] = (1, 2, 3, 4)
    """Allowed numbers of groups."""
    boundaries: Boundaries = "free"
    """`free` (every split), `uniform` (equal depth), or a list of splits such as [[33,33,34],[40,40,20]]."""
    min_layers: Layers = 1
    """Fewest layers of a group where boundaries are free."""


class SpaceSettings(Model):
    """A space file: what the search may propose. A list holds up to 64 choices; ranks go up to 65,536."""

    targets: Annotated[tuple[Targets, ...], Field(min_length=1, max_length=MOST_CHOICES)] = (("query", "value"),)
    """Choices of target lists; a target is a suffix of module names."""
    global_rank: Ranks = (0, 2, 4, 8, 16)
    """Choices of the rank of the update that all layers share; 0 is none."""
    mid_rank: Ranks = (0, 1, 2, 4, 8)
    """Choices of the rank of the update that the layers of a depth group share."""
    layer_rank: Ranks = (0, 1, 2, 4)
    """Choices of the rank of each layer's own update."""
    ranks: Annotated[tuple[tuple[Rank, Rank, Rank], ...], Field(min_length=1, max_length=MOST_LISTED)] | None = (
        None
    )
    """Combinations of the three ranks, such as [[8, 4, 2], [4, 4, 4]], and no others, in place of the lists."""
    per_group: PerGroup = PerGroup()
    groups: Groups = Groups()
    shape: Shape = Shape.ANY
    """`any`, `non-increasing` (present levels) or `geometric` (r, r/2, r/4)."""
    alpha: Annotated[tuple[ScalingNumerator, ...], Field(min_length=1, max_length=MOST_CHOICES)] = (16.0,)
    """Scaling numerators, up to 1,000,000."""
    scaling: Scaling = DEFAULT_SCALING
    """What a level of rank r is scaled by: `standard` (alpha / r) or `rank-stabilised` (alpha / sqrt r)."""
    learning_rate: RateChoices | None = None
    """Choices, {low, high, log}, or one number; absent: proxy.learning_rate."""

    @model_validator(mode="after")
    def _ranks_stand_alone(self) -> Self:
        fields = type(self).model_fields
        for name in ("global_rank", "mid_rank", "layer_rank"):
            if self.ranks is not None and getattr(self, name) != fields[name].default:
                raise misfit(name, "and ranks exclude each other; give one of them")
        return self

    @field_validator("learning_rate", "alpha", mode="before")
    @classmethod
    def _one_number_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int | float) else value

    @field_validator("global_rank", "mid_rank", "layer_rank", "alpha", "learning_rate", mode="after")
    @classmethod
    def _sorted_and_unique(cls, value: Any) -> Any:
        return tuple(sorted(set(value))) if isinstance(value, tuple) else value

    def for_depth(
        self,
        layers: int,
        default_rate: float,
        targets: tuple[tuple[str, ...], ...] | None = None,
        most_groups: int | None = None,
    ) -> SearchSpace:
        """The space for a stack of `layers` layers. Raises ValueError where nothing fits the depth.

        `targets`: what the choices are called in the model; `most_groups`: depth groups that fit it.
        """
        most = layers if most_groups is None else most_groups
        counts = [count for count in sorted(set(self.groups.count)) if count <= most]
        if not counts and most < layers and isinstance(self.groups.boundaries, str):
            raise ValueError(f"no number of groups in {list(self.groups.count)} fits the {most}-layer stack")
        match self.groups.boundaries:
            case "free":
                splits: FreeSplits | tuple[tuple[int, ...], ...] = FreeSplits(
                    tuple(counts or self.groups.count), self.groups.min_layers
                )
            case "uniform":
                splits = uniform_splits(layers, counts)
            case listed:
                splits = tuple(dict.fromkeys(split_by_fractions(parts, layers) for parts in listed))
                if (widest := max(len(parts) for parts in listed)) > most:
                    raise ValueError(f"{widest} depth groups do not fit the {most} layers of the shallower stack")
        rates: tuple[float, ...] | LogRange
        match self.learning_rate:
            case None:
                rates = (default_rate,)
            case RateRange(low=low, high=high, log=log):
                rates = LogRange(low, high, log)
            case choices:
                rates = choices
        lists = (self.global_rank, self.mid_rank, self.layer_rank)
        if self.ranks is not None:
            by_level = zip(*self.ranks, strict=True)
            lists = tuple(tuple(sorted(set(ranks))) for ranks in by_level)  # type: ignore[assignment]
        return SearchSpace(
            layers=layers,
            targets=self.targets if targets is None else targets,
            global_rank=lists[0],
            mid_rank=lists[1],
            layer_rank=lists[2],
            ranks=None if self.ranks is None else frozenset(self.ranks),
            splits=splits,
            mid_per_group=self.per_group.mid_rank,
            layer_per_group=self.per_group.layer_rank,
            shape=self.shape,
            alpha=self.alpha,
            learning_rate=rates,
            most_groups=most_groups,
            scaling=self.scaling,
        )
