"""Which way of searching reaches the front with the fewest training steps: replays on tables of trainings.

    python -m scripts.bench_search --tables tiny digits --seeds 30 --to runs/bench_search

Each strategy, a sampler with or without pruning, searches each table once a seed through the program's own
loop; the training alone is looked up (see `replay.py`). A search trains with one of the table's seeds, and sees
the validation part. It is judged by the regret, the mean gap of the best that it has trained to the end below
the envelope of the whole table over log parameters, by what it did not see: the judging part, and the table's
other seeds. There are no baselines and no repeats: their steps are the same for all.

Prints the regret after as many training steps as some full proxies take: the median over seeds, and quartiles.
Then the share of the steps after which a strategy has the regret that another has in the end, with a 95%
interval over seeds. Draws the curves, and writes all regrets as JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
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
            found = pool.starmap(curve, jobs, chunksize=1)
        proxy = Table.load(path).steps[-1]
        curves = {
            strategy: [c for c, job in zip(found, jobs, strict=True) if job[1] == strategy]
            for strategy in options.strategies
        }
        tell(path.stem, curves, proxy, options.trials)
        stored = {strategy: [c.tolist() for c in each] for strategy, each in curves.items()}
        (options.to / f"{path.stem}.json").write_text(json.dumps({"proxy": proxy, "curves": stored}))
        draw(options.to / f"{path.stem}.png", path.stem, curves, proxy)


def curve(path: Path, strategy: str, seed: int, trials: int) -> Floats:
    """Steps spent and regret after each training that ended, and the seconds it all took; (3, ends)."""
    table, began = Table.load(path), time.perf_counter()
    sampler, _, chance = strategy.partition("+")
    settings = table.settings(
        search={"sampler": sampler, "seed": seed, "trials": trials, "baselines": [], "noise_repeats": 0},
        pruning={"rule": "envelope", "chance": float(chance)} if chance else {"rule": "none"},
    )
    with tempfile.TemporaryDirectory() as folder:
        done = replay(TableBench(settings, table, seed % len(table.seeds)), Path(folder))
    steps, regrets = done.regrets()
    return np.stack([steps, regrets, np.full(len(steps), time.perf_counter() - began)])


def at(curve: Floats, steps: float) -> float:
    """The regret when so many steps are spent."""
    there = np.flatnonzero(curve[0] <= steps)
    return float(curve[1, there[-1]]) if len(there) else float("nan")


def reached(curve: Floats, regret: float) -> float:
    """Steps after which a regret is reached; infinite where it never is."""
    there = np.flatnonzero(curve[1] <= regret)
    return float(curve[0, there[0]]) if len(there) else float("inf")


def tell(name: str, curves: dict[str, list[Floats]], proxy: int, trials: int) -> None:
    """Print the tables."""
    print(f"\n{name}: regret in points, median (quartiles), after the steps of so many full proxies")
    print(f"{'':14}" + "".join(f"{count:>20}" for count in PROXIES if count <= trials))
    for strategy, each in curves.items():
        cells = []
        for count in (count for count in PROXIES if count <= trials):
            low, middle, high = np.nanquantile([100 * at(c, count * proxy) for c in each], [0.25, 0.5, 0.75])
            cells.append(f"{middle:.2f} ({low:.2f}-{high:.2f})")
        share = np.mean([c[0, -1] / (proxy * c.shape[1]) for c in each])
        print(f"{strategy:14}" + "".join(f"{cell:>20}" for cell in cells) + f"   steps {share:.0%}")
    for rival, bar in RIVALS:
        for strategy, each in curves.items():
            if strategy != rival and rival in curves:
                low, middle, high = ratio(each, curves[rival])
                met = "met" if middle <= bar else "missed"
                print(
                    f"{strategy} reaches what {rival} has after {trials} with {middle:.2f} of its steps "
                    f"({low:.2f} to {high:.2f}); at most {bar:.2f}: {met}"
                )
    seconds = {strategy: np.mean([c[2, -1] / c.shape[1] for c in each]) for strategy, each in curves.items()}
    print(
        "seconds a proposal: " + ", ".join(f"{strategy} {of:.3f}" for strategy, of in seconds.items()), flush=True
    )


def ratio(curves: Sequence[Floats], rival: Sequence[Floats]) -> tuple[float, float, float]:
    """Median steps to the rival's median regret in the end, over the rival's; 95% over resampled seeds."""
    draw = np.random.default_rng(0)

    def once(some: Sequence[Floats], others: Sequence[Floats]) -> float:
        goal = float(np.median([c[1, -1] for c in others]))
        return float(np.median([reached(c, goal) for c in some]) / np.median([c[0, -1] for c in others]))

    def again(of: Sequence[Floats]) -> list[Floats]:
        return [of[i] for i in draw.integers(len(of), size=len(of))]

    low, high = np.quantile(
        [once(again(curves), again(rival)) for _ in range(500)], [0.025, 0.975], method="nearest"
    )
    return float(low), once(curves, rival), float(high)


def draw(path: Path, name: str, curves: dict[str, list[Floats]], proxy: int) -> None:
    """Medians and quartiles over steps."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 4.5), layout="constrained")
    for strategy, each in curves.items():
        grid = np.linspace(proxy, max(c[0, -1] for c in each), 200)
        every = 100 * np.array([[at(c, steps) for steps in grid] for c in each])
        low, middle, high = np.nanquantile(every, [0.25, 0.5, 0.75], axis=0)
        (line,) = axes.plot(grid / proxy, middle, label=strategy, linewidth=1.6)
        axes.fill_between(grid / proxy, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.set(yscale="log", xlabel="training steps, in full proxies", ylabel="regret, points", title=name)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
