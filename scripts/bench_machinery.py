"""What a search costs around its trainings when it has many trials: processor, memory, disk.

    OMP_NUM_THREADS=1 python -m scripts.bench_machinery --trials 500 2000 5000 --json machinery.json

The space of `spaces/pyramid.yaml` on 12 layers with three rates has 55,665 configurations; a trial is measured on
500 examples at two rungs, on 2,000 and on 2,000 others at its end. Metrics are made up, all else is the program's
own: its loop, its rules, its SQLite file in an output folder. A study is filled with random configurations, as
trials are stored; then each sampler makes a few more, on a copy, in a process of its own. Told are

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
import gc
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msplora_search.search.events import Event, SearchStarted, light
from msplora_search.search.loop import Loop
from msplora_search.search.objective import Objective
from msplora_search.search.part import make_loop, quiet_optuna
from msplora_search.search.results import load_results
from msplora_search.search.samplers.view import SamplerView
from msplora_search.search.store.address import DATABASE, default_url
from msplora_search.search.store.identity import Crew
from msplora_search.search.store.own_file import Watch
from msplora_search.search.store.sameness import open_study
from msplora_search.search.store.storage import opened
from msplora_search.search.turns import Turns
from scripts.made_up import STEPS, MadeUpBench, fill, settings_for

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
        gc.freeze()
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
