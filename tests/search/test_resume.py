from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import torch
from optuna.trial import TrialState

from msplora_search import run_study
from msplora_search.errors import InputError
from msplora_search.proxy.limit import OutOfTimeError
from msplora_search.proxy.training import DivergedError
from msplora_search.proxy.workbench import Workbench
from msplora_search.results.records import Failure, State
from msplora_search.search import turns
from msplora_search.search.events import (
    Event,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialMeasured,
    TrialStarted,
    Waiting,
)
from msplora_search.search.part import UNFINISHED
from msplora_search.search.proposal import Proposer
from msplora_search.search.results import StudyResults, load_results
from msplora_search.search.store import folder
from msplora_search.search.store.failure import failure_of, failure_told
from msplora_search.search.summary import summarise
from msplora_search.search.turns import Turns
from msplora_search.settings import StudySettings
from msplora_search.tasks.task import Task
from tests.search.test_study import FINITE, RUN, configurations, search, start
from tests.small import study_fields, write_study


def study_of(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="small", storage=f"sqlite:///{folder / 'out' / 'study.db'}")


def trained(events: list[Event]) -> list[int]:
    return [event.record.number for event in events if isinstance(event, TrialStarted)]


def require_whole(results: StudyResults, baselines: int, proposals: int) -> None:
    """Every configuration once, everything with a result, and nothing left."""
    assert len(configurations(results)) == len(set(configurations(results)))
    trained = Counter(bool(r.baseline) for r in results.records if r.counts)
    assert trained == Counter({True: baselines, False: proposals})
    assert not any(r.state in (State.RUNNING, State.FAILED) for r in results.records)
    assert results.interrupted == ()
    assert sum(summarise(results).to_json()["counts"].values()) == len(results.records)


class Killed(BaseException):
    """Stands for the end of the process: nothing is told of the trial any more."""


