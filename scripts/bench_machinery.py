"""What a search costs around its trainings when it has many trials: processor, memory, disk.

    OMP_NUM_THREADS=1 python -m scripts.bench_machinery --trials 500 2000 5000 --json machinery.json

The space of `spaces/pyramid.yaml` on 12 layers with three rates has 55,665 configurations; a trial is measured at
three rungs on 2,000 examples, and on 2,000 others at its end. Metrics are made up, all else is the program's own:
its loop, its rules, its SQLite file in an output folder. A study is filled with random configurations, as trials
are stored; then each sampler makes a few more, on a copy, in a process of its own. Told are

- the CPU of a trial beside its metrics, and of it that of the sampler's proposal, of what else comes before
  a training, of judging at rungs, and of telling the result;
- the seconds before the first of them, in which what is stored is read, and the most memory that was resident
  once the report was written too: with torch, but without a model;
- wall time and CPU of `status` and `report`, as commands;
- the size of the database, a trial.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.proxy.shelf import Shelf
from msplora_search.results.records import Evaluation, Measure, State, TrialRecord
from msplora_search.search.baselines import planned_baselines
from msplora_search.search.events import Event, SearchStarted, light
from msplora_search.search.loop import Loop
from msplora_search.search.model.candidates import Candidates, Ground
from msplora_search.search.model.features import Features
from msplora_search.search.objective import Objective
from msplora_search.search.part import make_loop, quiet_optuna
from msplora_search.search.proposal import Proposer
from msplora_search.search.repeats import noise_repeats
from msplora_search.search.results import load_results
from msplora_search.search.samplers.view import SamplerView
from msplora_search.search.store.address import DATABASE, default_url
from msplora_search.search.store.attributes import IN_SPACE, REPEAT, store_plan, store_progress
from msplora_search.search.store.facts import part_told
from msplora_search.search.store.identity import Crew, this_worker
from msplora_search.search.store.own_file import Watch
from msplora_search.search.store.sameness import FACTS, open_study
from msplora_search.search.store.storage import opened
from msplora_search.search.telling import tell_values
from msplora_search.search.turns import Turns
from msplora_search.settings import StudySettings, load_study
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import metric

LAYERS, UNIT, EXAMPLES, HEAD = 12, 2 * 2 * 384, 2000, 770
RUNGS, STEPS = (0.33, 0.67, 1.0), 189
STUDY = (
    "name=machinery", "space=pyramid", "space.learning_rate=[1e-3, 2e-3, 4e-3]", "search.trials=1000000",
    f"proxy.rungs={list(RUNGS)}",
)  # fmt: skip
STOPPED = 0.4
"""Share of the trials that fill a study which were stopped, half of them at the first rung."""
LUCKS = 8
"""Different outcomes of one ability; a search looks at each trial's own."""
JUDGE = Judge(metric("accuracy"), np.ones(EXAMPLES, dtype=np.int64))
PROGRAM = "from msplora_search.cli import main; main()"
SAMPLERS = ("random", "tpe", "front")


def main() -> None:
    """Measure in processes of their own, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[500, 2000, 5000])
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    parser.add_argument("--further", type=int, default=20, help="trials that are measured")
    parser.add_argument("--keep", type=Path, help="folder of the filled studies, which are taken from there again")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--part", nargs=3, metavar=("FOLDER", "SAMPLER", "TRIALS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        folder, sampler, trials = options.part
        print(json.dumps(search(Path(folder), sampler, int(trials))))
        return
    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        for trials in options.trials:
            filled = (options.keep or Path(scratch)) / str(trials)
            if not filled.is_dir():
                fill(filled, trials)
            figures[str(trials)] = found = measured(filled, Path(scratch), options.samplers, options.further)
            print_figures(trials, found)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def measured(filled: Path, scratch: Path, samplers: list[str], further: int) -> dict[str, Any]:
    """Everything of one filled study, which stays as it is."""
    found: dict[str, Any] = {}
    for sampler in samplers:
        with copied(filled, scratch) as folder:
            command = [
                sys.executable,
                "-m",
                "scripts.bench_machinery",
                "--part",
                str(folder),
                sampler,
                str(further),
            ]
            found[sampler] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    with copied(filled, scratch) as folder:
        for name in ("status", "report"):
            found[name] = seconds_of([sys.executable, "-c", PROGRAM, name, str(folder)])
        found["kb_a_trial"] = (folder / DATABASE).stat().st_size / 1000 / int(filled.name)
    return found


@contextmanager
def copied(filled: Path, scratch: Path) -> Iterator[Path]:
    """A copy for as long as the context lasts."""
    folder = scratch / "copy"
    shutil.copytree(filled, folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def seconds_of(command: list[str]) -> dict[str, float]:
    """Wall time and CPU of a command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall": wall, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


@dataclass(frozen=True)
class MadeUpTask:
    """Of which all examples are of one class."""

    chance: float = 0.5
    judges: tuple[Judge, Judge | None] = (JUDGE, JUDGE)


