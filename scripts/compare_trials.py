"""How far trials of one search differ, with what is known of the noise.

    python -m scripts.compare_trials runs/offline_targets 17:6 1:6

tells for each pair the first's metric less the second's on the validation and the judging part together, with a
95% interval over examples, paired, and over seeds as the search's repeats tell them. It corrects for no choice:
the pairs are to be named by what their configurations are, not by what they reached.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from msplora_search.results.noise import difference_se, quantile
from msplora_search.results.records import Measure, TrialRecord
from msplora_search.search.repeats import training_variance
from msplora_search.search.results import load_results


def main() -> None:
    """Look up, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("pairs", nargs="+", help="numbers of two trials, as in 17:6")
    options = parser.parse_args()
    results = load_results(options.output)
    records = {record.number: record for record in results.records if record.curve}
    noise = training_variance(results.records, 1.0)
    for pair in options.pairs:
        one, other = (records[int(number)] for number in pair.split(":"))
        print(compared(one, other, noise))


def compared(one: TrialRecord, other: TrialRecord, noise: float) -> str:
    """A line. `noise`: the variance over seeds of one training."""
    parts = list(zip(measures(one), measures(other), strict=True))
    units = [len(first.influence) for first, _ in parts]
    examples = sum(units)
    difference = sum(n * (a.metric - b.metric) for n, (a, b) in zip(units, parts, strict=True)) / examples
    variance = sum((n * difference_se(a, b)) ** 2 for n, (a, b) in zip(units, parts, strict=True)) / examples**2
    half = quantile(0.95, examples - 1) * math.sqrt(variance + 2 * noise)
    low, high = difference - half, difference + half
    return f"{named(one)} - {named(other)}: {difference:+.4f} ({low:+.4f} to {high:+.4f})"


def measures(record: TrialRecord) -> list[Measure]:
    """On the validation part, and on the judging part where there is one."""
    return [record.final, *([record.judged] if record.judged else [])]


def named(record: TrialRecord) -> str:
    """A trial in words."""
    assert record.pyramid is not None
    return f"trial {record.number}, {record.baseline or record.pyramid}, {record.adapter_params:,} parameters"


if __name__ == "__main__":
    main()
