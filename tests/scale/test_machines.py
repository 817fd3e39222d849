"""Several runs on one PostgreSQL server: from other folders, other hosts, killed, stopped, cut off."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from msplora_search.search.results import load_results
from tests import program
from tests.scale.watching import assert_whole, host_of, measured_on, running, trials, until
from tests.servers import NAMESPACES, Host, Postgres, missing
from tests.small import write_study

TRIALS, TRAINED = 9, 10
FIELDS = {"trials": TRIALS, "sampler": "random", "baselines": ["paper"]}
LONG = {"epochs": 40, "rungs": [0.25, 0.5, 1.0]}
"""A trial takes some seconds."""
Running = subprocess.Popen[str] | program.Begun


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts the program in its own folder, or on its own host; whatever is left ends with the test."""
    processes: list[Running] = []

    def started(*words: object, before: tuple[str, ...] = ()) -> Running:
        if not before:
            processes.append(program.begin(*words, cwd=tmp_path, joined=True))
            return processes[-1]
        command = [*before, str(program.PROGRAM), *map(str, words)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield started
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def host(name: str) -> tuple[str, ...]:
    """Words before a command that give it a host name and process numbers of its own."""
    unshare = shutil.which(NAMESPACES[0])
    if unshare is None or subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode:
        missing("the system gives no namespaces to this user")
    return (*NAMESPACES, "sh", "-c", f'hostname {name}; exec "$@"', "sh")


def test_runs_begun_together_in_other_folders_are_one_search(
    tmp_path: Path, postgres: Postgres, begin: Callable[..., Running]
) -> None:
    """On an empty database, which none of them may make twice."""
    url, study = postgres.fresh("together"), write_study(tmp_path, search=FIELDS)
    runs = [begin("run", study, "--output", f"out{i}", "--storage", url) for i in range(3)]
    said = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], said
    results = [load_results(tmp_path / f"out{i}", url) for i in range(3)]
    for one in results:
        assert_whole(one, TRAINED)
    who = Counter(trial.user_attrs["plan"]["worker"]["pid"] for trial in trials(url))
    assert len(who) > 1
    assert all("9 proposals trained" in text for text in said)


def test_what_a_dead_host_trained_goes_on_elsewhere(
    tmp_path: Path, postgres: Postgres, begin: Callable[..., Running]
) -> None:
    """Killed with its host: no process of another name, no lock, no message is left. The other waits for it."""
    url = postgres.fresh("dead host")
    study = write_study(tmp_path, search=FIELDS, proxy=LONG, scale={"heartbeat": 1})
    first = begin("run", study, "--output", "first", "--storage", url, before=host("one"))
    until(url, measured_on("one"))
    second = begin("run", study, "--output", "second", "--storage", url, before=host("two"))
    until(url, lambda found: any(host_of(trial) == "two" for trial in found))
    left = next(t.number for t in running(trials(url)) if host_of(t) == "one")
    os.killpg(first.pid, signal.SIGKILL)
    said, _ = second.communicate(timeout=300)
    assert second.returncode == 0, said
    assert_whole(load_results(tmp_path / "second", url), TRAINED)
    again = [trial for trial in trials(url) if trial.user_attrs.get("restart_of") == left]
    assert [host_of(trial) for trial in again] == ["two"]


