"""A signal stops the program wherever the interpreter is when it comes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from msplora_search.cli import app
from msplora_search.stopping import ANEW, GOES_ON, said_when_stopped, say_when_stopped

FRONT = Path(__file__).parent / "golden" / "front.json"
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


@pytest.mark.parametrize(
    ("words", "at", "said"),
    [
        ("run study.yaml", "settings.load_study", GOES_ON),
        ("worker study.yaml --storage postgresql://host/name", "settings.load_study", GOES_ON),
        ("train recipe.yaml", "settings.recipe.load_recipe", GOES_ON),
        ("confirm out", "search.results.load_results", GOES_ON),
        ("export out --to recipe", "search.results.load_results", ANEW),
        ("report out", "search.results.load_results", ANEW),
        ("status out", "search.results.load_results", ANEW),
        ("plot out --to a.png", "reporting.figures.sources.load_shown", ANEW),
        ("table out --to a.tex", "reporting.figures.sources.load_shown", ANEW),
        ("analyze lora", "analysis.asked.answer", ANEW),
        ("compress lora --to out", "compression.lora.read_lora", f"nothing was written, and {ANEW}"),
    ],
)
def test_that_a_command_goes_on_is_said_of_those_that_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str, at: str, said: str
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"msplora_search.{at}", stop)
    monkeypatch.chdir(tmp_path)
    say_when_stopped(ANEW)  # as in a process of its own
    assert CliRunner().invoke(app, words.split()).exit_code == 130
    assert said_when_stopped() == said
    say_when_stopped(ANEW)


HALFWAY = """
import os, signal, sys
from msplora_search import cli
from msplora_search.reporting import tables

tables.front_table = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
sys.argv = ["msplora-search", "table", sys.argv[1], "--to", "t.tex"]
cli.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
def test_a_table_that_is_stopped_begins_anew(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HALFWAY, str(FRONT)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "", f"stopped; {ANEW}\n")
    assert not list(tmp_path.iterdir())
