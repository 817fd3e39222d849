"""Which way of searching reaches the front with the fewest training steps: replays on tables of trainings.

    python -m scripts.bench_search --tables tiny digits --seeds 30 --to runs/bench_search

Each strategy, a sampler with or without pruning, searches each table once a seed through the program's own
loop; the training alone is looked up (see `replay.py`). A search trains with one of the table's seeds, and sees
the validation part. It is judged by the regret, the mean gap of the best that it has trained to the end below
the envelope of the whole table over log parameters, by what it did not see: the table's other seeds, or, of a
table with one seed, the judging part. There are no baselines and no repeats: their steps are the same for all.

Where nothing that was trained is small enough, the metric of chance counts, a gap of many points. So regrets are
told twice, the second time as if all had trained the smallest configuration before they began.

Prints the regret after as many training steps as some full proxies take: the median over seeds, and quartiles.
Then the share of the steps after which a strategy has the regret that another has in the end, with a 95%
interval over seeds; what pruning lost; and draws the curves. All regrets are kept as JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.replay import TableBench, replay
from scripts.tables import FOLDER, Table

PROXIES = (4, 6, 9, 12, 18, 24, 36)
STRATEGIES = ("front", "front+0.2", "front+0.4", "tpe", "tpe+0.2", "random", "nsga2", "gp")
"""A sampler, without pruning or with this `pruning.chance`."""
RIVALS = (("tpe", 1 / 3), ("random", 1 / 4))
"""What is to be reached, and with what share of its steps at most."""
Floats = NDArray[np.float64]
GIVEN = {"plain": "", "given": ", the smallest being given to all"}


@dataclass(frozen=True)
class Outcome:
    """Of one search."""

    steps: list[float]
    """Spent when each training ended."""
    plain: list[float]
    """Regret then."""
    given: list[float]
    """Likewise, the smallest configuration being given."""
    lost: int
    """Members of the table's true front that were stopped for good."""
    harm: float
    """By how much stops raised the regret in the end."""
    seconds: float
    """A proposal."""

    def at(self, steps: float, kind: str) -> float:
        """The regret when so many steps are spent; NaN before the first training ended."""
        there = np.searchsorted(self.steps, steps, side="right")
        return getattr(self, kind)[there - 1] if there else float("nan")

    def reached(self, regret: float, kind: str) -> float:
        """Steps after which a regret is reached; infinite where it never is."""
        return next((s for s, r in zip(self.steps, getattr(self, kind), strict=True) if r <= regret), float("inf"))


Outcomes = dict[str, list[Outcome]]
"""Of each strategy, one a seed."""


