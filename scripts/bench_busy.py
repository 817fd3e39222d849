"""What a proxy costs beside busy neighbours, by how its threads wait for each other and how many they are.

    python scripts/bench_busy.py --neighbours 0 1 2 4 --rounds 3 --json busy.json

Threads that compute one product together wait for the last of them. They spin meanwhile, by default: on a machine
of one's own that is fastest; where neighbours want the processor, they spin away the time that the last one needs.

Each way of waiting is a process of its own, in which one and the same part of the quickstart's proxy is trained
and evaluated again and again; ways and numbers of neighbours take turns, and all but one process sleeps. A
neighbour is a process that computes without end on one thread. Prints seconds, and the ratio to the first way on a
quiet machine; beside it the fair share: max(c, t + n) / t with t threads and n neighbours on c processors.
Threads that wait for each other cannot have it where one neighbour sits on one of two processors: the slower one
decides.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Way:
    """How one search, or a crew of workers, uses the processors."""

    environment: dict[str, str]
    workers: int = 1
    """Processes of which each trains; a way takes as long as the slowest."""
    pinned: bool = False
    """Whether each of them has processors of its own."""


ALONE = {"OMP_NUM_THREADS": "1"}
WAYS = {
    "spinning": Way({"OMP_WAIT_POLICY": "active"}),
    "default": Way({}),
    **{f"spin {n}": Way({"GOMP_SPINCOUNT": str(n)}) for n in (1000, 5000, 20_000, 80_000)},
    "passive": Way({"OMP_WAIT_POLICY": "passive"}),
    "one thread": Way(ALONE),
    "crew": Way(ALONE, workers=len(os.sched_getaffinity(0))),
    "crew, pinned": Way(ALONE, workers=len(os.sched_getaffinity(0)), pinned=True),
}
SHORT = ("proxy.train_examples=320", "proxy.validation_examples=300", "proxy.epochs=1", "proxy.rungs=[1.0]",
         "proxy.judging_examples=0")  # fmt: skip
READY = "ready"
Worker = subprocess.Popen[str]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neighbours", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument(
        "--ways", nargs="+", choices=WAYS, default=["default", "spin 1000", "passive", "one thread"]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work()
        return
    crews = {way: start(WAYS[way]) for way in options.ways}
    seconds: dict[tuple[str, int], list[float]] = {}
    try:
        for _, neighbours, way in product(range(options.rounds), options.neighbours, options.ways):
            with busy(neighbours):
                seconds.setdefault((way, neighbours), []).append(ask(crews[way]))
    finally:
        for worker in (worker for crew in crews.values() for worker in crew):
            worker.kill()
            worker.wait()
    cores = len(os.sched_getaffinity(0))
    quiet = float(np.median(seconds[options.ways[0], options.neighbours[0]]))
    print(f"{cores} processors; ratios to {options.ways[0]!r} beside {options.neighbours[0]}: {quiet:.1f} s")
    for way, neighbours in product(options.ways, options.neighbours):
        threads = WAYS[way].workers * int(WAYS[way].environment.get("OMP_NUM_THREADS", cores))
        share = max(cores, threads + neighbours) / threads
        low, middle, high = np.quantile(seconds[way, neighbours], [0, 0.5, 1])
        print(
            f"{way:12} beside {neighbours}: {middle:6.1f} s ({low:.1f} to {high:.1f}), "
            f"{middle / quiet:5.2f} times; its share {share:.2f}"
        )
    if options.json:
        told = [{"way": way, "neighbours": n, "seconds": each} for (way, n), each in seconds.items()]
        options.json.write_text(json.dumps(told, indent=2) + "\n")


def start(way: Way) -> list[Worker]:
    """Processes that train whenever they are asked, with everything loaded."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    crew = []
    for processor in sorted(os.sched_getaffinity(0))[: way.workers]:
        worker = subprocess.Popen(
            [sys.executable, __file__, "--work"], env={**plain, **way.environment}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        if way.pinned:
            os.sched_setaffinity(worker.pid, [processor])
        crew.append(worker)
    assert all(worker.stdout and worker.stdout.readline().strip() == READY for worker in crew)
    return crew


def ask(crew: list[Worker]) -> float:
    """Seconds until each has trained once more."""
    began = time.monotonic()
    for worker in crew:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    assert all(worker.stdout and worker.stdout.readline() for worker in crew)
    return time.monotonic() - began


def work() -> None:
    """Train once as a rehearsal, then once a line that is read."""
    from msplora_search.design.pyramid import Pyramid
    from msplora_search.proxy.workbench import Workbench
    from msplora_search.settings import load_study

    bench = Workbench.load(load_study("quickstart", SHORT))
    pyramid = Pyramid.geometric(8, bench.layers)
    list(bench.measure(pyramid, 2e-3))
    print(READY, flush=True)
    for _ in sys.stdin:
        list(bench.measure(pyramid, 2e-3))
        print(READY, flush=True)


@contextmanager
def busy(neighbours: int) -> Iterator[None]:
    """So many processes that compute."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
    try:
        time.sleep(0.5 * bool(neighbours))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
