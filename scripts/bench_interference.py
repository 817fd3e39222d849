"""What it costs to record how the levels of a pyramid go together (`training.interference`), beside a step.

    python -m scripts.bench_interference --steps 40

Each step of the paper's pyramid on the quickstart's model and data, as full training takes them (fp32, batches of
32), is followed by a recording of it: the median of the ratios of the two, step by step, and what so many
recordings add to a training.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from msplora_search.adapters.bank import attach
from msplora_search.design.pyramid import Pyramid
from msplora_search.full.trainers.recording import Recorder
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings import load_study

RECORDED, OF_STEPS = 50, 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    fixed = ["proxy.batch_size=32", "proxy.precision=fp32", "proxy.epochs=4"]
    bench = Workbench.load(load_study("quickstart", fixed))
    model = bench.backbone.model
    bank = attach(model, Pyramid.geometric(8, bench.layers), trainable=bench.backbone.head)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1, fused=True)
    ratios, recordings = [], []
    with tempfile.TemporaryDirectory() as folder:
        record = Recorder(bank, options.steps, Path(folder) / "interference.jsonl")
        for step in range(options.steps):
            batch = bench.batches.training[step]
            moments = [time.process_time()]
            bench.room.differentiate(model, bench.task, batch, bench.precision, parameters)
            moments.append(time.process_time())
            record(step, options.steps)
            moments.append(time.process_time())
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            moments.append(time.process_time())
            differentiated, recorded, updated = np.diff(moments)
            ratios.append(recorded / (differentiated + updated))
            recordings.append(1000 * recorded)
    ratio = float(np.median(ratios))
    low, high = np.quantile(ratios, [0.1, 0.9])
    print(f"a recording takes {ratio:.3f} of a step (80% of {options.steps}: {low:.3f} to {high:.3f}), "
          f"{np.median(recordings):.1f} ms of a processor")  # fmt: skip
    print(f"{RECORDED} recordings in {OF_STEPS} steps add {ratio * RECORDED / OF_STEPS:.2%}")


if __name__ == "__main__":
    main()