def main() -> None:
    """Replay, tell and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["tiny", "digits"], help="names, or paths of .npz files")
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), help="SAMPLER or SAMPLER+CHANCE")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--trials", type=int, default=36, help="trained configurations of each search")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--to", type=Path, default=Path("runs/bench_search"))
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    for name in options.tables:
        path = Path(name) if name.endswith(".npz") else FOLDER / f"{name}.npz"
        jobs = [(path, s, seed, options.trials) for s in options.strategies for seed in range(options.seeds)]
        with get_context("spawn").Pool(options.processes) as pool:
            found = iter(pool.starmap(search, jobs, chunksize=1))
        outcomes = {strategy: [next(found) for _ in range(options.seeds)] for strategy in options.strategies}
        proxy = Table.load(path).steps[-1]
        tell(path.stem, outcomes, proxy, options.trials)
        stored = {strategy: [asdict(one) for one in each] for strategy, each in outcomes.items()}
        (options.to / f"{path.stem}.json").write_text(json.dumps({"proxy": proxy, "outcomes": stored}))
        draw(options.to / f"{path.stem}.png", path.stem, outcomes, proxy)


def search(path: Path, strategy: str, seed: int, trials: int) -> Outcome:
    """One replay."""
    table, began = Table.load(path), time.perf_counter()
    sampler, _, chance = strategy.partition("+")
    settings = table.settings(
        search={"sampler": sampler, "seed": seed, "trials": trials, "baselines": [], "noise_repeats": 0},
        pruning={"rule": "envelope", "chance": float(chance)} if chance else {"rule": "none"},
    )
    with tempfile.TemporaryDirectory() as folder:
        done = replay(TableBench(settings, table, seed % len(table.seeds)), Path(folder))
    seconds = (time.perf_counter() - began) / trials
    steps, plain = done.regrets()
    _, given = done.regrets(given_cheapest=True)
    return Outcome(steps.tolist(), plain.tolist(), given.tolist(), *done.lost(), seconds)


def tell(name: str, outcomes: Outcomes, proxy: int, trials: int) -> None:
    """Print the tables."""
    counts = [count for count in PROXIES if count <= trials]
    for kind, said in GIVEN.items():
        print(f"\n{name}: regret in points{said}; median (quartiles) after the steps of so many full proxies")
        print(f"{'':14}" + "".join(f"{count:>20}" for count in counts))
        for strategy, each in outcomes.items():
            cells = []
            for count in counts:
                regrets = [100 * one.at(count * proxy, kind) for one in each]
                low, middle, high = np.nanquantile(regrets, [0.25, 0.5, 0.75])
                cells.append(f"{middle:.2f} ({low:.2f}-{high:.2f})")
            print(f"{strategy:14}" + "".join(f"{cell:>20}" for cell in cells))
        for (rival, bar), strategy in product(RIVALS, outcomes):
            if strategy != rival and rival in outcomes:
                low, middle, high = ratio(outcomes[strategy], outcomes[rival], kind)
                print(
                    f"{strategy} has what {rival} has after {trials} with {middle:.2f} of its steps "
                    f"({low:.2f} to {high:.2f}); at most {bar:.2f}: {'met' if middle <= bar else 'missed'}"
                )
    print()
    for strategy, each in outcomes.items():
        share = np.mean([one.steps[-1] / (proxy * trials) for one in each])
        harm = 100 * np.quantile([one.harm for one in each], [0.5, 0.95])
        lost, seconds = np.mean([one.lost > 0 for one in each]), np.mean([one.seconds for one in each])
        print(
            f"{strategy}: {share:.0%} of the steps of {trials} full proxies, a member of the front lost in "
            f"{lost:.0%} of the searches, regret raised by {harm[0]:.2f} points, in one of 20 by {harm[1]:.2f}; "
            f"{seconds:.3f} s a proposal", flush=True,
        )  # fmt: skip


def ratio(some: Sequence[Outcome], rivals: Sequence[Outcome], kind: str) -> tuple[float, float, float]:
    """Median steps to the rivals' median regret in the end, over theirs, between 95% over resampled seeds."""
    draw = np.random.default_rng(0)

    def once(some: Sequence[Outcome], rivals: Sequence[Outcome]) -> float:
        goal = float(np.median([getattr(one, kind)[-1] for one in rivals]))
        steps = [one.reached(goal, kind) for one in some]
        return float(np.median(steps) / np.median([rival.steps[-1] for rival in rivals]))

    def again(of: Sequence[Outcome]) -> list[Outcome]:
        return [of[i] for i in draw.integers(len(of), size=len(of))]

    drawn = [once(again(some), again(rivals)) for _ in range(500)]
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return float(low), once(some, rivals), float(high)


def draw(path: Path, name: str, outcomes: Outcomes, proxy: int) -> None:
    """Medians and quartiles over steps."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for axes, (kind, said) in zip(panels, GIVEN.items(), strict=True):
        for strategy, each in outcomes.items():
            grid = np.linspace(proxy, max(one.steps[-1] for one in each), 200)
            every = 100 * np.array([[one.at(steps, kind) for steps in grid] for one in each])
            low, middle, high = np.nanquantile(every, [0.25, 0.5, 0.75], axis=0)
            (line,) = axes.plot(grid / proxy, middle, label=strategy, linewidth=1.6)
            axes.fill_between(grid / proxy, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
        axes.set(
            yscale="log", xlabel="training steps, in full proxies", ylabel="regret, points", title=name + said
        )
        axes.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
