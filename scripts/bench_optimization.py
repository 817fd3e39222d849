"""Whether the levels of a pyramid disturb each other when they are trained jointly: beside staged and alternating.

    python -m scripts.bench_optimization --tasks reviews newspaper --seeds 5 --json optimization.json

Open question 2 of arXiv 2503.21838, by experiment: the paper's pyramid 8/4/2 in thirds of the depth, trained
jointly, one level after another, and one level a step in turn (`proxy.optimization`), for as many steps, with
several seeds at each of several learning rates. Each way has the rate that is best on the validation part in the
mean over seeds, and is told on the judging part, which no choice reads. Differences to joint are paired example by
example; their 95% intervals are those of `confirm`: over the choice of examples and of seeds. Beside them, the
cosines of what a step does to a weight through any two levels (`adapters/interference.py`), at some steps of each
training. Trainings that the JSON file holds already are not made again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from torch import Tensor, nn

from msplora_search.adapters.bank import bank_of
from msplora_search.adapters.interference import cosines_of
from msplora_search.design.pyramid import Pyramid
from msplora_search.files import write_whole
from msplora_search.full.judgement import Tried, chosen_rate
from msplora_search.full.ranking import difference_spread
from msplora_search.full.trainers.recording import moments
from msplora_search.proxy.room import Room
from msplora_search.proxy.workbench import Workbench
from msplora_search.results.noise import difference_interval
from msplora_search.results.records import Measure
from msplora_search.results.training_noise import pooled_noise
from msplora_search.search.baselines import planned_baselines
from msplora_search.search.points import mean_measure
from msplora_search.settings import StudySettings, load_study
from msplora_search.settings.values import Optimization
from msplora_search.tasks.judge import Judge
from msplora_search.text import several

WAYS: tuple[Optimization, ...] = get_args(Optimization)
JOINT = WAYS[0]
TASKS = {
    "reviews": ("quickstart", 2000, 2000),
    "newspaper": ("offline_newspaper", 1500, 1300),
    "pairs": ("offline_pairs", 3000, 1500),
    "images": ("offline_images", 500, 450),
}
"""The study, and the most examples that are trained on, and that a rate is chosen by; as many are judged on."""
RECORDED = 21
"""Steps at which cosines are looked at."""
Runs = dict[str, Any]
"""By `key`."""


def main() -> None:
    """Train what is missing, write it down at once, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=["reviews", "newspaper"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 2e-3, 4e-3])
    parser.add_argument("--epochs", type=float, default=3.0, help="of every way: they have as many steps")
    parser.add_argument("--examples", type=int, help="train on fewer, to try it out")
    parser.add_argument("--json", type=Path, default=Path("optimization.json"), help="where trainings are kept")
    options = parser.parse_args()
    runs: Runs = json.loads(options.json.read_text()) if options.json.is_file() else {}
    for task in options.tasks:
        bench = Workbench.load(settings_of(task, options.epochs, options.examples))
        wanted = [
            (way, rate, seed) for seed in range(options.seeds) for rate in options.rates for way in WAYS
            if key(task, bench, way, rate, seed) not in runs
        ]  # fmt: skip
        for way, rate, seed in wanted:
            run = trained(bench, way, rate, seed)
            runs[key(task, bench, way, rate, seed)] = run
            write_whole(options.json, json.dumps(runs) + "\n")
            reached = f"validation {run['validation']:.4f}, judging {run['judging']['metric']:.4f}"
            print(f"{task} {way} rate {rate:g} seed {seed}: {reached}, {run['seconds']:.0f} s", flush=True)
        for line in told(task, bench, runs, options.rates, options.seeds):
            print(line, flush=True)


def settings_of(task: str, epochs: float, examples: int | None) -> StudySettings:
    """A shipped study with a longer proxy, measured at its end alone."""
    study, train, others = TASKS[task]
    parts = {"train": examples or train, "validation": others, "judging": others}
    sizes = [f"proxy.{part}_examples={count}" for part, count in parts.items()]
    fixed = ["proxy.rungs=[1.0]", "proxy.batch_size=32", "pruning.rule=none"]
    return load_study(study, [*sizes, *fixed, f"proxy.epochs={epochs}"])


def key(task: str, bench: Workbench, way: Optimization, rate: float, seed: int) -> str:
    """Of a training, with all that it depends on."""
    parts = "+".join(
        str(len(part)) for part in (bench.task.train, bench.task.validation, bench.task.judging or ())
    )
    return f"{task} {parts} examples {bench.steps} steps {way} {rate!r} {seed}"


def pyramid_of(bench: Workbench) -> Pyramid:
    """The paper's baseline in a search of this study."""
    return next(b.pyramid for b in planned_baselines(bench.space(), bench.settings.search) if b.name == "paper")


