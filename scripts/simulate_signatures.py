"""How often the signs of a wrong shape are raised by pyramids in which there is nothing to find.

Every adapter is made of independent Gaussian numbers; sizes of the levels and how fast singular values fall are
drawn too. `python -m scripts.simulate_signatures --trials 400`
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import pairwise

import numpy as np

from msplora_search.analysis.redundancy import redundancy_of
from msplora_search.analysis.signatures import Sign, signatures
from msplora_search.analysis.spectra import spectra_of
from msplora_search.analysis.splitting import SHUFFLES, suggested_split
from msplora_search.analysis.updates import Place, Trained, Update

RANKS = {"global": 8, "mid": 4, "layer": 2}


def nothing_to_find(generator: np.random.Generator, layers: int, width: int) -> Trained:
    """A pyramid 8/4/2 in thirds of independent adapters."""
    cuts = {
        "global": (0, layers),
        "mid": tuple(layers * i // 3 for i in range(4)),
        "layer": tuple(range(layers + 1)),
    }
    levels: dict[str, dict[tuple[Place, int], Update]] = {}
    for level, rank in RANKS.items():
        size, falling = generator.uniform(0.5, 2.0), generator.uniform(0.7, 1.0) ** np.arange(rank)
        for target in ("query", "value"):
            place = Place("", target, width, width)
            for start, stop in pairwise(cuts[level]):
                down = generator.normal(size=(rank, width)) * falling[:, None] * size
                made = Update(down, generator.normal(size=(width, rank)))
                levels.setdefault(level, {}).update({(place, layer): made for layer in range(start, stop)})
    return Trained("made", "pyramid", layers, levels, cuts["mid"])


def false_alarms(trials: int, layers: int = 12, width: int = 64, shuffles: int = SHUFFLES) -> dict[Sign, float]:
    """The share of pyramids that raise each sign."""
    raised, generator = Counter[Sign](), np.random.default_rng(0)
    for trial in range(trials):
        trained = nothing_to_find(generator, layers, width)
        own = redundancy_of(trained, "layer")
        split = suggested_split(own.similarity, shuffles, seed=trial)
        raised.update({finding.sign for finding in signatures(spectra_of(trained), trained.groups, own, split)})
    return {sign: raised[sign] / trials for sign in Sign}


def main() -> None:
    """Print a line a sign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--layers", type=int, default=12)
    asked = parser.parse_args()
    for sign, rate in false_alarms(asked.trials, asked.layers).items():
        error = (rate * (1 - rate) / asked.trials) ** 0.5
        print(f"{sign.value:22} {rate:6.1%} ± {error:.1%}")


if __name__ == "__main__":
    main()
