"""Trains every configuration of a space once, without pruning: the tables that searches are replayed on.

    python -m scripts.build_table digits --processes 2
    python -m scripts.build_table tiny --processes 2

Each training is written down as soon as it is done, in `runs/tables/NAME/`; killed and called again, it goes
on. They are done seed by seed in random order, so that what is there of an unfinished table is a fair sample of
it. When all are there, `scripts/tables/NAME.npz` is written.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from msplora_search.design.depth import split_evenly
from msplora_search.design.listing import every_choice
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.scaling import Scaling
from msplora_search.proxy.training import DivergedError, rung_steps
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings import StudySettings, load_study
from scripts.tables import FOLDER, Bits, Table, luck_of

WORK = Path("runs/tables")


@dataclass(frozen=True)
class Plan:
    """What a table holds."""

    study: str
    overrides: tuple[str, ...]
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    shapes: tuple[tuple[tuple[int, int, int], int], ...] = ()
    """Ranks and the number of equal groups of the pyramids to train; none: all of the space."""
    scalings: tuple[Scaling, ...] = (Scaling.STANDARD,)
    again: int = 0
    """Of a table with one seed: how many configurations, drawn at random, are trained with the next seed too, so
    that it is known how far trainings of one configuration differ."""

    def settings(self) -> StudySettings:
        return load_study(self.study, self.overrides)


SENTENCES = (
    "proxy.train_examples=480", "proxy.batch_size=16", "proxy.validation_examples=500",
    "proxy.judging_examples=1000", "proxy.epochs=2", "proxy.rungs=[0.3, 0.6, 1.0]",
)  # fmt: skip
IMAGES = (
    "proxy.train_examples=256", "proxy.validation_examples=400", "proxy.judging_examples=600", "proxy.epochs=4",
    "proxy.rungs=[0.25, 0.5, 1.0]",
)  # fmt: skip
SHAPES = (
    ((1, 0, 0), 1), ((2, 0, 0), 1), ((4, 0, 0), 1), ((8, 0, 0), 1), ((0, 1, 0), 2), ((0, 0, 1), 1), ((0, 2, 0), 2),
    ((0, 0, 2), 1), ((0, 4, 0), 2), ((0, 0, 8), 1), ((0, 4, 0), 3), ((1, 1, 1), 3), ((1, 1, 0), 2), ((2, 2, 2), 3),
    ((2, 2, 0), 2), ((8, 4, 2), 3), ((8, 4, 0), 2), ((1, 0, 1), 1), ((4, 0, 1), 1), ((8, 0, 2), 1), ((0, 1, 1), 2),
    ((0, 4, 2), 2), ((4, 2, 1), 2), ((4, 4, 1), 3),
)  # fmt: skip
PLANS = {
    "tiny": Plan("quickstart", SENTENCES, rates=(2e-3,), seeds=(0,), again=60),
    "digits": Plan("offline_images", IMAGES, rates=(4e-3, 8e-3, 16e-3), seeds=(0, 1, 2)),
    "scaling-images": Plan(
        "offline_images", IMAGES, rates=(1e-3, 2e-3, 4e-3, 8e-3, 16e-3), seeds=(0, 1, 2), shapes=SHAPES,
        scalings=tuple(Scaling),
    ),
    "scaling-sentences": Plan(
        "quickstart", SENTENCES, rates=(1e-3, 2e-3, 4e-3, 8e-3), seeds=(0,), shapes=SHAPES[::2],
        scalings=tuple(Scaling),
    ),
}  # fmt: skip
Key = tuple[int, int, int]
"""Places of pyramid, rate and seed."""


def main() -> None:
    """Train what is missing; write the table when nothing is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=PLANS)
    parser.add_argument("--processes", type=int, default=2, help="trainings at a time, each on one thread")
    options = parser.parse_args()
    folder = WORK / options.table
    folder.mkdir(parents=True, exist_ok=True)
    workers = [
        get_context("spawn").Process(target=work, args=(options.table, folder, i, options.processes))
        for i in range(options.processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    table = collect(options.table, folder)
    if table is not None:
        path = FOLDER / f"{options.table}.npz"
        table.save(path)
        print(f"wrote {path}: {path.stat().st_size:,} bytes")


def work(name: str, folder: Path, worker: int, workers: int) -> None:
    """One worker's part: every training of its share that is not written down yet."""
    import torch

    torch.set_num_threads(1)
    plan = PLANS[name]
    bench = Workbench.load(plan.settings())
    pyramids = pyramids_of(plan, bench)
    done = {key for key, _ in journal(folder)}
    todo = list(product(range(len(pyramids)), range(len(plan.rates)), range(len(plan.seeds))))
    random.Random(0).shuffle(todo)
    todo.sort(key=lambda key: key[2])
    todo += [(pyramid, rate, len(plan.seeds)) for pyramid, rate, _ in todo[: plan.again]]
    seeds = [*plan.seeds, plan.seeds[-1] + 1]
    mine = [key for key in todo[worker::workers] if key not in done]
    truth, judged = bench.task.validation.truth, bench.task.judging.truth if bench.task.judging else None
    with (folder / f"worker-{worker}-of-{workers}.jsonl").open("a") as file:
        for count, key in enumerate(mine, start=1):
            began, curve, judging = time.monotonic(), [], None
            try:
                for e in bench.measure(pyramids[key[0]], plan.rates[key[1]], seeds[key[2]]):
                    curve.append({"loss": e.loss, "right": bits(e.predictions == truth)})
                    if e.judged is not None:
                        judging = bits(e.judged.predictions == judged)
            except DivergedError:
                pass
            seconds = round(time.monotonic() - began, 2)
            file.write(json.dumps({"key": key, "curve": curve, "judging": judging, "seconds": seconds}) + "\n")
            file.flush()
            if count % 20 == 0:
                print(f"worker {worker}: {count} of {len(mine)}", flush=True)


def pyramids_of(plan: Plan, bench: Workbench) -> list[Pyramid]:
    """Those to train, by rising parameters; once for each scaling."""
    space = bench.space()
    found = [
        Pyramid.from_split(ranks, split_evenly(space.layers, groups), space.targets[0])
        for ranks, groups in plan.shapes
    ]
    if not found:
        found = [pyramid for pyramid, _ in every_choice(space)]
        found.sort(key=lambda pyramid: (bench.adapter_params(pyramid), str(pyramid)))
    return [scaled(pyramid, scaling) for scaling in plan.scalings for pyramid in found]


def scaled(pyramid: Pyramid, scaling: Scaling) -> Pyramid:
    """The same with another scaling."""
    return Pyramid(pyramid.global_rank, pyramid.groups, pyramid.targets, pyramid.alpha, scaling)


def journal(folder: Path) -> Iterator[tuple[Key, dict[str, Any]]]:
    """What is written down; a line that a kill cut off is left out."""
    for path in sorted(folder.glob("worker-*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                continue
            a, b, c = told["key"]
            yield (a, b, c), told


def bits(right: Any) -> str:
    return base64.b85encode(np.packbits(np.asarray(right, dtype=bool)).tobytes()).decode()


def told(text: str, count: int) -> Bits:
    return np.unpackbits(np.frombuffer(base64.b85decode(text), dtype=np.uint8), count=count).astype(bool)


def collect(name: str, folder: Path) -> Table | None:
    """The table, where every training is written down."""
    plan = PLANS[name]
    bench = Workbench.load(plan.settings())
    pyramids = pyramids_of(plan, bench)
    found = dict(journal(folder))
    shape = (len(pyramids), len(plan.rates), len(plan.seeds))
    again = {key: found.pop(key) for key in [*found] if key[2] == len(plan.seeds)}
    missing = int(np.prod(shape)) + plan.again - len(found) - len(again)
    if missing:
        print(f"{missing:,} trainings are missing")
        return None
    rungs = plan.settings().proxy.rungs
    examples, judged = len(bench.task.validation), len(bench.task.judging) if bench.task.judging else 0
    validation = np.zeros((*shape, len(rungs), examples), dtype=bool)
    judging = np.zeros((*shape, judged), dtype=bool)
    losses = np.full((*shape, len(rungs)), np.nan, dtype=np.float32)
    for key, training in found.items():
        for rung, measured in enumerate(training["curve"]):
            validation[*key, rung] = told(measured["right"], examples)
            losses[*key, rung] = measured["loss"]
        if training["judging"] is not None:
            judging[key] = told(training["judging"], judged)
    both = [(judging[(*key[:2], 0)], told(training["judging"], judged)) for key, training in again.items()]
    return Table(
        fields=plan.settings().model_dump(mode="json", exclude={"origin"}),
        pyramids=tuple(pyramids),
        parameters=np.array([bench.adapter_params(pyramid) for pyramid in pyramids]),
        rates=plan.rates, seeds=plan.seeds, rungs=rungs, steps=rung_steps(bench.steps, rungs),
        validation=validation, judging=judging, losses=losses, chance=bench.task.chance, layers=bench.layers,
        luck=luck_of(np.array(both)) if both else 0.0,
    )  # fmt: skip


if __name__ == "__main__":
    main()
