"""What pruning saves and what it loses: replays a search that ran without it, under several settings.

    msplora-search run quickstart --output OUT \\
        --set pruning.rule=none --set 'proxy.rungs=[0.1, 0.2, 0.3, 0.4, 0.6, 1.0]'
    python scripts/bench_pruning.py OUT

Every trial of the record was trained in full, so the replay knows what a stopped one would have become.
The order of the proposals is drawn anew each time; baselines come first and are never stopped, as in a
search.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from msplora_search.proxy.pruning import Peer, should_stop
from msplora_search.results.records import State, TrialRecord
from msplora_search.search.results import StudyResults, load_results
from msplora_search.search.summary import hypervolume_of
from msplora_search.settings.models import PruningSettings

RUNGS = ((0.3, 0.6), (0.1, 0.3, 0.6), (0.2, 0.4, 0.6), (0.4, 0.6))


@dataclass(frozen=True)
class Replay:
    """Steps spent and hypervolume found, as shares of the unpruned search."""

    steps: float
    hypervolume: float


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="output folder of a search without pruning")
    parser.add_argument("--proposals", type=int, help="how many of the proposals to replay; all by default")
    parser.add_argument("--orders", type=int, default=40, help="random orders of the proposals")
    options = parser.parse_args()
    results = load_results(options.output)
    trained = results.in_state(State.COMPLETE)
    there = {evaluation.rung for record in trained for evaluation in record.curve}
    print(f"{len(trained)} trials in full; {options.orders} orders; mean (worst)")
    print("rungs            min_peers margin_se  steps        hypervolume")
    for rungs in (rungs for rungs in RUNGS if set(rungs) <= there):
        for min_peers, margin in ((2, 1.0), (3, 1.0), (4, 1.0), (3, 0.5)):
            rule = PruningSettings(min_peers=min_peers, margin_se=margin)
            found = [replay(results, order, rungs, rule) for order in orders(trained, options)]
            steps, volumes = np.array([f.steps for f in found]), np.array([f.hypervolume for f in found])
            print(
                f"{' '.join(map(str, rungs)):16} {min_peers:9} {margin:9} "
                f"{steps.mean():6.2f} ({steps.max():.2f}) {volumes.mean():7.3f} ({volumes.min():.3f})",
                flush=True,
            )


def orders(trained: Sequence[TrialRecord], options: argparse.Namespace) -> list[list[TrialRecord]]:
    """The baselines, then proposals in random order; the same orders for every setting."""
    draw = random.Random(0)
    baselines = [record for record in trained if record.baseline]
    proposals = [record for record in trained if not record.baseline]
    count = min(options.proposals or len(proposals), len(proposals))
    return [baselines + draw.sample(proposals, count) for _ in range(options.orders)]


def replay(
    results: StudyResults, order: Sequence[TrialRecord], rungs: tuple[float, ...], rule: PruningSettings
) -> Replay:
    """Stop each trial where the rule would have."""
    ran: list[Peer] = []
    complete: list[TrialRecord] = []
    steps = 0
    for record in order:
        curve = tuple(e for e in record.curve if e.rung in (*rungs, 1.0))
        seen = Peer(record.adapter_params, ())
        for place in range(len(curve)):
            seen = replace(seen, curve=curve[: place + 1])
            if record.baseline is None and should_stop(seen, ran, rule).stop:
                break
        else:
            complete.append(record)
        ran.append(seen)
        steps += seen.curve[-1].step
    whole = sum(record.planned_steps for record in order)
    return Replay(steps / whole, hypervolume_of(results, complete) / hypervolume_of(results, list(order)))


if __name__ == "__main__":
    main()
