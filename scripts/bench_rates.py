"""Whether one learning rate serves all shapes: what each reaches at each rate, and what a search loses by one.

    python -m scripts.bench_rates --table digits --seeds 30

First the mean accuracy of the pyramids that use the same levels, at each rate of the table. Then what the best
rate adds, chosen on all seeds of the table but one and judged on that one, in turn: one for all, one for each set
of levels, one for each pyramid. Last the regret of `front` below the envelope of the whole table, the smallest
configuration being given (see `bench_search.py`), where its space holds one rate, two, or all of them, and where
it holds one, which is raised to the next for pyramids without a layer level.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msplora_search.design.pyramid import Pyramid
from scripts.replay import TableBench, replay
from scripts.tables import FOLDER, Table

PROXIES = (6, 12, 18, 24, 36)
Floats = NDArray[np.float64]


def main() -> None:
    """Tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="digits")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    table = Table.load(FOLDER / f"{options.table}.npz")
    tell_by_levels(table)
    sets = [rates for count in (1, 2, len(table.rates)) for rates in combinations(table.rates, count)]
    ways = [(rates, False) for rates in dict.fromkeys(sets)] + [((rate,), True) for rate in table.rates[:-1]]
    jobs = [(options.table, *way, seed) for way in ways for seed in range(options.seeds)]
    with get_context("spawn").Pool(options.processes) as pool:
        found = dict(zip(jobs, pool.starmap(search, jobs, chunksize=1), strict=True))
    print(f"\nregret of front in points, median (quartiles) of {options.seeds} seeds after so many full proxies")
    print(f"{'rates':24}" + "".join(f"{count:>20}" for count in PROXIES))
    for rates, raised in ways:
        each = np.array([found[options.table, rates, raised, seed] for seed in range(options.seeds)])
        middle = np.quantile(each, [0.25, 0.5, 0.75], axis=0).T
        cells = (f"{m:.2f} ({low:.2f}-{high:.2f})" for low, m, high in middle)
        name = ", ".join(f"{rate:g}" for rate in rates) + ", or the next" * raised
        print(f"{name:24}" + "".join(f"{cell:>20}" for cell in cells))


def tell_by_levels(table: Table) -> None:
    """What pyramids reach by levels and rate."""
    right = np.concatenate([table.judging, table.validation[:, :, :, -1]], axis=-1)
    metrics = np.where(np.isnan(table.losses).any(axis=-1), table.chance, right.mean(axis=-1))
    levels = [levels_of(pyramid) for pyramid in table.pyramids]
    print(f"{'levels':24}{'pyramids':>10}" + "".join(f"{rate:>10g}" for rate in table.rates))
    for name in sorted(set(levels)):
        some = metrics[[one == name for one in levels]]
        print(f"{name:24}{len(some):>10}" + "".join(f"{100 * one:>10.2f}" for one in some.mean(axis=(0, 2))))
    if len(table.seeds) > 1:
        for said, of in (("one rate", [0] * len(levels)), ("one of each set of levels", levels),
                         ("one of each pyramid", list(range(len(levels))))):  # fmt: skip
            print(f"{said}: {100 * chosen(metrics, of):.2f}")


def levels_of(pyramid: Pyramid) -> str:
    """The names of those whose rank is not 0."""
    mid, layer = (any(ranks) for ranks in zip(*((g.mid_rank, g.layer_rank) for g in pyramid.groups), strict=True))
    return "+".join(
        name for name, there in (("global", pyramid.global_rank), ("mid", mid), ("layer", layer)) if there
    )


def chosen(metrics: Floats, groups: Sequence[Hashable]) -> float:
    """Mean of metrics (pyramids, rates, seeds) at the rate that is best for a group on the other seeds."""
    places = {group: np.array([one == group for one in groups]) for group in set(groups)}
    found: list[Floats] = []
    for seed in range(metrics.shape[2]):
        others = np.delete(metrics, seed, axis=2).mean(axis=2)
        found += [metrics[some, others[some].mean(axis=0).argmax(), seed] for some in places.values()]
    return float(np.concatenate(found).mean())


def next_for_shared(table: Table, pyramid: Pyramid, rate: float) -> float:
    """The rate, or the table's next where nothing is a layer's own."""
    return rate if "layer" in levels_of(pyramid) else table.rates[table.rates.index(rate) + 1]


def search(name: str, rates: tuple[float, ...], raised: bool, seed: int) -> list[float]:
    """Regrets of one replay; `raised`: pyramids without a layer level are trained at the next rate."""
    table = Table.load(FOLDER / f"{name}.npz")
    settings = table.settings(
        search={"sampler": "front", "seed": seed, "trials": PROXIES[-1], "baselines": [], "noise_repeats": 0},
        pruning={"rule": "none"},
    )
    bench = TableBench(settings, table, seed % len(table.seeds), rates=rates)
    if raised:
        bench = replace(bench, rate_of=lambda pyramid, rate: next_for_shared(table, pyramid, rate))
    with tempfile.TemporaryDirectory() as folder:
        done = replay(bench, Path(folder))
    regrets = done.regrets(given_cheapest=True)[1]
    return [100 * float(regrets[count - 1]) for count in PROXIES]


if __name__ == "__main__":
    main()