def test_who_was_stopped_for_long_finds_its_trial_taken_and_goes_on(
    tmp_path: Path, postgres: Postgres, begin: Callable[..., Running]
) -> None:
    url = postgres.fresh("stopped")
    study = write_study(tmp_path, search=FIELDS, proxy=LONG, scale={"heartbeat": 1})
    first = begin("run", study, "--output", "first", "--storage", url)
    until(url, lambda found: bool(running(found)))
    second = begin("run", study, "--output", "second", "--storage", url)
    until(url, lambda found: len(running(found)) == 2)
    os.killpg(first.pid, signal.SIGSTOP)
    until(url, lambda found: any(trial.user_attrs.get("restart_of") is not None for trial in found))
    os.killpg(first.pid, signal.SIGCONT)
    said = [run.communicate(timeout=300)[0] for run in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert "was given to another worker" in said[0]
    assert_whole(load_results(tmp_path / "first", url), TRAINED)


def test_a_restart_of_the_server_is_waited_for(
    tmp_path: Path, postgres: Postgres, begin: Callable[..., Running]
) -> None:
    url = postgres.fresh("restart")
    study = write_study(tmp_path, search=FIELDS, proxy=LONG)
    run = begin("run", study, "--output", "out", "--storage", url)
    until(url, lambda found: any(trial.state == TrialState.COMPLETE for trial in found))
    postgres.stop(signal.SIGQUIT)
    time.sleep(3)
    postgres.start()
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 0, said
    assert_whole(load_results(tmp_path / "out", url), TRAINED)


def test_a_worker_joins_from_another_host_and_goes_on_where_one_died(
    tmp_path: Path, postgres: Postgres, begin: Callable[..., Running]
) -> None:
    """From a checkpoint in a folder that both see; what it trained to the end leaves none there."""
    url, kept = postgres.fresh("worker"), tmp_path / "kept"
    scale = {"heartbeat": 1, "checkpoints": str(kept)}
    study = write_study(tmp_path, search=FIELDS, proxy=LONG, pruning={"rule": "none"}, scale=scale)
    first = begin("run", study, "--output", "first", "--storage", url, before=host("one"))
    until(url, measured_on("one"))
    os.killpg(first.pid, signal.SIGKILL)
    assert len(list((kept / "small").iterdir())) == 1
    worker = begin("worker", study, "--storage", url, before=host("two"))
    said, _ = worker.communicate(timeout=300)
    assert worker.returncode == 0, said
    assert not kept.exists() or not list(kept.rglob("*.*"))
    run = begin("run", study, "--output", "second", "--storage", url)
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 0, said
    assert_whole(load_results(tmp_path / "second", url), TRAINED)


@pytest.fixture
def far() -> Iterator[Host]:
    """A host on a network of its own."""
    if shutil.which("ip") is None:
        missing("the program ip is not installed; Debian's package is called iproute2")
    made = Host.create("far")
    yield made
    made.remove()


def test_a_host_whose_network_was_cut_finds_its_trial_taken_and_goes_on(
    tmp_path: Path, begin: Callable[..., Running], far: Host
) -> None:
    """Nothing there hangs meanwhile: `status` says in one line that the database does not answer."""
    own = Path(tempfile.mkdtemp(prefix="msplora-postgres-"))
    server = Postgres.create(own / "data", address=far.here)
    try:
        url, from_there = server.fresh("cut"), server.url_of("cut", far.here)
        study = write_study(tmp_path, search=FIELDS, proxy=LONG, scale={"heartbeat": 1})
        first = begin("run", study, "--output", "first", "--storage", from_there, before=far.words)
        until(url, measured_on("far"))
        second = begin("run", study, "--output", "second", "--storage", url)
        until(url, lambda found: len(running(found)) == 2)
        far.cut()
        status = begin("status", "first", "--storage", from_there, before=far.words)
        until(url, lambda found: any(trial.user_attrs.get("restart_of") is not None for trial in found))
        said, _ = status.communicate(timeout=60)
        assert status.returncode == 2
        assert said.startswith("error: --storage")
        assert said.count("\n") == 1
        far.mend()
        said_both = [run.communicate(timeout=300)[0] for run in (first, second)]
        assert (first.returncode, second.returncode) == (0, 0), said_both
        assert_whole(load_results(tmp_path / "first", url), TRAINED)
    finally:
        server.stop()
        shutil.rmtree(own)


def test_a_worker_without_a_storage_is_told_to_name_it(tmp_path: Path, begin: Callable[..., Running]) -> None:
    worker = begin("worker", write_study(tmp_path))
    said, _ = worker.communicate(timeout=60)
    assert worker.returncode == 2
    assert said.startswith("error: --storage: is missing")
