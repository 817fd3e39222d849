"""How long a search takes from a signal to its end: it finishes the step, keeps it, and says how to go on.

    python scripts/bench_stopping.py --times 6 --workers 1 2

The quickstart is started, stopped by SIGINT and SIGTERM in turn some seconds after it has its data, and goes
on in the same folder the next time; told are the seconds until its process, and all that it started, has ended.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(sys.executable).parent / "msplora-search"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Start, stop, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=6, help="that each search is stopped")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    draw = np.random.default_rng(0)
    for workers in options.workers:
        with tempfile.TemporaryDirectory() as folder:
            taken = [
                stopped(Path(folder), workers, SIGNALS[i % 2], float(draw.uniform(0, 12)))
                for i in range(options.times)
            ]
        each = ", ".join(f"{seconds:.1f}" for seconds in taken)
        print(f"{workers} workers: {max(taken):.1f} s at most ({each})", flush=True)


def stopped(folder: Path, workers: int, how: signal.Signals, after: float) -> float:
    """Seconds from a signal, so many seconds after a search has begun a trial, to the end of all its processes."""
    words = [PROGRAM, "run", ROOT / "studies" / "quickstart.yaml", "--output", "out", "--workers", str(workers)]
    run = subprocess.Popen(
        [str(word) for word in words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip
    assert run.stdout is not None
    next(line for line in run.stdout if line.startswith(("the judging part", "going on")))
    time.sleep(3 + after)
    began = time.monotonic()
    os.kill(run.pid, how)
    run.communicate()
    while _lives(run.pid):
        time.sleep(0.02)
    taken = time.monotonic() - began
    assert run.returncode == 128 + how, f"it ended with {run.returncode}"
    assert list((folder / "out" / ".unfinished").iterdir()), "it kept nothing of the training"
    return taken


def _lives(group: int) -> bool:
    """Whether any process of a session is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