def kill_while_drawing(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Let the process of proposal `at` end when the first of its parameters is drawn."""
    propose = Proposer.propose

    def dying(self: Proposer, trial: Any) -> Any:
        if trial.number == at:
            trial.suggest_int("global_rank", 0, 1)
            raise Killed
        return propose(self, trial)

    monkeypatch.setattr(Proposer, "propose", dying)


@pytest.mark.parametrize("left", [TrialState.RUNNING, TrialState.FAIL])
@pytest.mark.parametrize("sampler", ["brute-force", "random"])
def test_killed_while_parameters_are_drawn_a_study_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, left: TrialState
) -> None:
    changes: dict[str, Any] = {"space": FINITE, "search": {"sampler": sampler, "baselines": [], "trials": 3}}
    with monkeypatch.context() as patch:
        kill_while_drawing(patch, 1)
        if left == TrialState.RUNNING:
            patch.setattr("msplora_search.search.loop.Loop._give_up", lambda *_: None)
        with pytest.raises(Killed):
            search(tmp_path, **changes)
    dead = study_of(tmp_path).trials[1]
    assert (dead.state, set(dead.params), "plan" in dead.user_attrs) == (left, {"global_rank"}, False)
    results, _ = search(tmp_path, **changes)
    require_whole(results, 0, 3)
    assert sampler == "random" or len({r.configuration for r in results.records}) == 3  # no rank at all is one


DIE = """
import os, signal, sys
from pathlib import Path
from msplora_search import run_study
from msplora_search.search.proposal import Proposer
from msplora_search.settings import load_study
propose = Proposer.propose
def dying(self, trial):
    if trial.number == 1:
        trial.suggest_int("global_rank", 0, 1)
        os.kill(os.getpid(), signal.SIGKILL)
    return propose(self, trial)
Proposer.propose = dying
run_study(load_study(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_process_really_killed_while_parameters_are_drawn_is_resumed(tmp_path: Path) -> None:
    study = write_study(tmp_path, space=FINITE, search={"sampler": "brute-force", "baselines": [], "trials": 3})
    dead = subprocess.run([sys.executable, "-c", DIE, str(study), str(tmp_path / "out")], check=False)
    assert dead.returncode == -signal.SIGKILL
    assert load_results(tmp_path / "out").interrupted == (1,)
    again = start(study, tmp_path / "out")
    assert (again.communicate(timeout=300), again.returncode)[1] == 0
    require_whole(load_results(tmp_path / "out"), 0, 3)


def stop_at(number: int) -> Callable[[Event], None]:
    """A listener that ends the process when a trial begins to train."""

    def listen(event: Event) -> None:
        if isinstance(event, TrialStarted) and event.record.number == number:
            raise Killed

    return listen


def leave_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, storage: str | None = None
) -> None:
    """A search whose process died while `number` was trained."""
    settings = StudySettings.model_validate(study_fields(tmp_path, search={"sampler": "random"}))
    with monkeypatch.context() as patch:
        patch.setattr("msplora_search.search.loop.Loop._give_up", lambda *_: None)
        with pytest.raises(Killed):
            run_study(settings, tmp_path / "out", storage, stop_at(number))


@pytest.mark.parametrize("number", [0, 3])
def test_a_trial_of_another_host_is_trained_anew_from_the_folders_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("platform.node", lambda: "a container that is no more")
        leave_running(tmp_path, monkeypatch, number)
    left = load_results(tmp_path / "out")
    assert left.interrupted == (number,)
    assert left.hosts == {number: "a container that is no more"}
    results, events = search(tmp_path, search={"sampler": "random"})
    require_whole(results, 2, 4)
    assert len(trained(events)) == len(set(trained(events)))
    assert isinstance(events[-1], SearchEnded)


def test_on_a_shared_storage_a_trial_of_another_host_is_trained_once_that_gives_no_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    with monkeypatch.context() as patch:
        patch.setattr("platform.node", lambda: "another")
        leave_running(tmp_path, monkeypatch, 3, url)
    results, _ = search(tmp_path, url, search={"sampler": "random"}, scale={"heartbeat": 1})
    require_whole(results, 2, 4)
    again = [
        t for t in optuna.load_study(study_name="small", storage=url).trials if t.user_attrs.get("restart_of") == 3
    ]
    assert len(again) == 1


@pytest.mark.slow
def test_a_run_under_another_host_name_goes_on(tmp_path: Path) -> None:
    named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"']
    if shutil.which("unshare") is None or subprocess.run([*named, "a", "true"], check=False).returncode:
        pytest.skip("this machine lets no process have a host name of its own")
    study = write_study(tmp_path, search={"sampler": "random"})
    command = [sys.executable, "-c", RUN, str(study), str(tmp_path / "out")]
    first = subprocess.Popen([*named, "first", *command], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    next(line for line in first.stdout if line.strip() == "TrialMeasured 2")
    first.kill()
    first.communicate()
    worker = study_of(tmp_path).trials[2].user_attrs["plan"]["worker"]
    assert (worker["host"], worker["host"] != socket.gethostname()) == ("first", True)
    second = subprocess.run([*named, "second", *command], capture_output=True, text=True, check=False)
    assert (second.returncode, second.stderr) == (0, "")
    require_whole(load_results(tmp_path / "out"), 2, 4)


def test_a_restart_that_died_before_it_was_planned_is_started_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_running(tmp_path, monkeypatch, 3)
    lost = study_of(tmp_path).trials[3].params
    with monkeypatch.context() as patch:
        kill_while_drawing(patch, 4)
        patch.setattr("msplora_search.search.loop.Loop._give_up", lambda *_: None)
        with pytest.raises(Killed):
            search(tmp_path, search={"sampler": "random"})
    results, _ = search(tmp_path, search={"sampler": "random"})
    require_whole(results, 2, 4)
    assert lost in [study_of(tmp_path).trials[r.number].params for r in results.records]


def fail(monkeypatch: pytest.MonkeyPatch, errors: dict[int, Exception]) -> list[int]:
    """Let the measurements of these places in order raise; the list grows with each measurement."""
    measure, calls = Workbench.measure, list[int]()

    def fragile(self: Workbench, *arguments: Any) -> Any:
        calls.append(len(calls))
        if calls[-1] in errors:
            raise errors[calls[-1]]
        return measure(self, *arguments)

    monkeypatch.setattr(Workbench, "measure", fragile)
    return calls


def test_what_failed_for_a_passing_reason_is_tried_again_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passing = {
        0: MemoryError(),
        2: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        3: OSError(errno.ENOSPC, "No space left on device"),
        5: ValueError("a fault of this program"),
    }
    with monkeypatch.context() as patch:
        fail(patch, passing)
        first, events = search(tmp_path, search={"sampler": "random"})
    failed = first.in_state(State.FAILED)
    assert [(r.number, r.failure) for r in failed][:2] == [(0, Failure.MEMORY), (2, Failure.MEMORY)]
    assert {r.failure for r in failed} == {Failure.MEMORY, Failure.DISK, Failure.ERROR}
    assert len(trained(events)) == len({*trained(events)}), "tried twice in one call"
    assert {study_of(tmp_path).trials[r.number].state for r in failed} == {TrialState.FAIL}

    second, events = search(tmp_path, search={"sampler": "random"})
    assert len(trained(events)) == 3
    assert [r.failure for r in second.in_state(State.FAILED)] == [Failure.ERROR]
    assert Counter(bool(r.baseline) for r in second.records) == {True: 2, False: 4}
    assert summarise(second).paper is not None
    again = {r.configuration for r in second.records if r.state in (State.COMPLETE, State.PRUNED)}
    assert {r.configuration for r in failed if r.failure != Failure.ERROR} <= again
    counts = summarise(second).to_json()["counts"]
    assert (counts["failed"], sum(counts.values())) == (1, 6)

    _, events = search(tmp_path, search={"sampler": "random"})
    assert trained(events) == []
    settings = StudySettings.model_validate(study_fields(tmp_path, search={"sampler": "random"}))
    events = []
    run_study(settings, tmp_path / "out", None, events.append, retry_failed=True)
    assert len(trained(events)) == 1
    require_whole(load_results(tmp_path / "out"), 2, 4)


def test_baselines_are_tried_again_whatever_they_failed_for_and_once_in_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fail(patch, {0: DivergedError("nan"), 2: DivergedError("nan")})
        search(tmp_path, search={"sampler": "random"})
    with monkeypatch.context() as patch:
        calls = fail(patch, {0: DivergedError("nan")})
        second, _ = search(tmp_path, search={"sampler": "random"})
        assert len(calls) == 1
    assert [bool(r.baseline) for r in second.in_state(State.FAILED)] == [False, True]
    third, events = search(tmp_path, search={"sampler": "random"})
    assert [e.record.baseline for e in events if isinstance(e, TrialEnded)] == ["paper"]
    assert Counter(r.baseline for r in third.records) == {"paper": 1, "lora-1": 1, None: 4}
    assert [r.failure for r in third.in_state(State.FAILED)] == [Failure.DIVERGED]


def test_a_failure_that_an_older_version_stored_by_its_words_alone_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fail(patch, {3: MemoryError("")})
        search(tmp_path, search={"sampler": "random"})
    study = study_of(tmp_path)
    number = next(t.number for t in study.trials if t.state == TrialState.FAIL)
    with closing(sqlite3.connect(tmp_path / "out" / "study.db")) as database, database:
        (text,) = database.execute(
            "SELECT value_json FROM trial_user_attributes WHERE key = 'progress' AND trial_id = ?", (number + 1,)
        ).fetchone()
        old = {key: value for key, value in json.loads(text).items() if key != "failure"}
        database.execute(
            "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'progress' AND trial_id = ?",
            (json.dumps(old), number + 1),
        )
    assert load_results(tmp_path / "out").in_state(State.FAILED)[0].failure == Failure.MEMORY
    results, _ = search(tmp_path, search={"sampler": "random"})
    require_whole(results, 2, 4)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (MemoryError(), Failure.MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), Failure.MEMORY),
        (RuntimeError("CUDA error: out of memory"), Failure.MEMORY),
        (RuntimeError("could not create a primitive"), Failure.MEMORY),
        (RuntimeError("could not create a primitive descriptor for a matmul"), Failure.ERROR),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), Failure.MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), Failure.MEMORY),
        (caused(ValueError("cannot load"), MemoryError()), Failure.MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), Failure.DISK),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), Failure.DISK),
        (OSError(errno.EIO, "Input/output error"), Failure.DISK),
        (OSError(errno.ENOENT, "No such file or directory"), Failure.ERROR),
        (DivergedError("the training loss is nan"), Failure.DIVERGED),
        (OutOfTimeError("over scale.trial_time, 30min, at step 3 of 9"), Failure.TIME),
        (ValueError("out of memory of what was said"), Failure.ERROR),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), Failure.ERROR),
    ],
)
def test_failures_are_told_apart(error: Exception, failure: Failure) -> None:
    assert failure_of(error) == failure
    if not isinstance(error, ValueError):
        assert failure_told(f"{type(error).__name__}: {error}") == failure


