"""What a search costs around its training steps: a worker's start, the switch between trials, memory.

    python scripts/bench_loop.py --json loop.json

Runs the quickstart with proxies of a few steps, each measurement in a process of its own: seconds from its
start to the first training step, and to the first step of a worker that it starts, and starts again;
milliseconds from the last measurement of a trial to the first step of the next; the most memory that was
resident, beside that of the bare model with one batch forward and backward.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

SHORT = ("proxy.train_examples=128", "proxy.validation_examples=128", "proxy.epochs=1", "proxy.rungs=[1.0]")


def main() -> None:
    """Measure in processes of their own, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part]()))
        return
    part("search")  # fills the caches
    searches = [part("search") for _ in range(options.repeats)]
    bares = [part("bare") for _ in range(options.repeats)]
    crews = [part("workers") for _ in range(options.repeats)]
    switches = [ms for found in searches for ms in found["switch_ms"]]
    memory, least = (float(np.median([found["peak_mb"] for found in some])) for some in (searches, bares))
    figures = {
        "seconds_to_first_step": float(np.median([found["seconds_to_first_step"] for found in searches])),
        "seconds_to_first_step_of_worker": float(np.median([found["first"] for found in crews])),
        "seconds_to_first_step_of_later_worker": float(np.median([found["later"] for found in crews])),
        "switch_ms": float(np.median(switches)),
        "switch_ms_90": float(np.quantile(switches, 0.9)),
        "peak_mb": memory,
        "bare_peak_mb": least,
        "memory_ratio": memory / least,
    }
    print(f"first step after {figures['seconds_to_first_step']:.1f} s (median of {options.repeats})")
    print(f"of a worker {figures['seconds_to_first_step_of_worker']:.1f} s, of a later one "
          f"{figures['seconds_to_first_step_of_later_worker']:.1f} s")  # fmt: skip
    print(f"switch between trials {figures['switch_ms']:.0f} ms (median of {len(switches)}; 9 of 10 below "
          f"{figures['switch_ms_90']:.0f} ms)")  # fmt: skip
    print(f"peak memory {memory:.0f} MB, the bare model's {least:.0f} MB: {memory / least:.2f} times")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def part(name: str) -> dict[str, Any]:
    """Run one measurement in a fresh process."""
    done = subprocess.run([sys.executable, __file__, "--part", name], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def search() -> dict[str, Any]:
    """A search of ten trials."""
    import psutil
    from bench_engine import Timed  # type: ignore[import-not-found]

    from msplora_search.proxy.workbench import Workbench
    from msplora_search.search.events import Event, TrialMeasured
    from msplora_search.search.part import work_off
    from msplora_search.search.store.identity import Crew
    from msplora_search.settings import load_study

    began = psutil.Process().create_time()
    settings = load_study("quickstart", [*SHORT, "search.trials=20", "search.sampler=random", "pruning.rule=none"])
    bench = Workbench.load(settings)
    moments: list[float] = []
    training = bench.batches.training
    timed = Timed(training.task, training.part, training.rows, moments)
    bench = replace(bench, batches=replace(bench.batches, training=timed, judging=None))
    measured: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, TrialMeasured):
            measured.append(time.perf_counter())

    offset = time.time() - time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        work_off(bench, Path(folder), None, Crew.of_this_call(None), 0, listen)
    starts = moments[:: bench.steps]
    switches = [1000 * (after - before) for before, after in zip(measured[:-1], starts[1:], strict=True)]
    return {"seconds_to_first_step": starts[0] + offset - began, "switch_ms": switches, "peak_mb": peak_mb()}


def workers() -> dict[str, Any]:
    """Two workers one after another: the first also waits for the process that the others come from."""
    from msplora_search.scale.crew import together
    from msplora_search.search.events import Event, TrialStarted
    from msplora_search.search.part import take_part
    from msplora_search.search.store.identity import Crew
    from msplora_search.settings import load_study

    class Begun(Exception):  # noqa: N818 # it is no error
        pass

    def listen(event: Event) -> None:
        if isinstance(event, TrialStarted):
            raise Begun

    settings = load_study("quickstart", SHORT)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            began = time.perf_counter()
            with contextlib.suppress(Begun):
                together(1, take_part, (settings, Path(folder), None, Crew.of_this_call(None)), listen)
            seconds.append(time.perf_counter() - began)
    return {"first": seconds[0], "later": seconds[1]}


def bare() -> dict[str, Any]:
    """The model as transformers loads it, and one batch of the same examples forward and backward."""
    from transformers import AutoModelForSequenceClassification

    from msplora_search.proxy.batching import ProxyBatches
    from msplora_search.settings import load_study
    from msplora_search.tasks.processors import load_tokenizer, model_location
    from msplora_search.tasks.task import prepare

    settings = load_study("quickstart", SHORT)
    task = prepare(settings, load_tokenizer(settings.model))
    batches = ProxyBatches.of(task, settings.proxy, 0).training
    longest = max(batches, key=lambda batch: batch.inputs["input_ids"].numel())
    model: Any = AutoModelForSequenceClassification.from_pretrained(model_location(settings.model))
    task.loss(model, longest).backward()  # type: ignore[no-untyped-call]
    return {"peak_mb": peak_mb()}


def peak_mb() -> float:
    """The most memory that this process had resident, in MB (Linux counts it in KiB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) * (1 if sys.platform == "darwin" else 1024) / 1e6


PARTS: dict[str, Callable[[], dict[str, Any]]] = {"search": search, "workers": workers, "bare": bare}


if __name__ == "__main__":
    main()
