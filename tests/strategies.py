"""Hypothesis strategies shared by all tests; every size is small enough for brute force."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray

from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.scaling import Scaling
from msplora_search.design.space import LogRange, SearchSpace, Shape
from msplora_search.design.splits import FreeSplits
from msplora_search.results.records import Evaluation
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import METRICS

Boundaries = tuple[int, ...]


def all_boundaries(layers: int, groups: int) -> Iterator[Boundaries]:
    """Every split of `layers` layers into `groups` groups of at least one layer."""
    for cuts in combinations(range(1, layers), groups - 1):
        yield (0, *cuts, layers)


def boundaries(layers: int, most_groups: int | None = None) -> st.SearchStrategy[Boundaries]:
    """Boundaries 0, ..., layers."""
    most_cuts = min(layers, most_groups or layers) - 1
    if most_cuts == 0:
        return st.just((0, layers))
    cuts = st.sets(st.integers(1, layers - 1), max_size=most_cuts)
    return cuts.map(lambda inner: (0, *sorted(inner), layers))


@st.composite
def depth_groups(
    draw: st.DrawFn, layers: int, ranks: st.SearchStrategy[int], most_groups: int | None = None
) -> list[DepthGroup]:
    """Depth groups that partition `layers` layers."""
    split = draw(boundaries(layers, most_groups))
    return [DepthGroup(a, b, draw(ranks), draw(ranks)) for a, b in pairwise(split)]


@dataclass(frozen=True)
class RawPyramid:
    """A configuration as a user would write it, before it becomes canonical."""

    global_rank: int
    groups: tuple[DepthGroup, ...]
    alphas: tuple[float, float, float]
    targets: tuple[str, ...] = ("query", "value")
    scaling: Scaling = Scaling.STANDARD

    def build(self) -> Pyramid:
        alpha = dict(zip(("global", "mid", "layer"), self.alphas, strict=True))
        return Pyramid(self.global_rank, self.groups, self.targets, alpha, self.scaling)

    def factor(self, alpha: float, rank: int) -> float:
        """The factor of an adapter, as the papers define it."""
        return alpha / rank if self.scaling == "standard" else alpha / math.sqrt(rank)

    @property
    def is_empty(self) -> bool:
        return not (self.global_rank or any(g.mid_rank or g.layer_rank for g in self.groups))


def scalings() -> st.SearchStrategy[Scaling]:
    """Either scaling."""
    return st.sampled_from(Scaling)


@st.composite
def raw_pyramids(
    draw: st.DrawFn,
    layers: st.SearchStrategy[int] | None = None,
    ranks: st.SearchStrategy[int] | None = None,
    alphas: st.SearchStrategy[float] | None = None,
) -> RawPyramid:
    """Configurations with at least one adapter, of either scaling.

    No ratio of two of the default alphas is the root of a rank, so that only at rank 1 the scalings agree.
    """
    depth = draw(st.integers(1, 12) if layers is None else layers)
    ranks = st.sampled_from([0, 0, 1, 2, 4, 8]) if ranks is None else ranks
    alphas = st.sampled_from([8.0, 24.0, 0.5]) if alphas is None else alphas
    groups = tuple(draw(depth_groups(depth, ranks)))
    levels = draw(st.tuples(alphas, alphas, alphas) | alphas.map(lambda a: (a, a, a)))
    raw = RawPyramid(draw(ranks), groups, levels, scaling=draw(scalings()))
    assume(not raw.is_empty)
    return raw


def pyramids(layers: st.SearchStrategy[int] | None = None) -> st.SearchStrategy[Pyramid]:
    """Canonical pyramids of 1 to 12 layers."""
    return raw_pyramids(layers).map(RawPyramid.build)


def uniform_pyramids(layers: int) -> st.SearchStrategy[Pyramid]:
    """Pyramids of one alpha, the only ones that a space can hold."""
    alphas = st.sampled_from([8.0, 16.0]).map(lambda a: (a, a, a))
    ranks = st.sampled_from([0, 1, 2, 4])
    groups = depth_groups(layers, ranks).map(tuple)
    raw = st.builds(RawPyramid, ranks, groups, alphas, st.just(("q",)), scalings())
    return raw.filter(lambda r: not r.is_empty).map(RawPyramid.build)


def rank_choices() -> st.SearchStrategy[tuple[int, ...]]:
    """One to three sorted ranks."""
    return st.sets(st.sampled_from([0, 1, 2, 4]), min_size=1, max_size=3).map(lambda r: tuple(sorted(r)))


@st.composite
def search_spaces(draw: st.DrawFn, most_layers: int = 5) -> SearchSpace:
    """Spaces of every kind: free and fixed splits, shapes, ranks per group, several targets, alphas, scalings."""
    layers = draw(st.integers(1, most_layers))
    mid_per_group, layer_per_group = draw(st.booleans()), draw(st.booleans())
    most_groups = 3 if mid_per_group and layer_per_group else layers
    counts = st.sets(st.integers(1, min(layers, most_groups)), min_size=1, max_size=3)
    free = st.builds(FreeSplits, counts.map(lambda c: tuple(sorted(c))), st.integers(1, 2))
    fixed = st.lists(boundaries(layers, most_groups), min_size=1, max_size=3, unique=True).map(tuple)
    splits: FreeSplits | tuple[Boundaries, ...] = draw(free | fixed)
    assume(not isinstance(splits, FreeSplits) or splits.fitting(layers))
    learning_rates: st.SearchStrategy[tuple[float, ...] | LogRange]
    learning_rates = st.sampled_from([(2e-3,), (1e-3, 2e-3)]) | st.just(LogRange(1e-4, 1e-2))
    try:
        return SearchSpace(
            layers=layers,
            targets=draw(st.sampled_from([(("q",),), (("q",), ("v", "q")), (("q", "v"), ("v", "q"))])),
            global_rank=draw(rank_choices()),
            mid_rank=draw(rank_choices()),
            layer_rank=draw(rank_choices()),
            splits=splits,
            mid_per_group=mid_per_group,
            layer_per_group=layer_per_group,
            shape=draw(st.sampled_from(list(Shape))),
            alpha=draw(st.sampled_from([(16.0,), (8.0, 16.0)])),
            learning_rate=draw(learning_rates),
            scaling=draw(scalings()),
        )
    except ValueError:  # the ranks drawn do not have the shape drawn
        assume(False)
        raise


def rates() -> st.SearchStrategy[float]:
    """Learning rates."""
    return st.floats(1e-8, 0.5)


def _sorted_pair(low: float, high: float) -> dict[str, Any]:
    return {"low": min(low, high), "high": max(low, high), "log": True}


def space_fields() -> st.SearchStrategy[dict[str, Any]]:
    """The content of a space file; any field may be absent."""
    ranks = st.lists(st.integers(0, 64), min_size=1, max_size=4)
    suffixes = st.lists(st.text("abcdefgh._", min_size=1, max_size=12), min_size=1, max_size=3)
    parts = st.lists(st.floats(0.5, 100), min_size=1, max_size=4)
    positive = st.floats(1e-3, 1e3)
    interval = st.builds(_sorted_pair, rates(), rates()).filter(lambda pair: pair["low"] < pair["high"])
    groups = st.fixed_dictionaries(
        {},
        optional={
            "count": st.lists(st.integers(1, 6), min_size=1, max_size=4),
            "boundaries": st.sampled_from(["free", "uniform"]) | st.lists(parts, min_size=1, max_size=3),
            "min_layers": st.integers(1, 3),
        },
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "targets": st.lists(suffixes, min_size=1, max_size=2),
            "global_rank": ranks,
            "mid_rank": ranks,
            "layer_rank": ranks,
            "per_group": st.fixed_dictionaries({"mid_rank": st.booleans(), "layer_rank": st.booleans()}),
            "groups": groups,
            "shape": st.sampled_from(["any", "non-increasing", "geometric"]),
            "alpha": positive | st.lists(positive, min_size=1, max_size=3),
            "scaling": st.sampled_from(["standard", "rank-stabilised"]),
            "learning_rate": rates() | st.lists(rates(), min_size=1, max_size=3) | interval,
        },
    )


def study_fields() -> st.SearchStrategy[dict[str, Any]]:
    """The content of a study file, its space inline; any optional field may be absent."""
    column = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=10)
    ladder = st.lists(st.integers(1, 64), min_size=1, max_size=3).map(lambda r: {"lora": r})
    paper = st.integers(1, 64).map(lambda r: {"paper": r})
    source = st.fixed_dictionaries(
        {"path": st.just("org/some-data")}, optional={"name": column, "split": column, "revision": column}
    )
    task = st.fixed_dictionaries(
        {"dataset": st.just("demo:movie-reviews") | source},
        optional={
            "text": column | st.lists(column, min_size=1, max_size=2, unique=True),
            "label": column,
            "metric": st.sampled_from(["accuracy", "f1", "matthews"]),
            "max_length": st.integers(8, 512),
            "group": column,
        },
    ).filter(lambda fields: fields.get("group") != fields.get("label", "label"))
    search = st.fixed_dictionaries(
        {},
        optional={
            "trials": st.integers(0, 1000),
            "time": st.sampled_from(["90s", "30min", "1h30min", "2d"]),
            "steps": st.integers(1, 10**6),
            "until": st.just("converged"),
            "sampler": st.sampled_from(["front", "tpe", "nsga2", "gp", "random"]),
            "seed": st.integers(0, 2**31 - 1),
            "max_params": st.none() | st.integers(1, 10**9),
            "baselines": st.lists(st.sampled_from(["paper", "lora"]) | ladder | paper, max_size=3),
            "warm_start": st.lists(column, max_size=2),
        },
    )
    early = st.lists(st.floats(0.01, 0.99), max_size=3, unique=True).map(sorted)
    schedule = {
        "epochs": st.floats(0.1, 100),
        "batch_size": st.integers(1, 512),
        "learning_rate": rates(),
        "weight_decay": st.floats(0, 1),
        "warmup_ratio": st.floats(0, 0.99),
    }
    proxy = st.fixed_dictionaries(
        {},
        optional={
            **schedule,
            "train_examples": st.integers(1, 10**6),
            "validation_examples": st.integers(1, 10**6),
            "judging_examples": st.integers(0, 10**6),
            "rungs": early.map(lambda rungs: [*rungs, 1.0]),
            "precision": st.sampled_from(["auto", "fp32", "bf16"]),
            "dropout": st.booleans(),
        },
    )
    pruning = st.fixed_dictionaries(
        {},
        optional={
            "rule": st.sampled_from(["envelope", "none"]),
            "chance": st.floats(0, 1),
        },
    )
    return st.fixed_dictionaries(
        {
            "name": st.from_regex(r"[a-z0-9][A-Z0-9._-]{0,11}[A-Z0-9]", fullmatch=True),
            "model": st.just("org/m"),
            "task": task,
        },
        optional={
            "space": space_fields(),
            "search": search,
            "proxy": proxy,
            "pruning": pruning,
            "training": st.fixed_dictionaries({}, optional=schedule),
            "trust_remote_code": st.booleans(),
        },
    )


def points(most: int = 8) -> st.SearchStrategy[list[tuple[float, float]]]:
    """(metric, cost) pairs from a coarse grid, so that ties and repeats are common."""
    grid = st.integers(0, 5).map(lambda i: i / 5)
    return st.lists(st.tuples(grid, st.integers(1, 6).map(float)), max_size=most)


@st.composite
def groups_of_rows(draw: st.DrawFn, smallest: int = 1, largest: int = 40, fewest: int = 1) -> NDArray[np.int64]:
    """The group of each row of a table, counted as they appear; rows of a group lie anywhere."""
    sizes = draw(st.lists(st.integers(smallest, largest), min_size=fewest, max_size=30))
    mixed = np.random.default_rng(draw(st.integers(0, 1000))).permutation(np.repeat(np.arange(len(sizes)), sizes))
    _, first, found = np.unique(mixed, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[found].astype(np.int64)


def evaluation(right: list[bool], rung: float = 1.0, step: int = 1) -> Evaluation:
    """An accuracy measurement of a binary task whose labels are all 1."""
    judge = Judge(METRICS["accuracy"], np.ones(len(right), dtype=np.int64))
    measured = judge.measure(np.array(right, dtype=np.int64))
    return Evaluation(**vars(measured), rung=rung, step=step, loss=0.5)


def evaluations(examples: int = 12, rung: float = 0.5) -> st.SearchStrategy[Evaluation]:
    """Measurements over the same `examples` validation examples."""
    return st.lists(st.booleans(), min_size=examples, max_size=examples).map(lambda r: evaluation(r, rung))
