"""How far configurations of one search differ, by the bounds that its report says.

    python -m scripts.compare_trials runs/offline_targets 17:6 1:6

tells for each pair of trials the first's true metric less the second's, as all measurements together say it, and
between what it lies: two bounds that hold with 95% each (`Summary.worse_by_at_most`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from msplora_search.search.points import Point
from msplora_search.search.results import load_results
from msplora_search.search.summary import Summary, summarise


def main() -> None:
    """Look up, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("pairs", nargs="+", help="numbers of two trials, as in 17:6")
    options = parser.parse_args()
    summary = summarise(load_results(options.output))
    points = {point.record.number: point for point in summary.points}
    for pair in options.pairs:
        one, other = (points[int(number)] for number in pair.split(":"))
        print(compared(summary, one, other))


def compared(summary: Summary, one: Point, other: Point) -> str:
    """A line."""
    difference = float((one.told - other.told).mean())
    low, high = -summary.worse_by_at_most(one, other), summary.worse_by_at_most(other, one)
    return f"{named(one)} - {named(other)}: {difference:+.4f} ({low:+.4f} to {high:+.4f})"


def named(point: Point) -> str:
    """A point in words."""
    return f"{point.name} ({point.record.pyramid}, {point.params:,} parameters)"


if __name__ == "__main__":
    main()
