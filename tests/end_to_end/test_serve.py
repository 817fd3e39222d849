"""The page of a search that goes on, through the command line: it changes, and ends when the search does."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from msplora_search import run_study
from msplora_search.settings import StudySettings
from msplora_search.tasks.cache import CACHE_VARIABLE
from tests import program
from tests.reporting.live.serving import ask, version_of
from tests.servers import HOST, free_port
from tests.small import study_fields, write_study

STOPPED = "stopped; the same command goes on from here\n"


def start(folder: Path, *words: object) -> program.Begun:
    return program.begin(*words, cwd=folder)


def live_line(process: program.Begun) -> tuple[str, int]:
    """The line with the address, and its port."""
    line = next((line for line in process.stdout if line.startswith("Live: ")), "")
    match = re.match(r"Live: http://127\.0\.0\.1:(\d+)/ ", line)
    assert match, process.communicate(timeout=60)
    return line, int(match[1])


def embedded(page: str, name: str) -> dict[str, Any]:
    """The JSON that a page holds."""
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page)
    assert found
    told: dict[str, Any] = json.loads(found[1])
    return told


def state_of(page: str) -> str:
    """What a page says of the search."""
    found = re.search(r'<p id="state" role="status">(.*?)</p>', page)
    assert found
    return found[1]


def whole_text(page: str) -> str:
    """The report in a page, with its pictures."""
    return page.partition('id="whole">')[2].partition("</details>")[0]


def trained_trials(page: str) -> int:
    """How many rows of its table were trained: random proposals come twice, as often as workers happen to ask."""
    return sum(trial["state"] == "complete" for trial in embedded(page, "data")["page"]["trials"])


def wait_for(there: Callable[[], bool], seconds: float = 120) -> None:
    """Until it is so."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.1)


def is_served(port: int) -> bool:
    """Whether anybody listens there."""
    with socket.socket() as asking:
        return asking.connect_ex((HOST, port)) == 0


@pytest.mark.slow
def test_the_page_follows_a_search_and_is_the_report_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    wide = {"global_rank": list(range(1, 60)), "mid_rank": [0], "layer_rank": [0]}
    search = {"trials": 8, "sampler": "random"}
    study = write_study(tmp_path, space=wide, search=search, proxy={"epochs": 15}, pruning={"rule": "none"})
    chosen = free_port()
    process = start(tmp_path, "run", study, "--output", "out", "--workers", 2, "--serve", "--port", chosen)
    line, port = live_line(process)
    assert port == chosen
    assert line.endswith("(until the search ends)\n")
    pages: list[str] = []
    told = version_of(port)
    while not pages or not told["last"]:
        answer, body = ask(port)
        assert answer.status == 200
        pages.append(body.decode())
        served = psutil.Process(process.pid).children(recursive=True)
        told = version_of(port, answer.getheader("ETag", "").strip('"'))
    last = ask(port)[1].decode()
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    reports = [page for page in pages if 'id="data"' in page]
    assert all(state_of(page).startswith("The search goes on: ") for page in reports)
    assert all("begins" in state_of(page) for page in pages if page not in reports)
    counts = [trained_trials(page) for page in reports]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] or len(counts) == 1
    assert state_of(last) == "The search has ended: 10 of 10 trials."
    assert embedded(last, "live")["last"] is True
    written = (tmp_path / "out" / "report" / "report.html").read_text(encoding="utf-8")
    assert embedded(last, "data") == embedded(written, "data")
    assert whole_text(last) == whole_text(written) != ""
    assert trained_trials(last) == 10 > counts[0]
    assert served
    assert psutil.wait_procs(served, timeout=10)[1] == []
    assert not is_served(port)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code", "said"),
    [(signal.SIGINT, 130, STOPPED), (signal.SIGTERM, 143, STOPPED), (signal.SIGKILL, -9, "")],
)
def test_the_page_ends_with_the_search_however_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals, code: int, said: str
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    study = write_study(tmp_path, search={"trials": 6, "sampler": "random"}, proxy={"epochs": 300})
    process = start(tmp_path, "run", study, "--output", "out", "--serve")
    _, port = live_line(process)
    wait_for(lambda: b"The search goes on" in ask(port)[1])
    family = psutil.Process(process.pid).children(recursive=True)
    (server,) = [of for of in family if any(c.laddr.port == port for c in of.net_connections() if c.laddr)]
    server.send_signal(signal.SIGINT)  # which is the search's to hear
    assert ask(port)[0].status == 200
    if how == signal.SIGINT:
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, said)
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert not is_served(port)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a search that came to its end; no report was written."""
    folder = tmp_path_factory.mktemp("finished")
    os.environ[CACHE_VARIABLE] = str(folder / "cache")
    settings = StudySettings.model_validate(study_fields(folder, search={"trials": 2, "sampler": "random"}))
    return run_study(settings, folder / "out")


@pytest.mark.slow
def test_a_finished_study_is_served_until_ctrl_c_and_nothing_is_written(finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    process = start(finished.parent, "report", "out", "--serve")
    line, port = live_line(process)
    assert line.endswith("(until Ctrl-C). The search has ended: 4 of 4 trials.\n")
    page = ask(port)[1].decode()
    assert state_of(page) == "The search has ended: 4 of 4 trials."
    assert embedded(page, "live")["last"] is False
    assert "msplora-search export out --pick trial=" in page
    taken = program.call("report", finished, "--serve", "--port", port)
    assert (taken.returncode, taken.stdout, taken.stderr.count("\n")) == (2, "", 1)
    assert taken.stderr.startswith(f"error: --port {port}: cannot be served on 127.0.0.1 (")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before
    assert not is_served(port)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report", "out", "--serve"], "holds no study.db"),
        (["report", "out", "--port", "8000"], "--port 8000: is for --serve"),
        (["run", "study.yaml", "--port", "8000"], "--port 8000: is for --serve"),
        (["run", "study.yaml", "--serve", "--port", "65536"], "'--port'"),
    ],
)
def test_what_cannot_be_served_is_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    write_study(tmp_path)
    (tmp_path / "out").mkdir()
    out, err = (process := start(tmp_path, *words)).communicate(timeout=120)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert said in err
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_a_search_does_not_begin_where_its_page_cannot_be_served(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        process = start(tmp_path, "run", study, "--output", "out", "--serve", "--port", port)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: --port {port}: cannot be served")
    assert not (tmp_path / "out").exists()
