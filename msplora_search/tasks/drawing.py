"""How the rows of a part are drawn: one by one, or in whole groups where rows belong together."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
FEWEST = 2
"""Rows of a part that something is to be learned or measured on."""


def shuffled(rows: Integers, groups: Integers | None, generator: np.random.Generator) -> Integers:
    """The rows in random order; with the group of every row of the table, groups in random order, one by one.

    A group for each row gives the order of no groups.
    """
    if groups is None:
        return generator.permutation(rows)
    own = groups[rows]
    present, first = np.unique(own, return_index=True)
    order = generator.permutation(present[np.argsort(first)])
    place = np.empty(len(groups), dtype=np.int64)
    place[order] = np.arange(len(order))
    return rows[np.argsort(place[own], kind="stable")]


def cut(order: Integers, groups: Integers | None, wanted: int, spare: int = 0) -> tuple[Integers, Integers]:
    """The first `wanted` of `order`, and the rest; with groups, about as many rows in whole groups.

    Groups are taken in their order where they still fit. The smallest that is left comes on top where that brings
    the part nearer to `wanted`, or where it had fewer than two rows: so it has less than twice what is wanted
    wherever two rows can be had for that. `order` holds each group in one piece, as `shuffled` does.

    At least `spare` groups are left for other parts. With `spare`, no more than half of those that fit are taken,
    or `wanted`'s share of them: beside one large group, a single part would have all the small ones.
    """
    if groups is None:
        return order[:wanted], order[wanted:]
    sizes = _sizes(order, groups)
    taken = _fitting(sizes, wanted, spare)
    left = np.flatnonzero(~taken)
    if len(left) > spare:
        smallest = left[np.argmin(sizes[left])]
        had = sizes[taken].sum()
        if had < min(FEWEST, wanted) or sizes[smallest] < 2 * (wanted - had):
            taken[smallest] = True
    kept = np.repeat(taken, sizes)
    return order[kept], order[~kept]


def within(order: Integers, groups: Integers | None, most: int) -> Integers:
    """The first of `order`, at most `most` rows; with groups, those that fit, in whole groups."""
    if groups is None:
        return order[:most]
    sizes = _sizes(order, groups)
    return order[np.repeat(_fitting(sizes, most, 0), sizes)]


def _sizes(order: Integers, groups: Integers) -> Integers:
    """Rows of each group, in the order of the groups."""
    own = groups[order]
    starts = np.flatnonzero(np.diff(own, prepend=-1))
    return np.diff(starts, append=len(own))


def _fitting(sizes: Integers, most: int, spare: int) -> NDArray[np.bool_]:
    """Which groups are taken, one after the other, when each has to fit into what `most` rows leave: see `cut`."""
    taken = np.zeros(len(sizes), dtype=np.bool_)
    room, free = most, len(sizes) - spare
    if spare and len(sizes):
        fit = int((sizes <= most).sum())
        free = min(free, max(math.ceil(most * fit / sizes.sum()), math.ceil(fit / 2)))
    for place, size in enumerate(sizes.tolist()):
        if not room or free <= 0:
            break
        if size <= room:
            taken[place] = True
            room, free = room - size, free - 1
    return taken
