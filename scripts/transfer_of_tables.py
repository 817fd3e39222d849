"""Open question 3 of arXiv 2503.21838 on whole spaces: does what is found on one model and task hold on another?

    python -m scripts.transfer_of_tables

The tables `tiny` (sentences of film reviews, all-MiniLM-L6-v2) and `digits` (images, a small vision transformer)
hold the same pyramids over six layers, each trained in full at the best rate of its table. Told are the rank
correlation of all, that among pyramids of equal size, and the regret on the second task of the front of the
first: beside that of pyramids of the same sizes drawn at random, and of the front of the second task's own
validation part. Fronts are chosen by validation examples, regret is judged by the others. Intervals are over the
choice of examples of both tasks (bootstrap), whose noise comes on top of that of the measurement itself; where a
table has several seeds, its metrics are means over them.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from msplora_search.results.pareto import front
from scripts.tables import FOLDER, Table

Floats = NDArray[np.float64]
RESAMPLES = 400
DRAWS = 50
"""Random choices a resample."""


def main() -> None:
    """Both ways."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    tables = {name: Table.load(FOLDER / f"{name}.npz") for name in ("tiny", "digits")}
    places = common(*tables.values())
    for one, other in (("tiny", "digits"), ("digits", "tiny")):
        a, b = tables[one], tables[other]
        print(f"{one} to {other}: {len(places[one])} pyramids in common")
        for line in told(a, b, places[one], places[other]):
            print(f"  {line}")


def common(one: Table, other: Table) -> dict[str, list[int]]:
    """Places of the pyramids that both have, in the same order."""
    keys = [{key(p): i for i, p in enumerate(table.pyramids)} for table in (one, other)]
    both = [found for found in keys[0] if found in keys[1]]
    return {"tiny": [keys[0][k] for k in both], "digits": [keys[1][k] for k in both]}


def key(pyramid: object) -> str:
    """What is the same in models of other widths: ranks and groups."""
    return str(pyramid)


def right(table: Table, places: list[int]) -> tuple[Floats, Floats]:
    """(pyramids, examples) of the validation and the judging part, means over seeds, at the table's best rate."""
    best = int(np.argmax(table.validation[:, :, :, -1].mean(axis=(0, 2, 3))))
    validation = table.validation[places, best, :, -1].mean(axis=1)
    judging = table.judging[places, best].mean(axis=1)
    return validation, judging


def told(a: Table, b: Table, in_a: list[int], in_b: list[int]) -> list[str]:
    """What is found, in lines."""
    sizes = b.parameters[in_b].astype(np.float64)
    (a_val, a_jud), (b_val, b_jud) = right(a, in_a), right(b, in_b)
    generator = np.random.default_rng(0)
    found: dict[str, list[float]] = {}
    for draw in range(RESAMPLES + 1):  # the first one is what was measured
        of_a, of_a_judged, of_b, of_b_judged = (
            resampled(bits, generator if draw else None) for bits in (a_val, a_jud, b_val, b_jud)
        )
        for name, value in once(of_a, of_a_judged, of_b, of_b_judged, sizes, generator).items():
            found.setdefault(name, []).append(value)
    return [interval(name, np.array(values)) for name, values in found.items()]


def resampled(bits: Floats, generator: np.random.Generator | None) -> Floats:
    """Metrics (pyramids,) of examples drawn anew; of all of them where there is no generator."""
    rows = np.arange(bits.shape[1])
    return np.asarray(bits[:, rows if generator is None else generator.choice(rows, len(rows))].mean(axis=1))


def once(
    a_val: Floats, a_jud: Floats, b_val: Floats, b_jud: Floats, sizes: Floats, generator: np.random.Generator
) -> dict[str, float]:
    """All that is told, of metrics (pyramids,) and sizes (pyramids,)."""
    a, b = (a_val + a_jud) / 2, (b_val + b_jud) / 2
    carried, own = (choice(metrics, sizes) for metrics in (a_val, b_val))
    random = [regret(np.array([drawn(sizes, i, generator) for i in carried]), b_jud, sizes) for _ in range(DRAWS)]
    return {
        "rank correlation of all": float(spearmanr(a, b).statistic),
        "rank correlation at equal size": float(spearmanr(aside(a, sizes), aside(b, sizes)).statistic),
        "regret of the front carried over, points": 100 * regret(carried, b_jud, sizes),
        "regret of random pyramids of these sizes, points": 100 * float(np.mean(random)),
        "regret of the task's own front, points": 100 * regret(own, b_jud, sizes),
    }


def choice(metrics: Floats, sizes: Floats) -> NDArray[np.int64]:
    """Places of the front."""
    return np.asarray(front(metrics, sizes), dtype=np.int64)


def aside(metrics: Floats, sizes: Floats) -> Floats:
    """Metrics less the mean of their size."""
    _, group = np.unique(sizes, return_inverse=True)
    means = np.bincount(group, metrics) / np.bincount(group)
    return np.asarray(metrics - means[group])


def drawn(sizes: Floats, place: int, generator: np.random.Generator) -> int:
    """A pyramid of the size of another."""
    return int(generator.choice(np.flatnonzero(sizes == sizes[place])))


def regret(places: NDArray[np.int64], metrics: Floats, sizes: Floats) -> float:
    """How far each lies below the 95% quantile of all at no more parameters, the mean.

    A quantile, as the best of hundreds of measurements is the luckiest.
    """
    reach = np.array([np.quantile(metrics[sizes <= sizes[i]], 0.95) for i in places])
    return float(np.mean(reach - metrics[places]))


def interval(name: str, values: Floats) -> str:
    """What was measured, and 95% of the draws."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return f"{name}: {values[0]:+.2f} ({low:+.2f} to {high:+.2f})"


if __name__ == "__main__":
    main()
