"""What a proposal of the sampler `front` takes, beside many trials and many candidates.

    OMP_NUM_THREADS=1 python scripts/bench_proposals.py

The space of `spaces/pyramid.yaml` on 12 layers with three rates has 55,665 configurations. So many trials as
`--trials` are given, of random ones of them, with made-up metrics; then proposals are made one after another,
each told a metric. Prints the median and the worst CPU seconds of one proposal, the fits of kernels included.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from msplora_search.design.pyramid import Pyramid
from msplora_search.results.records import Evaluation, State, TrialRecord
from msplora_search.search.model.candidates import Candidates, Ground
from msplora_search.search.model.features import Features
from msplora_search.search.model.forecast import Forecaster
from msplora_search.settings import load_study
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import metric

LAYERS, UNIT, EXAMPLES = 12, 1536, 1000
JUDGE = Judge(metric("accuracy"), np.ones(EXAMPLES, dtype=np.int64))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[50, 200, 800])
    parser.add_argument("--proposals", type=int, default=20)
    options = parser.parse_args()
    settings = load_study("quickstart", ["space=pyramid", "space.learning_rate=[1e-3, 2e-3, 4e-3]"])
    space = settings.space.for_depth(LAYERS, 2e-3)
    ground = Ground(space, lambda pyramid: UNIT * pyramid.rank_units, Features.of(space.targets))
    began = time.process_time()
    candidates = Candidates.of(ground)
    print(f"{len(candidates.costs):,} candidates, listed in {time.process_time() - began:.1f} s of CPU")
    for trials in options.trials:
        forecaster = Forecaster(ground, 0.5, 0)
        forecaster.__dict__["candidates"] = candidates
        draw, seconds = np.random.default_rng(trials), list[float]()
        places = draw.choice(len(candidates.costs), trials, replace=False)
        made = [(candidates.configurations[i].pyramid, candidates.configurations[i].rate) for i in places]
        records = [record(i, *one, draw) for i, one in enumerate(made)]
        for _ in range(options.proposals):
            began = time.process_time()
            proposal = forecaster.next_proposal(records)
            seconds.append(time.process_time() - began)
            assert proposal is not None
            records.append(record(len(records), proposal[0].pyramid(), proposal[1], draw))
        print(f"{trials:5,} trials: {np.median(seconds):.2f} s a proposal, at most {max(seconds):.2f} s")


def record(number: int, pyramid: Pyramid, rate: float, draw: np.random.Generator) -> TrialRecord:
    """A trial whose accuracy rises with its size, and is noisy."""
    params = UNIT * pyramid.rank_units
    accuracy = 0.8 + 0.005 * np.log(params / 1e4) + 0.01 * draw.normal()
    right = (draw.random(EXAMPLES) < accuracy).astype(np.int64)
    curve = (Evaluation(**vars(JUDGE.measure(right)), rung=1.0, step=100, loss=0.5),)
    return TrialRecord(
        number=number, state=State.COMPLETE, baseline=None, pyramid=pyramid, learning_rate=rate,
        adapter_params=params, trainable_params=params, curve=curve, steps=100, planned_steps=100, seconds=1.0,
    )  # fmt: skip


if __name__ == "__main__":
    main()
