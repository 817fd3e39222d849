"""The command line as a user runs it, in processes that begin with everything imported.

Each call is a process of its own, with its folder, its environment and its exit status; only the seconds of
imports are spent once. What a start itself does is for tests that run PROGRAM.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("msplora-search")
ROOT = Path(__file__).parent.parent
IMPORTED = (
    "datasets", "matplotlib.pyplot", "msplora_search.cli", "msplora_search.full.delivery",
    "msplora_search.reporting.report", "msplora_search.scale.search", "optuna", "peft", "sklearn.metrics", "torch",
    "transformers.modeling_utils", "transformers.trainer",
)  # fmt: skip
MOST_SECONDS = 600
"""After which a call is ended."""
SERVER = "from tests.program import serve; serve()"
Finished = subprocess.CompletedProcess[str]


def call(*words: object, cwd: Path | None = None, limit: Callable[[], None] | None = None) -> Finished:
    """Run the program with no terminal. `limit`: what its process does before it starts, on its own then."""
    command = [str(PROGRAM), *map(str, words)]
    if limit is not None:
        return subprocess.run(
            command, capture_output=True, text=True, cwd=cwd, timeout=MOST_SECONDS, preexec_fn=limit, check=False
        )
    with tempfile.TemporaryDirectory(prefix="msplora-call-") as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        asked = {
            "command": command,
            "cwd": str(cwd or Path.cwd()),
            "environment": dict(os.environ),
            "out": str(out),
            "err": str(err),
        }
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        returned = int(server.stdout.readline())
        return subprocess.CompletedProcess(command, returned, out.read_text(), err.read_text())


@cache
def _server() -> subprocess.Popen[str]:
    """One for all tests of a process, in a session of its own: signals that tests send to groups pass it by."""
    made = subprocess.Popen(
        [sys.executable, "-c", SERVER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    atexit.register(made.kill)
    return made


def serve() -> None:
    """Begin a process for each line of stdin, one after another, and tell how it ended."""
    sys.path.remove("")  # the folder that the program is called in is no place for its modules
    for name in IMPORTED:
        import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(**json.loads(line))
            return
        signal.signal(signal.SIGALRM, lambda *_, child=child: os.kill(child, signal.SIGKILL))
        signal.alarm(MOST_SECONDS)
        returned = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # as the next process is to find it
        print(returned, flush=True)


def _become(command: list[str], cwd: str, environment: dict[str, str], out: str, err: str) -> None:
    """The program, in this process."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    written = os.O_WRONLY | os.O_CREAT
    for place, (path, mode) in enumerate(((os.devnull, os.O_RDONLY), (out, written), (err, written))):
        opened = os.open(path, mode, 0o600)
        os.dup2(opened, place)
        os.close(opened)
    sys.argv = command
    sys.exit(import_module("msplora_search.cli").main())