@dataclass(frozen=True)
class MadeUpBench:
    """A bench whose metrics rise with size and with the steps, and are noisy."""

    settings: StudySettings
    draw: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    task: MadeUpTask = MadeUpTask()
    steps: int = STEPS
    head_params: int = HEAD
    pool: dict[tuple[float, int], Measure] = field(default_factory=dict)

    @cached_property
    def difficulty(self) -> Any:
        """Of each example: what one training gets wrong, others mostly do."""
        return np.random.default_rng(1).normal(size=EXAMPLES)

    def space(self) -> SearchSpace:
        """Of 12 layers."""
        return self.settings.space.for_depth(LAYERS, self.settings.proxy.learning_rate)

    def adapter_params(self, pyramid: Pyramid) -> int:
        """In closed form."""
        return UNIT * pyramid.rank_units

    def measure(
        self, pyramid: Pyramid, learning_rate: float, seed: int | None = None, shelf: Shelf | None = None
    ) -> Iterator[Evaluation]:
        """One rung after another."""
        size = math.log(self.adapter_params(pyramid) / 1e4)
        ability = 1.0 + 0.03 * size + 0.05 * math.log(learning_rate / 2e-3) + 0.04 * self.draw.normal()
        for rung in RUNGS:
            measured = self.made_up(ability - 0.3 * (1 - rung))
            judged = self.made_up(ability) if rung == 1.0 else None
            yield Evaluation(
                **vars(measured), rung=rung, step=round(rung * STEPS), loss=0.5 - 0.1 * rung, judged=judged
            )

    def made_up(self, ability: float) -> Measure:
        """Measured on examples of which all trainings find the same ones hard, but for some luck."""
        place = round(ability, 2), int(self.draw.integers(LUCKS))
        if place not in self.pool:
            right = self.difficulty + 0.5 * self.draw.normal(size=EXAMPLES) < ability
            self.pool[place] = JUDGE.measure(right.astype(np.int64))
        return self.pool[place]


def settings_for(sampler: str) -> StudySettings:
    """The study; a sampler is no matter of its results."""
    return load_study("quickstart", [*STUDY, f"search.sampler={sampler}"])


def fill(folder: Path, trials: int) -> None:
    """A study of so many trials, in the program's form: baselines, their repeats, and random configurations."""
    bench, part = MadeUpBench(settings_for("random")), Path(f"{folder}.part")
    part.mkdir(parents=True)
    proposer, worker = Proposer(bench.space()), this_worker(Crew.of_this_call(None))
    ground = Ground(proposer.space, bench.adapter_params, Features.of(proposer.space.targets))
    with quiet_optuna(), opened(default_url(part)) as storage:
        study = open_study(bench.settings, storage)
        study.set_user_attr(FACTS, facts(bench, proposer.space, ground))
        for ended, parameters, attributes in ended_trials(bench, proposer, ground, trials):
            trial = optuna.trial.create_trial(
                values=[0.0, 0.0],
                params=parameters,
                distributions={name: proposer.dimensions[name] for name in parameters},
                user_attrs=attributes,
            )
            store_plan(trial, ended, worker)
            store_progress(trial, ended)
            trial.values = list(tell_values(trial, ended, bench.task.chance))
            study.add_trial(trial)
    part.rename(folder)


def ended_trials(
    bench: MadeUpBench, proposer: Proposer, ground: Ground, trials: int
) -> Iterator[tuple[TrialRecord, dict[str, Any], dict[str, Any]]]:
    """So many, each with its parameters and the attributes that it is enqueued with."""
    search, candidates = bench.settings.search, Candidates.of(ground)
    baselines = planned_baselines(proposer.space, search)
    own = [record(i, b.pyramid, b.learning_rate, bench, b.name) for i, b in enumerate(baselines)]
    for one in own:
        yield one, {}, {"baseline": one.baseline, IN_SPACE: False}
    number = len(own)
    for repeat in noise_repeats(own, baselines, search):
        again = record(number, repeat.pyramid, repeat.learning_rate, bench, repeat.baseline)
        attributes = {REPEAT: repeat.to_json(), IN_SPACE: False}
        yield replace(again, seed=repeat.seed, repeat_of=repeat.of), {}, attributes
        number += 1
    left = trials - number
    for place in bench.draw.choice(len(candidates.costs), left, replace=False):
        choice, rate = candidates.proposals[place]
        parameters = proposer.parameters(choice, rate)
        inside = {name: value for name, value in parameters.items() if name in proposer.dimensions}
        yield record(number, choice.pyramid(), rate, bench), inside, {}
        number += 1


