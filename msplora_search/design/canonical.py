"""One form for all configurations that build the same model.

A model is known by its adapters: which layers share each, its rank and its alpha (of which one rule
for the whole pyramid makes a factor, see `scaling`). Where two levels span the same layers, or a
boundary separates nothing, several configurations have the same adapters; the form chosen here
depends on the adapters alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, permutations, product

from msplora_search.design.depth import DepthGroup

Alphas = tuple[float | None, float | None, float | None]
"""Scaling numerators of the global, mid and layer level; None where a level has none."""

GLOBAL, MID, LAYER = range(3)

Span = tuple[int, int]
"""Half-open range of the layers that share an adapter."""

Adapters = Mapping[Span, Sequence[tuple[int, float]]]
"""(rank, alpha) of the adapters of every span."""

Reading = tuple[int, tuple[DepthGroup, ...], Alphas]
"""Global rank, groups and alphas; an absent level has no alpha."""


def canonical_stack(global_rank: int, groups: Sequence[DepthGroup], alphas: Alphas) -> Reading:
    """The one configuration that stands for all with the same adapters."""
    adapters = _adapters(global_rank, groups, alphas)
    values = sorted({alpha for pairs in adapters.values() for _, alpha in pairs})
    found = (_read(adapters, groups[-1].stop, levels) for levels in product(values, repeat=3))
    return max((reading for reading in found if reading is not None), key=_preference)


def canonical_groups(groups: Iterable[DepthGroup]) -> tuple[DepthGroup, ...]:
    """Groups whose levels scale alike, without the boundaries that separate nothing.

    In a group of one layer the mid and the layer level are both that layer's own: the larger
    rank is written as `layer_rank`.
    """
    return _merge(_single_layer_order(group) if group.layers == 1 else group for group in groups)


def _single_layer_order(group: DepthGroup) -> DepthGroup:
    low, high = sorted((group.mid_rank, group.layer_rank))
    return replace(group, mid_rank=low, layer_rank=high)


def _merge(groups: Iterable[DepthGroup]) -> tuple[DepthGroup, ...]:
    """Join neighbours that have no mid level and the same layer rank."""
    merged: list[DepthGroup] = []
    for group in groups:
        last = merged[-1] if merged else None
        if last and not last.mid_rank and not group.mid_rank and last.layer_rank == group.layer_rank:
            merged[-1] = replace(last, stop=group.stop)
        else:
            merged.append(group)
    return tuple(merged)


def _adapters(global_rank: int, groups: Sequence[DepthGroup], alphas: Alphas) -> Adapters:
    found: dict[Span, list[tuple[int, float]]] = defaultdict(list)

    def add(span: Span, rank: int, alpha: float | None) -> None:
        if rank and alpha is not None:
            found[span].append((rank, alpha))

    add((0, groups[-1].stop), global_rank, alphas[GLOBAL])
    for group in groups:
        add((group.start, group.stop), group.mid_rank, alphas[MID])
        for layer in range(group.start, group.stop):
            add((layer, layer + 1), group.layer_rank, alphas[LAYER])
    return {span: sorted(pairs, reverse=True) for span, pairs in found.items()}


def _read(adapters: Adapters, layers: int, alphas: tuple[float, ...]) -> Reading | None:
    """The adapters as levels with these alphas; None where that cannot be."""
    global_rank, own = 0, [0] * layers
    mids: dict[Span, int] = {}
    for span, pairs in adapters.items():
        levels = _place(pairs, _levels(span, layers), alphas)
        if levels is None:
            return None
        for level, (rank, _) in zip(levels, pairs, strict=True):
            if level == GLOBAL:
                global_rank = rank
            elif level == MID:
                mids[span] = rank
            else:
                own[span[0]] = rank
    groups = _groups(mids, own)
    if groups is None:
        return None
    present = (global_rank > 0, bool(mids), any(own))
    kept = [alpha if here else None for alpha, here in zip(alphas, present, strict=True)]
    return global_rank, groups, (kept[GLOBAL], kept[MID], kept[LAYER])


def _levels(span: Span, layers: int) -> tuple[int, ...]:
    """The levels that can span these layers, the one for the largest rank first."""
    single, whole = span[1] - span[0] == 1, span == (0, layers)
    if single and whole:
        return LAYER, MID, GLOBAL
    if single:
        return LAYER, MID
    return (GLOBAL, MID) if whole else (MID,)


def _place(
    pairs: Sequence[tuple[int, float]], levels: tuple[int, ...], alphas: tuple[float, ...]
) -> tuple[int, ...] | None:
    """A level for each adapter of a span, larger ranks first; None where the alphas do not allow it."""
    asked = [alpha for _, alpha in pairs]
    for chosen in permutations(levels, len(pairs)):
        if [alphas[level] for level in chosen] == asked:
            return chosen
    return None


def _groups(mids: Mapping[Span, int], own: Sequence[int]) -> tuple[DepthGroup, ...] | None:
    """Groups with these mid ranks and layer ranks; None where the spans overlap or hold unequal layer ranks."""
    groups: list[DepthGroup] = []
    layer = 0
    for (start, stop), rank in [*sorted(mids.items()), ((len(own), len(own)), 0)]:
        if start < layer or len(set(own[start:stop])) > 1:
            return None
        for equal, run in groupby(range(layer, start), own.__getitem__):
            layers = list(run)
            groups.append(DepthGroup(layers[0], layers[-1] + 1, 0, equal))
        groups += [DepthGroup(start, stop, rank, own[start])] if rank else []
        layer = stop
    return tuple(groups)


def _preference(reading: Reading) -> tuple[object, ...]:
    """As much as can be at the global level, then at the layer level; the rest makes the order total."""
    global_rank, groups, alphas = reading
    own = sum(group.layers * group.layer_rank for group in groups)
    return global_rank, own, groups, tuple(alpha or 0.0 for alpha in alphas)
