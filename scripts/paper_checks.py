"""The paper's two checks with several seeds: do other ranks than 8/4/2 do better, and other groups than thirds?

    python -m scripts.paper_checks reviews --seeds 5
    python -m scripts.paper_checks images --seeds 20 --rates 4e-3 8e-3 1.6e-2

Trains 8/4/2 in thirds, 16/8/4, 4/4/4 and 8/6/4 (rank sensitivity), 8/4/2 in 40/40/20 (boundaries), and plain
LoRA of rank 8, each at every rate and with every seed, by the proxy of a shipped study that needs no network. Of
each, the rate that is best on the validation part is told, on the judging part, which chose nothing: the mean
over seeds, the difference from the paper's setting, paired over examples, with a 95% interval over examples and
seeds, and p by Holm's method. Trainings are written down one by one (`runs/paper_checks/TASK.jsonl`); called
again, it goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from msplora_search.design.depth import split_by_fractions, split_evenly
from msplora_search.design.pyramid import Pyramid
from msplora_search.full.ranking import difference_spread
from msplora_search.proxy.workbench import Workbench
from msplora_search.results.holm import adjusted
from msplora_search.results.records import Evaluation, Measure
from msplora_search.results.training_noise import pooled_noise
from msplora_search.search.points import mean_measure
from msplora_search.settings import load_study

WORK = Path("runs/paper_checks")
TASKS = {
    "reviews": ("offline_reviews", ["proxy.judging_examples=4000"]),
    "newspaper": ("offline_newspaper", ["proxy.train_examples=1280", "proxy.judging_examples=2000"]),
    "images": ("offline_images", ["proxy.validation_examples=500", "proxy.judging_examples=500"]),
    "pairs": ("offline_pairs", ["proxy.judging_examples=3000"]),
}
RANKS = ((8, 4, 2), (16, 8, 4), (4, 4, 4), (8, 6, 4))
UNEVEN = (40, 40, 20)
Key = tuple[str, float, int]
"""Name of a pyramid, rate, seed."""


def main() -> None:
    """Train what is missing, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 2e-3])
    options = parser.parse_args()
    study, overrides = TASKS[options.task]
    bench = Workbench.load(load_study(study, [*overrides, "proxy.rungs=[1.0]"]))
    file = WORK / f"{options.task}.jsonl"
    pyramids, kept = pyramids_of(bench.layers, bench.space().targets[0]), dict(read(file, bench))
    for seed, rate, name in product(range(options.seeds), options.rates, pyramids):
        if (name, rate, seed) not in kept:
            (kept[name, rate, seed],) = bench.measure(pyramids[name], rate, seed)
            write(file, (name, rate, seed), kept[name, rate, seed])
            print(f"{name} at {rate:g}, seed {seed}: {kept[name, rate, seed].metric:.4f}", flush=True)
    tell(bench, pyramids, kept, options.seeds)


def pyramids_of(layers: int, targets: tuple[str, ...]) -> dict[str, Pyramid]:
    """What is compared, the paper's setting first."""
    thirds, uneven = split_evenly(layers, 3), split_by_fractions(UNEVEN, layers)
    found = {"/".join(map(str, ranks)): Pyramid.from_split(ranks, thirds, targets) for ranks in RANKS}
    found["8/4/2 in 40/40/20"] = Pyramid.from_split(RANKS[0], uneven, targets)
    return {**found, "LoRA 8": Pyramid.lora(8, layers, targets)}


def write(file: Path, key: Key, measured: Evaluation) -> None:
    """Keep one training."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write(json.dumps([*key, measured.to_json()]) + "\n")


def read(file: Path, bench: Workbench) -> Iterator[tuple[Key, Evaluation]]:
    """Those that were kept."""
    validation, judging = bench.task.judges
    assert judging is not None
    if file.is_file():
        for line in file.read_text().splitlines():
            name, rate, seed, stored = json.loads(line)
            yield (name, rate, seed), Evaluation.from_json(stored, validation.influence, judging.influence)


def tell(bench: Workbench, pyramids: dict[str, Pyramid], found: dict[Key, Evaluation], seeds: int) -> None:
    """For people."""
    chosen = {name: best_rate(name, found, seeds) for name in pyramids}
    runs = {name: [judged(found[name, chosen[name], seed]) for seed in range(seeds)] for name in pyramids}
    noise = pooled_noise(list(runs.values()))
    means = {name: mean_measure(of) for name, of in runs.items()}
    first = next(iter(pyramids))
    spreads = {name: difference_spread(means[name], means[first], noise, seeds) for name in pyramids}
    gaps = {name: means[name].metric - means[first].metric for name in pyramids}
    others = [name for name in pyramids if name != first]
    p_values = dict(zip(others, adjusted([spreads[n].p_value(gaps[n]) for n in others]), strict=True))
    units = len(means[first].influence)
    print(f"\n{bench.settings.name}: {seeds} seeds, told on {units:,} rows; {bench.steps} steps each")
    print(f"two seeds of one pyramid differ by a standard deviation of {noise.sd:.4f}" if noise else "one seed")
    for name, pyramid in pyramids.items():
        line = f"{name:18} {bench.adapter_params(pyramid):>9,} parameters, rate {chosen[name]:g}: "
        line += f"{means[name].metric:.4f}"
        if name != first:
            half = spreads[name].half()
            line += f", {gaps[name]:+.4f} ({gaps[name] - half:+.4f} to {gaps[name] + half:+.4f})"
            line += f", adjusted p = {p_values[name]:.3f}"
        print(line)


def best_rate(name: str, found: dict[Key, Evaluation], seeds: int) -> float:
    """Of those that have all seeds, by the validation part."""
    rates = sorted({rate for of, rate, _ in found if of == name})
    whole = [rate for rate in rates if all((name, rate, seed) in found for seed in range(seeds))]
    return max(whole, key=lambda rate: float(np.mean([found[name, rate, seed].metric for seed in range(seeds)])))


def judged(measured: Evaluation) -> Measure:
    """On the part that chose nothing."""
    assert measured.judged is not None
    return measured.judged


if __name__ == "__main__":
    main()
