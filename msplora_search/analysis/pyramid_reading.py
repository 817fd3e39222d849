"""A folder of `save_pyramid` as plain updates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from msplora_search.adapters.pyramid_file import ANEW, Saved, read_saved
from msplora_search.analysis.updates import Floats, Place, Trained, Update
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.scaling import LEVELS
from msplora_search.files import damaged
from msplora_search.text import brief

KEY = re.compile(r"(global|mid|layer)\.(\d{1,4})\.(.+)\.(\d{1,7})x(\d{1,7})\.([AB])")
"""Names of `AdapterBank.state`."""
Key = tuple[str, int, Place]


def read_pyramid(folder: Path, name: str) -> Trained:
    """The updates of each level. Raises InputError where the folder is damaged."""
    saved = read_saved(folder)
    updates = _updates(saved)
    stacks = {place.stack for _, _, place in updates}
    depth_of = {stack: _depth(stack, updates, saved.pyramid) for stack in stacks}
    levels: dict[str, dict[tuple[Place, int], Update]] = {}
    for place in {place for _, _, place in updates}:
        own = saved.pyramid
        if depth_of[place.stack] != own.layers:
            own = own.at_depth(depth_of[place.stack])
        for layer in range(own.layers):
            keys = _keys(own, layer, place)
            if all(key in updates for key in keys):  # a layer may lack the target, or have it in another shape
                for key in keys:
                    levels.setdefault(key[0], {})[place, layer] = updates[key]
    ordered = {level: levels[level] for level in LEVELS if level in levels}
    boundaries = (0, *(group.stop for group in saved.pyramid.groups))
    return Trained(name, "pyramid", saved.pyramid.layers, ordered, boundaries, _notes(depth_of, saved.pyramid))


def _keys(pyramid: Pyramid, layer: int, place: Place) -> list[Key]:
    """Of the adapters that a site has."""
    at = pyramid.group_of(layer)
    group = pyramid.groups[at]
    every = (
        ("global", 0, pyramid.global_rank),
        ("mid", at, group.mid_rank),
        ("layer", layer, group.layer_rank),
    )
    return [(level, index, place) for level, index, rank in every if rank]


def _updates(saved: Saved) -> dict[Key, Update]:
    factors: dict[Key, dict[str, Floats]] = {}
    for key, factor, tensor in _parsed(saved):
        factors.setdefault(key, {})[factor] = np.asarray(tensor.double().numpy())
    pyramid, found = saved.pyramid, {}
    alphas = dict(zip(LEVELS, pyramid.alpha.levels, strict=True))
    for key, pair in factors.items():
        level, index, place = key
        said = f"{level}.{index}.{brief(place.target)}"
        alpha = alphas[level]
        if pair.keys() != {"A", "B"} or alpha is None:
            raise damaged(saved.file, f"{said} lacks a factor, or an alpha", ANEW)
        down, up = pair["A"], pair["B"]
        if down.ndim != 2 or up.ndim != 2 or (up.shape[0], down.shape[1]) != (place.d_out, place.d_in):
            raise damaged(saved.file, f"{said} has factors of shape {down.shape} and {up.shape}", ANEW)
        if len(down) != up.shape[1] or not len(down):
            raise damaged(saved.file, f"{said} has ranks {len(down)} and {up.shape[1]}", ANEW)
        found[key] = Update(down * pyramid.scaling.factor(alpha, len(down)), up)
    if not found:
        raise damaged(saved.file, "it holds no adapter", ANEW)
    return found


def _parsed(saved: Saved) -> Iterator[tuple[Key, str, Tensor]]:
    stack = saved.config.get("stack")
    stacks = stack.split(", ") if isinstance(stack, str) else []
    for name, tensor in saved.adapters.items():
        match = KEY.fullmatch(name)
        if match is None:
            raise damaged(saved.file, f"{brief(name)} is no name of an adapter", ANEW)
        level, index, target, d_in, d_out, factor = match.groups()
        own = next((s for s in stacks if len(stacks) > 1 and target.startswith(f"{s}.")), stack or "")
        place = Place(str(own), target.removeprefix(f"{own}."), int(d_in), int(d_out))
        yield (level, int(index), place), factor, tensor


def _depth(stack: str, updates: dict[Key, Update], pyramid: Pyramid) -> int:
    """By the layers that have an adapter of their own, where all have one; else that of the pyramid."""
    if not all(group.layer_rank for group in pyramid.groups):
        return pyramid.layers
    return 1 + max(index for level, index, place in updates if level == "layer" and place.stack == stack)


def _notes(depth_of: dict[str, int], pyramid: Pyramid) -> tuple[str, ...]:
    if all(group.layer_rank for group in pyramid.groups):
        return ()
    said = "Some layers have no adapter of their own, so that they have every target in every shape is assumed"
    return (f"{said}; so is the depth of each stack." if len(depth_of) > 1 else f"{said}.",)
