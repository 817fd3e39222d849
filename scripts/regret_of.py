"""How far the search in an output folder ended below the best of its space, by a table of all its configurations.

    python -m scripts.regret_of runs/quickstart --table tiny

The search trained, and measured; only what its configurations are worth is looked up. Told are training steps of
proposals and the regret in points, as `bench_search.py` tells them, after 6, 12 and all proposals. The table's own
proxy may be another: that of `tiny` takes 60 steps where the quickstart's takes 100.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from msplora_search.search.results import load_results
from scripts.replay import Replay, TableBench
from scripts.tables import FOLDER, Table

AFTER = (6, 12)
"""Proposals."""


def main() -> None:
    """Look up, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--table", default="tiny", help="name, or a file of build_table.py")
    options = parser.parse_args()
    path = Path(options.table) if options.table.endswith(".npz") else FOLDER / f"{options.table}.npz"
    table, results = Table.load(path), load_results(options.output)
    inside = tuple(record for record in results.records if record.pyramid in table.place)  # not so every baseline
    found = Replay(TableBench(results.settings, table, 0), inside)
    for given, said in ((False, ""), (True, ", the smallest given")):
        steps, regrets = found.regrets(given_cheapest=given)
        for count in (*(after for after in AFTER if after < len(steps)), len(steps)):
            print(f"{count} proposals, {steps[count - 1]:,.0f} steps: regret {100 * regrets[count - 1]:.2f}{said}")
    draw = np.random.default_rng(0)
    truth, costs = table.truth(0).ravel(), table.costs()
    by_chance = []
    for _ in range(1000):
        some = draw.choice(len(truth), len(steps), replace=False)
        by_chance.append(found.regret(list(truth[some]), list(costs[some])))
    print(f"as many drawn at random: {100 * float(np.median(by_chance)):.2f} (median of 1,000 draws)")


if __name__ == "__main__":
    main()
