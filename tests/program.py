"""The command line as a user runs it, in processes that begin with everything imported.

Each call is a process of its own, with its folder, its environment and its exit status; only the seconds of
imports are spent once. What a start itself does is for tests that run PROGRAM.

A call waits for its end; what begins goes on beside the test, which reads it, stops it, and looks how it ended.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any

PROGRAM = Path(sys.executable).with_name("msplora-search")
ROOT = Path(__file__).parent.parent
IMPORTED = (
    "datasets", "matplotlib.pyplot", "msplora_search.cli", "msplora_search.full.delivery",
    "msplora_search.reporting.report", "msplora_search.scale.search", "optuna", "peft", "sklearn.metrics", "torch",
    "transformers.modeling_utils", "transformers.trainer",
)  # fmt: skip
MOST_SECONDS = 600
"""After which a call is ended."""
PROGRAM_CODE = "import sys; from msplora_search.cli import main; sys.exit(main())"
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
        returned = _ask(_asked(command, cwd, out, err))
        return subprocess.CompletedProcess(command, returned, out.read_text(), err.read_text())


class Begun:
    """A process that goes on, as `subprocess.Popen` has it with pipes of text for stdout and stderr."""

    def __init__(
        self, pid: int, folder: tempfile.TemporaryDirectory[str], stdout: IO[str], stderr: IO[str]
    ) -> None:
        self.pid, self.stdout, self.stderr = pid, stdout, stderr
        self.returncode: int | None = None
        self._folder = folder

    def poll(self) -> int | None:
        """How it ended; None while it goes on."""
        if self.returncode is None and (told := Path(self._folder.name, "ended")).exists():
            self.returncode = int(told.read_text())
        return self.returncode

    def send_signal(self, how: signal.Signals) -> None:
        """To it alone."""
        if self.poll() is None:
            os.kill(self.pid, how)

    def kill(self) -> None:
        """At once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = MOST_SECONDS) -> tuple[str, str]:
        """What it still says until its end. Raises subprocess.TimeoutExpired where that does not come."""
        end = time.monotonic() + timeout
        with ThreadPoolExecutor(2) as pool:
            said = [pool.submit(_rest, pipe) for pipe in (self.stdout, self.stderr)]
            while self.poll() is None or not all(one.done() for one in said):
                if time.monotonic() > end:
                    os.killpg(self.pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(str(self.pid), timeout)
                time.sleep(0.01)
        self._folder.cleanup()
        return said[0].result(), said[1].result()


def _rest(pipe: IO[str]) -> str:
    """Nothing where it was read before."""
    if pipe.closed:
        return ""
    with pipe:
        return pipe.read()


def begin(*words: object, cwd: Path, joined: bool = False, code: str = PROGRAM_CODE) -> Begun:
    """Begin the program, at the head of a session of its own, which the terminal's signals would reach as a whole.

    `joined`: stderr goes where stdout goes. `code`: what to run instead, with `words` in sys.argv.
    """
    folder = tempfile.TemporaryDirectory(prefix="msplora-begun-")
    out, err = (Path(folder.name) / name for name in ("out", "err"))
    os.mkfifo(out)
    os.mkfifo(err)
    asked = _asked([str(PROGRAM), *map(str, words)], cwd, out, out if joined else err)
    asked["environment"]["OMP_NUM_THREADS"] = "1"
    pid = _ask(asked | {"code": code, "ended": str(Path(folder.name) / "ended")})
    stdout = out.open(encoding="utf-8")
    return Begun(pid, folder, stdout, Path(os.devnull).open() if joined else err.open(encoding="utf-8"))


def _asked(command: list[str], cwd: Path | None, out: Path, err: Path) -> dict[str, Any]:
    return {
        "command": command,
        "cwd": str(cwd or Path.cwd()),
        "environment": dict(os.environ),
        "out": str(out),
        "err": str(err),
        "code": PROGRAM_CODE,
    }


def _ask(asked: dict[str, Any]) -> int:
    """The number with which the server answers."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(asked) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


@cache
def _server() -> subprocess.Popen[str]:
    """One for all tests of a process, in a session of its own: signals that tests send to groups pass it by."""
    made = subprocess.Popen(
        [sys.executable, "-c", SERVER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    atexit.register(_end, made)
    return made


def _end(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.communicate()


def serve() -> None:
    """Begin a process for each line of stdin; answer how it ended, or its number where it is to go on."""
    sys.path.remove("")  # the folder that the program is called in is no place for its modules
    for name in IMPORTED:
        import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = _go_on(asked) if "ended" in asked else _wait(asked)
        if answer is None:
            return  # what was asked for is done, in a process of its own
        print(answer, flush=True)


def _wait(asked: dict[str, Any]) -> int | None:
    child = os.fork()
    if not child:
        _become(**asked)
        return None
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(MOST_SECONDS)
    returned = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.alarm(0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # as the next process is to find it
    return returned


def _go_on(asked: dict[str, Any]) -> int | None:
    """Its number. A process that nobody waits for waits for it, and writes how it ended."""
    ended, (read, write) = asked.pop("ended"), os.pipe()
    if watch := os.fork():
        os.close(write)
        os.waitpid(watch, 0)
        with os.fdopen(read) as told:
            return int(told.read())
    os.close(read)
    if os.fork():
        os._exit(0)
    if child := os.fork():
        os.write(write, str(child).encode())
        os.close(write)
        Path(ended + ".new").write_text(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
        Path(ended + ".new").rename(ended)
        os._exit(0)
    os.close(write)
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where what started the tests ignores it
    _become(**asked)
    return None


def _become(command: list[str], cwd: str, environment: dict[str, str], out: str, err: str, code: str) -> None:
    """The program, in this process."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    written = os.O_WRONLY | os.O_CREAT
    for place, (path, mode) in enumerate(((os.devnull, os.O_RDONLY), (out, written), (err, written))):
        opened = os.open(path, mode, 0o600)
        os.dup2(opened, place)
        os.close(opened)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.argv = command
    exec(code, {"__name__": "__main__"})