@dataclass
class Listening(Room):
    """Looks at the gradients of some steps, those of levels that are not trained included."""

    at: set[int] = field(default_factory=set)
    step: int = 0
    found: list[dict[str, list[float]]] = field(default_factory=list)
    """By pairs of levels, the cosines of all sites."""

    def differentiate(self, model: nn.Module, *given: Any) -> Tensor:
        """That of a room."""
        loss = super().differentiate(model, *given)
        if self.step in self.at:
            pairs: dict[str, list[float]] = {}
            for site in cosines_of(bank_of(model)).values():
                for pair, cosine in site.items():
                    pairs.setdefault(" and ".join(pair), []).append(cosine)
            self.found.append(pairs)
        self.step += 1
        return loss


def trained(bench: Workbench, way: Optimization, rate: float, seed: int) -> dict[str, Any]:
    """One training: the metric on the validation part, the measure on the judging part, seconds, cosines."""
    proxy = bench.settings.proxy.model_copy(update={"optimization": way})
    room = Listening(at=moments(RECORDED, bench.steps))
    own = replace(bench, settings=bench.settings.model_copy(update={"proxy": proxy}), room=room)
    began = time.perf_counter()
    (last,) = own.measure(pyramid_of(bench), rate, seed)
    assert last.judged is not None
    return {
        "validation": last.metric,
        "judging": last.judged.to_json(),
        "seconds": time.perf_counter() - began,
        "cosines": {pair: [float(np.mean(step[pair])) for step in room.found] for pair in room.found[0]},
        "opposed": {pair: float(np.mean(np.array([s[pair] for s in room.found]) < 0)) for pair in room.found[0]},
    }


def told(task: str, bench: Workbench, runs: Runs, rates: Sequence[float], seeds: int) -> Iterator[str]:
    """What the trainings of a task say."""
    part = bench.task.judging
    assert part is not None
    judge = bench.task.judge(part)

    def found(way: Optimization, rate: float) -> list[dict[str, Any]]:
        return [runs[key(task, bench, way, rate, seed)] for seed in range(seeds)]

    trained_how = f"{pyramid_of(bench)}, {bench.steps} steps, {several(seeds, 'seed')}"
    yield f"\n{task}: {trained_how}, judged on {len(part)} examples"
    best: dict[Optimization, float] = {}
    for way in WAYS:
        reached = {
            rate: [float(np.mean(column)) for column in zip(*map(both_metrics, found(way, rate)), strict=True)]
            for rate in rates
        }
        best[way] = chosen_rate([Tried(rate, reached[rate][0]) for rate in rates])
        cells = [f"{rate:g}: {validation:.4f} / {judging:.4f}" for rate, (validation, judging) in reached.items()]
        edge = ", at an end of the rates" if best[way] in (min(rates), max(rates)) else ""
        yield f"  {way:12} validation / judging at rate {', '.join(cells)}; chosen {best[way]:g}{edge}"
    chosen = {way: measures(found(way, best[way]), judge) for way in WAYS}
    noise = pooled_noise(list(chosen.values()))
    means = {way: mean_measure(measured) for way, measured in chosen.items()}
    for way in WAYS[1:]:
        difference = means[way].metric - means[JOINT].metric
        half = difference_spread(means[way], means[JOINT], noise, seeds).half()
        low, high = difference_interval(difference, half, judge.metric.bounds)
        yield f"  {way:12} {100 * difference:+.2f} points to joint (95%: {100 * low:+.2f} to {100 * high:+.2f})"
    if noise is not None:
        yield f"  standard deviation over seeds {100 * noise.sd:.2f} points"
    yield from told_cosines({way: found(way, best[way]) for way in WAYS})


def both_metrics(run: dict[str, Any]) -> tuple[float, float]:
    """On the validation part, and on the judging part."""
    return run["validation"], run["judging"]["metric"]


def measures(found: Sequence[dict[str, Any]], judge: Judge) -> list[Measure]:
    """On the judging part, one a seed."""
    return [Measure.from_json(run["judging"], judge.influence) for run in found]


def told_cosines(found: dict[Optimization, list[dict[str, Any]]]) -> Iterator[str]:
    """Means over sites and seeds: over all steps, at the first and at the last."""
    for way, those in found.items():
        cells = []
        for pair in those[0]["cosines"]:
            curve = np.mean([run["cosines"][pair] for run in those], axis=0)
            opposed = np.mean([run["opposed"][pair] for run in those])
            ends = f"{curve[0]:+.3f} to {curve[-1]:+.3f}, {opposed:.0%} below 0"
            cells.append(f"{pair} {curve.mean():+.3f} ({ends})")
        yield f"  {way:12} cosines: {'; '.join(cells)}"


if __name__ == "__main__":
    main()