def record(
    number: int, pyramid: Pyramid, rate: float, bench: MadeUpBench, baseline: str | None = None
) -> TrialRecord:
    """A trial as it ended."""
    luck, curve, params = bench.draw.random(), tuple(bench.measure(pyramid, rate)), bench.adapter_params(pyramid)
    whole = TrialRecord(
        number=number, state=State.COMPLETE, baseline=baseline, pyramid=pyramid, learning_rate=rate,
        adapter_params=params, trainable_params=params + HEAD, curve=curve, steps=STEPS, planned_steps=STEPS,
        seconds=60.0,
    )  # fmt: skip
    if baseline is not None or luck > STOPPED:
        return whole
    reached = curve[: 1 if luck < STOPPED / 2 else 2]
    why = f"its chance to enter the front is 2% at rung {reached[-1].rung:g}"
    return replace(whole, state=State.PRUNED, curve=reached, steps=reached[-1].step, reason=why)


def facts(bench: MadeUpBench, space: SearchSpace, ground: Ground) -> dict[str, Any]:
    """What a report needs beside the trials."""
    return {
        "settings": bench.settings.model_dump(mode="json"),
        **part_told(JUDGE),
        "judging": part_told(JUDGE),
        "classes": ["negative", "positive"],
        "train_examples": 2000,
        "validation_examples": EXAMPLES,
        "layers": LAYERS,
        "configurations": space.size,
        "pyramids": space.pyramids,
        "proxy_steps": STEPS,
        "head_params": HEAD,
        "lora_units": {" ".join(targets): UNIT * LAYERS for targets in space.targets},
        "reference_point": {"metric": 0.5, "log10_adapter_params": math.log10(UNIT * space.max_rank_units)},
    }


def search(folder: Path, sampler: str, trials: int) -> dict[str, float]:
    """So many further trials as `run` does them, then its report: CPU milliseconds a trial, seconds, memory."""
    from msplora_search.reporting.console import open_console
    from msplora_search.reporting.report import write_report
    from msplora_search.reporting.terminal import search_display
    from msplora_search.search.summary import summarise

    bench, crew, began = MadeUpBench(settings_for(sampler)), Crew.of_this_call(None), time.process_time()
    spent = {
        "training": timed(MadeUpBench, "made_up"),
        "asking Optuna": timed(SamplerView, "ask"),
        "proposing": timed(Objective, "_plan"),
        "asking": timed(Loop, "_begin"),
        "judging": timed(Objective, "_judge"),
        "telling": timed(Loop, "_tell"),
    }
    sys.stdout, stdout = open(os.devnull, "w"), sys.stdout  # noqa: SIM115 # what a search shows
    with quiet_optuna(), opened(default_url(folder)) as storage, search_display(open_console()) as show:

        def listen(event: Event) -> None:
            show(light(event))

        study = open_study(bench.settings, storage)
        turns = Turns.of(folder, None, bench.settings.name, listen)
        loop = make_loop(study, bench, [], turns, Watch.on(default_url(folder)), crew, 1, listen)
        space, records = loop.untried.space, tuple(loop.objective.history.records())
        listen(SearchStarted(space, space.size, 0, None, 0, STEPS, records, ()))
        loop.take()  # lists the space, and fits the model's kernel
        before = time.process_time() - began
        for times in spent.values():
            times.clear()
        began = time.process_time()
        for _ in range(trials):
            loop.take()
        whole = time.process_time() - began
    after_trials = peak_mb()
    write_report(summarise(load_results(folder)), folder)
    sys.stdout = stdout
    proposals = len(spent["proposing"])
    told = {name: 1000 * sum(times) / trials for name, times in spent.items()}
    told["proposing"] += told.pop("asking Optuna")
    told["asking"] -= told["proposing"]
    return {
        "trial": 1000 * whole / trials - told.pop("training"),
        **told,
        "proposals": proposals / trials,
        "seconds_before": before,
        "mb": after_trials,
        "mb_with_report": peak_mb(),
    }


def timed(kind: type, name: str) -> list[float]:
    """Of each call of a method from now on, the CPU seconds."""
    method, spent = getattr(kind, name), list[float]()

    @functools.wraps(method)
    def call(*arguments: Any) -> Any:
        began = time.process_time()
        try:
            return method(*arguments)
        finally:
            spent.append(time.process_time() - began)

    setattr(kind, name, call)
    return spent


def peak_mb() -> float:
    """The most memory that this process had resident, in MB (Linux counts it in KiB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) * (1 if sys.platform == "darwin" else 1024) / 1e6


def print_figures(trials: int, found: dict[str, Any]) -> None:
    """For people."""
    print(f"{trials:,} trials, {found['kb_a_trial']:.1f} kB of database each")
    for sampler, of in found.items():
        if sampler in SAMPLERS:
            parts = ", ".join(f"{name} {of[name]:.0f}" for name in ("proposing", "asking", "judging", "telling"))
            print(
                f"  {sampler:6} {of['trial']:.0f} ms of CPU a trial ({parts}), "
                f"{of['proposals']:.1f} proposals each; {of['seconds_before']:.1f} s "
                f"before the first; {of['mb']:.0f} MB, with the report {of['mb_with_report']:.0f} MB"
            )
    for name in ("status", "report"):
        print(f"  {name:6} {found[name]['wall']:.1f} s, {found[name]['cpu']:.1f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
