"""Is it true what a search says at its end? Its forecast of further gain, and `until: converged`, by replays.

    python -m scripts.bench_ending --tables tiny digits --seeds 30

The sampler `front` searches each table once a seed for `--trials` proposals, without pruning. After some numbers
of proposals its model is asked what the next twelve will add to the mean of the envelope over log parameters;
printed are the medians over seeds of what it expects and of what they added, by the table's truth, and the share
of searches in which they added more than twice what was expected. Then when `until: converged` would have ended
the search, and what the rest of the proposals still added.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from msplora_search.search.model.candidates import Ground
from msplora_search.search.model.choosing import INITIAL
from msplora_search.search.model.features import Features
from msplora_search.search.model.forecast import Forecaster
from scripts.replay import TableBench, replay
from scripts.tables import FOLDER, Table

ASKED, NEXT = (8, 12, 18, 24, 36), 12


@dataclass(frozen=True)
class Told:
    """Of one search."""

    expected: tuple[float, ...]
    """After the proposals of `ASKED`, of the next ones."""
    added: tuple[float, ...]
    converged: int
    """Proposals after which the front would have counted as converged; all of them where it never did."""
    missed: float
    """What those after that still added."""


def main() -> None:
    """Replay and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["tiny", "digits"], help="names, or paths of .npz files")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--trials", type=int, default=72)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    for name in options.tables:
        path = Path(name) if name.endswith(".npz") else FOLDER / f"{name}.npz"
        with get_context("spawn").Pool(options.processes) as pool:
            found = pool.starmap(
                search, [(path, seed, options.trials) for seed in range(options.seeds)], chunksize=1
            )
        expected, added = (100 * np.array([getattr(one, of) for one in found]) for of in ("expected", "added"))
        print(f"\n{path.stem}: points that the next {NEXT} proposals add, expected and true (medians)")
        for i, count in enumerate(ASKED):
            more = np.mean(added[:, i] > 2 * expected[:, i])
            print(f"after {count:3}: {np.median(expected[:, i]):.2f} {np.median(added[:, i]):.2f}   "
                  f"more than twice in {more:.0%} of the searches")  # fmt: skip
        ends = np.quantile([one.converged for one in found], [0.25, 0.5, 0.75])
        missed = 100 * np.quantile([one.missed for one in found], [0.5, 0.9])
        rest = f"the rest adds {missed[0]:.2f} points, in one of ten searches more than {missed[1]:.2f}"
        span = f"{ends[1]:.0f} ({ends[0]:.0f} to {ends[2]:.0f}) of {options.trials} proposals"
        print(f"converged after {span}; {rest}", flush=True)


def search(path: Path, seed: int, trials: int) -> Told:
    """One replay, and what would have been said in its course."""
    table = Table.load(path)
    settings = table.settings(
        search={"sampler": "front", "seed": seed, "trials": trials, "baselines": [], "noise_repeats": 0},
        pruning={"rule": "none"},
    )
    bench = TableBench(settings, table, seed % len(table.seeds))
    with tempfile.TemporaryDirectory() as folder:
        done = replay(bench, Path(folder))
    _, regrets = done.regrets()
    space = bench.space()
    forecaster = Forecaster(Ground(space, bench.adapter_params, Features.of(space.targets)), table.chance, seed)
    records, expected, added, converged = list(done.ended), list[float](), list[float](), len(regrets)
    for count in range(INITIAL, len(records)):
        so_far = records[:count]
        if count in ASKED and (further := forecaster.further(so_far, NEXT)):
            expected.append(further[1])
            added.append(float(regrets[count - 1] - regrets[min(count + NEXT, len(regrets)) - 1]))
        prospect = forecaster.prospect(so_far)
        if prospect and prospect.is_worth_little:
            converged = min(converged, count)
    return Told(tuple(expected), tuple(added), converged, float(regrets[converged - 1] - regrets[-1]))


if __name__ == "__main__":
    main()