def test_a_trial_that_really_finds_no_memory_is_recorded_so() -> None:
    code = (
        "import resource, torch\nfrom msplora_search.search.store.failure import failure_of\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))\n"
        "for ask in (lambda: torch.empty(2**36), lambda: bytearray(2**36)):\n"
        "    try: ask()\n"
        "    except Exception as error: print(failure_of(error))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["memory", "memory"]


@pytest.mark.parametrize("how", ["folder", "file", "replaced"])
def test_an_output_that_disappears_ends_the_search_in_one_line(tmp_path: Path, how: str) -> None:
    output = tmp_path / "out"

    def disappear(event: Event) -> None:
        if isinstance(event, TrialEnded) and event.record.number == 1:
            copied = (output / "study.db").read_bytes()
            shutil.rmtree(output) if how == "folder" else (output / "study.db").unlink()
            if how == "replaced":
                (output / "study.db").write_bytes(copied)

    settings = StudySettings.model_validate(study_fields(tmp_path))
    with pytest.raises(
        InputError, match=r"deleted, moved or replaced|cannot be read or written any more"
    ) as caught:
        run_study(settings, output, None, disappear)
    assert str(output / "study.db") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert how != "folder" or not output.exists()


HOLD = """
import sys
from pathlib import Path
from msplora_search.search.turns import Turns
with Turns.of(Path(sys.argv[1]), None, "small", print).mine():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_who_is_waited_for_is_told_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: subprocess.Popen[str]
) -> None:
    monkeypatch.setattr(turns, "FIRST", 0.2)
    monkeypatch.setattr(turns, "AGAIN", 0.3)
    heard: list[str] = []

    def listen(event: Event) -> None:
        assert isinstance(event, Waiting)
        heard.append(event.what)
        if len(heard) == 1:
            holder.send_signal(signal.SIGSTOP)
            while psutil.Process(holder.pid).status() != psutil.STATUS_STOPPED:
                pass
        if len(heard) == 2:
            holder.kill()

    with Turns.of(tmp_path, None, "small", listen).mine():
        assert f"{os.getpid()} " in (tmp_path / folder.HOLDER).read_text()
    assert f"for process {holder.pid}, whose turn" in heard[0]
    assert f"process {holder.pid}, which is stopped (`kill -CONT {holder.pid}` lets it go on)" in heard[1]


def test_a_refusal_takes_back_every_folder_that_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = StudySettings.model_validate(
        study_fields(tmp_path, space={"groups": {"count": [5], "boundaries": "free"}})
    )
    with pytest.raises(InputError, match="5"):
        run_study(wrong)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("name", "said"), [("x" * 300, "too long"), ("circle", "loop"), ("a\0b", "null")])
def test_an_output_that_is_no_path_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    settings = StudySettings.model_validate(study_fields(tmp_path))
    with pytest.raises(InputError, match=rf"--output .*{said}.*; name a folder that can be written"):
        run_study(settings, tmp_path / name)


def test_a_link_in_the_output_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "mine.yaml").write_text("mine")
    (tmp_path / "out" / "study.yaml").symlink_to(tmp_path / "mine.yaml")
    search(tmp_path, search={"trials": 0, "baselines": []})
    assert (tmp_path / "mine.yaml").read_text() == "mine"
    assert not (tmp_path / "out" / "study.yaml").is_symlink()


def test_status_tells_interrupted_from_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[StudyResults] = []

    def look(event: Event) -> None:
        if isinstance(event, TrialStarted):
            seen.append(load_results(tmp_path / "out"))
        if isinstance(event, SearchStarted):
            assert load_results(tmp_path / "out").interrupted == ()

    settings = StudySettings.model_validate(study_fields(tmp_path, search={"trials": 1, "baselines": []}))
    run_study(settings, tmp_path / "out", None, look)
    assert [(len(s.in_state(State.RUNNING)), s.interrupted) for s in seen] == [(1, ())]


def test_a_training_that_was_interrupted_goes_on_from_its_last_rung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = study_fields(tmp_path, search={"trials": 1, "baselines": []})
    settings = StudySettings.model_validate(fields)
    whole = run_study(settings, tmp_path / "whole")

    def dying(event: Event) -> None:
        if isinstance(event, TrialMeasured):
            raise Killed

    with pytest.raises(Killed):
        run_study(settings, tmp_path / "out", listen=dying)
    (kept,) = (tmp_path / "out" / UNFINISHED).iterdir()
    steps, loss = [], Task.loss

    def counted(*given: Any) -> torch.Tensor:
        steps.append(1)
        return loss(*given)

    monkeypatch.setattr(Task, "loss", counted)
    output = run_study(settings, tmp_path / "out")
    ((one,), (other,)) = (load_results(folder).in_state(State.COMPLETE) for folder in (whole, output))
    assert [e.to_json() for e in one.curve] == [e.to_json() for e in other.curve]
    assert one.steps == other.steps == 64
    assert len(steps) == 32 + 1  # one is the rehearsal
    assert not kept.parent.exists()
