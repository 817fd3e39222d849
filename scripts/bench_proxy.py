"""What the proxy's fast path (bf16, no dropout) changes in its results, beside fp32 with the backbone's dropout.

    python scripts/bench_proxy.py --seeds 5 --ranking-seeds 1 --json proxy.json

Trains the paper's pyramid with several seeds both ways, and several pyramids both ways to see whether they rank
alike, on movie reviews with all-MiniLM-L6-v2. Each seed is another split, head and order of the examples. Runs
that the JSON file holds already are not made again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from msplora_search.design.pyramid import Pyramid
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings import StudySettings, load_study

WAYS = {
    "fast": ("proxy.precision=auto", "proxy.dropout=false"),
    "plain": ("proxy.precision=fp32", "proxy.dropout=true"),
}
PAPER = "8/4/2"
PYRAMIDS = {
    "1/0/0": Pyramid.from_split((1, 0, 0), (0, 6), ("query", "value")),
    "0/1/0": Pyramid.from_split((0, 1, 0), (0, 2, 4, 6), ("query", "value")),
    "4/0/0": Pyramid.from_split((4, 0, 0), (0, 6), ("query", "value")),
    "0/0/1": Pyramid.lora(1, 6, ("query", "value")),
    "2/2/0": Pyramid.from_split((2, 2, 0), (0, 3, 6), ("query", "value")),
    "1/1/1": Pyramid.from_split((1, 1, 1), (0, 2, 4, 6), ("query", "value")),
    PAPER: Pyramid.geometric(8, 6),
    "0/0/8": Pyramid.lora(8, 6, ("query", "value")),
}
Runs = dict[str, dict[str, Any]]
"""By `way seed pyramid`: metric, its standard error, seconds."""


def main() -> None:
    """Train what is missing, write it down at once, and print what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="seeds of the paper's pyramid")
    parser.add_argument("--ranking-seeds", type=int, default=1, help="seeds of the ranking")
    parser.add_argument("--json", type=Path, default=Path("proxy.json"), help="where the runs are kept")
    options = parser.parse_args()
    runs: Runs = json.loads(options.json.read_text()) if options.json.is_file() else {}
    for seed in range(max(options.seeds, options.ranking_seeds)):
        names = list(PYRAMIDS) if seed < options.ranking_seeds else [PAPER]
        for way in WAYS:
            missing = [name for name in names if f"{way} {seed} {name}" not in runs]
            for name, run in measured(way, seed, missing):
                runs[f"{way} {seed} {name}"] = run
                options.json.write_text(json.dumps(runs, indent=2) + "\n")
                print(f"{way} seed {seed} {name}: {run['metric']:.4f}, {run['seconds']:.0f} s", flush=True)
    print_accuracy(runs, options.seeds)
    for seed in range(options.ranking_seeds):
        print_ranking(runs, seed)


def settings_of(way: str, seed: int) -> StudySettings:
    """The quickstart, measured at its end alone."""
    return load_study("quickstart", [*WAYS[way], f"search.seed={seed}", "proxy.rungs=[1.0]"])


def measured(way: str, seed: int, names: list[str]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Train the pyramids called `names`."""
    if not names:
        return
    bench = Workbench.load(settings_of(way, seed))
    for name in names:
        began = time.perf_counter()
        (last,) = bench.measure(PYRAMIDS[name], bench.settings.proxy.learning_rate)
        seconds = time.perf_counter() - began
        yield name, {"metric": last.metric, "metric_se": last.metric_se, "seconds": seconds}


def print_accuracy(runs: Runs, seeds: int) -> None:
    """The paper's pyramid, both ways, seed by seed."""
    fast, plain = ([runs[f"{way} {seed} {PAPER}"] for seed in range(seeds)] for way in WAYS)
    gaps = np.array([one["metric"] - other["metric"] for one, other in zip(fast, plain, strict=True)])
    se = float(np.mean([run["metric_se"] for run in plain]))
    means = [float(np.mean([run["metric"] for run in found])) for found in (fast, plain)]
    spread = float(gaps.std(ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else float("nan")
    print(f"\n{PAPER} over {seeds} seeds: fast {means[0]:.4f}, plain {means[1]:.4f}")
    print(f"difference {gaps.mean():+.4f} ± {spread:.4f} over seeds; a run's own standard error is {se:.4f}")
    ratios = [other["seconds"] / one["seconds"] for one, other in zip(fast, plain, strict=True)]
    print(f"a plain run takes {np.median(ratios):.1f} times as long")


def print_ranking(runs: Runs, seed: int) -> None:
    """Whether both ways rank the pyramids alike."""
    columns = [[runs[f"{way} {seed} {name}"]["metric"] for name in PYRAMIDS] for way in WAYS]
    tau = stats.kendalltau(*columns)
    print(
        f"\nseed {seed}: {len(PYRAMIDS)} pyramids rank with Kendall tau {tau.statistic:.2f} (p = {tau.pvalue:.3f})"
    )
    for name, fast, plain in zip(PYRAMIDS, *columns, strict=True):
        print(f"  {name:6} {fast:.4f} {plain:.4f}")


if __name__ == "__main__":
    main()
