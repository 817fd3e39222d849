"""One form for all configurations that build the same model.

The levels differ only in which layers share an adapter. Where two levels span the same layers,
or a boundary separates nothing, several configurations describe one model; these rules pick one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msplora_search.design.depth import DepthGroup

Alphas = tuple[float | None, float | None, float | None]
"""Scaling numerators of the global, mid and layer level; None where a level has none."""


def canonical_stack(
    global_rank: int, groups: Sequence[DepthGroup], alphas: Alphas
) -> tuple[int, tuple[DepthGroup, ...], Alphas]:
    """Canonical global rank, groups and alphas of a stack; absent levels come back without alpha."""
    alphas = _fill_absent(alphas, _present(global_rank, groups))
    if all(group.layers == 1 for group in groups):
        groups, alphas = _order_levels_of_single_layers(groups, alphas)
    groups = canonical_groups(groups, mid_is_layer=alphas[1] == alphas[2])
    if len(groups) == 1:
        global_rank, groups, alphas = _order_levels_of_one_group(global_rank, groups[0], alphas)
    present = _present(global_rank, groups)
    kept = tuple(alpha if here else None for alpha, here in zip(alphas, present, strict=True))
    return global_rank, groups, (kept[0], kept[1], kept[2])


def canonical_groups(groups: Sequence[DepthGroup], mid_is_layer: bool = True) -> tuple[DepthGroup, ...]:
    """Drop boundaries that separate nothing.

    In a group of one layer the mid and the layer level are both that layer's own; where they
    scale alike (`mid_is_layer`) the larger rank is written as `layer_rank`.
    """
    merged: list[DepthGroup] = []
    for group in groups:
        canonical = _single_layer_order(group) if group.layers == 1 and mid_is_layer else group
        last = merged[-1] if merged else None
        if last and not last.mid_rank and not canonical.mid_rank and last.layer_rank == canonical.layer_rank:
            merged[-1] = replace(last, stop=canonical.stop)
        else:
            merged.append(canonical)
    return tuple(merged)


def _single_layer_order(group: DepthGroup) -> DepthGroup:
    low, high = sorted((group.mid_rank, group.layer_rank))
    return replace(group, mid_rank=low, layer_rank=high)


def _order_levels_of_single_layers(
    groups: Sequence[DepthGroup], alphas: Alphas
) -> tuple[Sequence[DepthGroup], Alphas]:
    """Every group holds one layer: mid and layer level are interchangeable as a whole."""
    over_all, mid, layer = alphas
    if mid is None or layer is None or mid <= layer:
        return groups, alphas
    swapped = [replace(g, mid_rank=g.layer_rank, layer_rank=g.mid_rank) for g in groups]
    return swapped, (over_all, layer, mid)


def _order_levels_of_one_group(
    global_rank: int, group: DepthGroup, alphas: Alphas
) -> tuple[int, tuple[DepthGroup, ...], Alphas]:
    """One group spans the stack: the global and the mid level are interchangeable."""
    pairs = list(zip((global_rank, group.mid_rank, group.layer_rank), alphas, strict=True))
    if group.layers == 1:  # and so is the layer level
        pairs.sort(key=_rank_then_alpha)
    else:
        pairs[:2] = sorted(pairs[:2], key=_rank_then_alpha, reverse=True)
    (first, alpha_first), (mid, alpha_mid), (layer, alpha_layer) = pairs
    return first, (replace(group, mid_rank=mid, layer_rank=layer),), (alpha_first, alpha_mid, alpha_layer)


def _rank_then_alpha(pair: tuple[int, float | None]) -> tuple[int, float]:
    return pair[0], pair[1] or 0.0


def _present(global_rank: int, groups: Sequence[DepthGroup]) -> tuple[bool, bool, bool]:
    return global_rank > 0, any(g.mid_rank for g in groups), any(g.layer_rank for g in groups)


def _fill_absent(alphas: Alphas, present: tuple[bool, bool, bool]) -> Alphas:
    """Give an absent level the alpha of the level that it could stand in for."""
    over_all, mid, layer = (alpha if here else None for alpha, here in zip(alphas, present, strict=True))
    layer = mid if layer is None else layer
    mid = layer if mid is None else mid
    return (mid if over_all is None else over_all), mid, layer
