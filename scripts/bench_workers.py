"""What a search loses by several workers: replays at equal trials, with trials that run while others are proposed.

    python -m scripts.bench_workers --tables digits tiny --workers 8 --seeds 30

Workers train at the same speed, each asks for its next trial when its last has ended, and sees of those of the
others what they have shown by then (`replay.py`). Prints the regret (see `bench_search.py`; the smallest
configuration being given) after as many trials for one worker and for several, and how much more the several have,
with a 95% interval over seeds: of the mean over seeds, in points and as a share.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from scripts.replay import TableBench, replay
from scripts.tables import FOLDER, Table

TRIALS = (12, 18, 24, 36)


def main() -> None:
    """Replay and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["digits", "tiny"])
    parser.add_argument("--workers", type=int, nargs="+", default=[8])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    for name in options.tables:
        crews = [1, *options.workers]
        with get_context("spawn").Pool(options.processes) as pool:
            found = pool.starmap(search, product([name], crews, range(options.seeds)), chunksize=1)
        regrets = np.array(found).reshape(len(crews), options.seeds, len(TRIALS))
        print(f"\n{name}: mean regret in points of {options.seeds} seeds, after so many trials")
        print(f"{'workers':12}" + "".join(f"{count:>10}" for count in TRIALS))
        for crew, each in zip(crews, regrets, strict=True):
            print(f"{crew:<12}" + "".join(f"{one:>10.3f}" for one in each.mean(axis=0)))
        for crew, each in zip(crews[1:], regrets[1:], strict=True):
            more = each - regrets[0]
            half = 2 * more.std(axis=0, ddof=1) / np.sqrt(options.seeds)
            for count, one, margin, serial in zip(
                TRIALS, more.mean(axis=0), half, regrets[0].mean(axis=0), strict=True
            ):
                print(
                    f"{crew} workers after {count} trials: {one:+.3f} points ({one - margin:+.3f} to "
                    f"{one + margin:+.3f}), {one / serial:+.0%}", flush=True,
                )  # fmt: skip


def search(name: str, workers: int, seed: int) -> list[float]:
    """Regrets of one replay."""
    table = Table.load(FOLDER / f"{name}.npz")
    settings = table.settings(
        search={"sampler": "front", "seed": seed, "trials": TRIALS[-1], "baselines": [], "noise_repeats": 0},
        pruning={"rule": "none"},
    )
    with tempfile.TemporaryDirectory() as folder:
        done = replay(TableBench(settings, table, seed % len(table.seeds)), Path(folder), workers)
    regrets = done.regrets(given_cheapest=True)[1]
    return [100 * float(regrets[count - 1]) for count in TRIALS]


if __name__ == "__main__":
    main()
