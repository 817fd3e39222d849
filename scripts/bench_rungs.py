"""At which rungs to look, and at how many examples: what pruning saves of a search's work, and what it loses.

    python -m scripts.bench_rungs --tables digits tiny --seeds 30

A look costs the evaluation of its examples, which pruning has to earn back. So work is counted in forward passes
of one example: a training step is three of each of its batch, an evaluation one of each example, the judging part
at the end included. Each way searches each table once a seed by `front` through the program's own loop
(`replay.py`), with the default `pruning.chance`. Prints its work, as a share of that of a search that looks at the
end alone and prunes nothing; how often it lost a member of the true front; and the regret in the end, the smallest
configuration being given.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from msplora_search.settings.models import StudySettings
from scripts.replay import Replay, TableBench, replay
from scripts.tables import FOLDER, Table

FORWARDS = 3
"""Of an example that is trained on: the backward pass takes about two."""


@dataclass(frozen=True)
class Way:
    """How to look."""

    rungs: tuple[float, ...]
    part: float
    """Of the validation examples, before the end."""
    chance: float | None
    """Of pruning; None prunes nothing."""

    def __str__(self) -> str:
        if self.chance is None:
            return "at the end alone"
        return f"at {', '.join(f'{rung:g}' for rung in self.rungs)} on {self.part:.0%}, chance {self.chance:g}"


@dataclass(frozen=True)
class Outcome:
    """Of one search."""

    work: float
    """Forward passes of one example."""
    lost: int
    regret: float
    """Points."""


def main() -> None:
    """Replay and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["digits", "tiny"])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--trials", type=int, default=36)
    parser.add_argument(
        "--chance", type=float, nargs="+", default=[StudySettings.model_fields["pruning"].default.chance]
    )
    parser.add_argument("--parts", type=float, nargs="+", default=[1.0, 0.5, 0.25, 0.125], help="of the examples")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    for name in options.tables:
        ways = [Way((1.0,), 1.0, None), *ways_of(Table.load(FOLDER / f"{name}.npz").rungs, options)]
        jobs = [(name, way, seed, options.trials) for way in ways for seed in range(options.seeds)]
        with get_context("spawn").Pool(options.processes) as pool:
            found = iter(pool.starmap(search, jobs, chunksize=1))
        outcomes = {way: [next(found) for _ in range(options.seeds)] for way in ways}
        whole = np.mean([one.work for one in outcomes[ways[0]]])
        print(f"\n{name}, {options.seeds} seeds, {options.trials} trials each")
        for way, each in outcomes.items():
            share, lost = (
                np.mean(values) for values in ([o.work / whole for o in each], [o.lost > 0 for o in each])
            )
            low, middle, high = np.quantile([one.regret for one in each], [0.25, 0.5, 0.75])
            print(
                f"{way!s:44} {share:4.0%} of the work; a member of the front lost in {lost:3.0%}; "
                f"regret {middle:.2f} ({low:.2f}-{high:.2f})", flush=True,
            )  # fmt: skip


def ways_of(rungs: tuple[float, ...], options: argparse.Namespace) -> list[Way]:
    """All rungs and each alone."""
    sets = [rungs, *((rung, 1.0) for rung in rungs[:-1])]
    return [Way(some, part, chance) for some, part, chance in product(sets, options.parts, options.chance)]


def search(name: str, way: Way, seed: int, trials: int) -> Outcome:
    """One replay."""
    table = Table.load(FOLDER / f"{name}.npz")
    settings = table.settings(
        search={"sampler": "front", "seed": seed, "trials": trials, "baselines": [], "noise_repeats": 0},
        proxy={"rungs": list(way.rungs)},
        pruning={"rule": "none"} if way.chance is None else {"rule": "envelope", "chance": way.chance},
    )
    early = max(1, round(way.part * table.validation.shape[-1]))
    with tempfile.TemporaryDirectory() as folder:
        done = replay(TableBench(settings, table, seed % len(table.seeds), early), Path(folder))
    regrets = done.regrets(given_cheapest=True)[1]
    return Outcome(work(done, early), done.lost()[0], 100 * float(regrets[-1]))


def work(done: Replay, early: int) -> float:
    """Of all that was trained and looked at."""
    table, settings = done.bench.table, done.bench.settings
    whole, judged = table.validation.shape[-1], table.judging.shape[-1]
    total = 0.0
    for record in done.last.values():
        looks = [whole + judged if e.rung == 1.0 else early for e in record.curve]
        total += FORWARDS * settings.proxy.batch_size * record.steps + sum(looks)
    return total


if __name__ == "__main__":
    main()
