"""A signal stops the program wherever the interpreter is when it comes."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOST = """
import os, signal, time, weakref
from msplora_search.stopping import last_signal, listen_for_signals

class Some: pass
def hit(*_): os.kill(os.getpid(), signal.{name})
class Falls:
    def __del__(self): hit()

listen_for_signals()
try:
    if {weak}:
        some = Some(); kept = weakref.ref(some, hit); del some
    else:
        Falls()
    for _ in range(300): time.sleep(0.01)
    print("went on")
except KeyboardInterrupt:
    print("stopped by", last_signal())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
@pytest.mark.parametrize("weak", [True, False], ids=["weak reference", "finaliser"])
@pytest.mark.parametrize(("name", "number"), [("SIGINT", 2), ("SIGTERM", 15)])
def test_a_signal_that_python_drops_is_raised_again(weak: bool, name: str, number: int) -> None:
    code = LOST.format(name=name, weak=weak)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"stopped by {number}\n", "")
