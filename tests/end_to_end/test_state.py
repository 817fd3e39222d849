"""What the program says of a search that was killed, damaged, or kept elsewhere: in its own process."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
from pathlib import Path

import pytest

from msplora_search.cli_parts import STORAGE_VARIABLE
from tests.end_to_end.test_cli import start
from tests.program import begin, call
from tests.small import write_study

SMALL = {"trials": 2, "sampler": "random", "baselines": []}


def one_line(done: object, *said: str) -> None:
    """Exit code 2 and one line, whatever libraries had to say."""
    assert getattr(done, "returncode", None) == 2, done
    error = str(getattr(done, "stderr", ""))
    assert error.startswith("error: "), error
    assert error.count("\n") == 1, error
    for text in said:
        assert text in error


@pytest.mark.slow
def test_status_tells_a_killed_trial_from_a_running_one(tmp_path: Path) -> None:
    study = write_study(tmp_path, search={"trials": 4, "sampler": "random"}, pruning={"rule": "none"})
    process = start(study, tmp_path)
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("[1/"))
    process.send_signal(signal.SIGSTOP)
    paused = json.loads(call("status", "out", "--json", cwd=tmp_path).stdout)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = call("status", "out", cwd=tmp_path)
    told = json.loads(call("status", "out", "--json", cwd=tmp_path).stdout)
    assert done.returncode == 0, done.stderr
    if paused["running"]:  # else it was stopped between two trials
        assert (paused["interrupted"], told["running"], told["interrupted"]) == ([], [], paused["running"])
        assert f"interrupted: trial {told['interrupted'][0]} " in done.stdout
        assert "the same run trains it anew" in done.stdout
        assert "\nrunning" not in done.stdout
    again = call("run", study, "--output", "out", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    ended = json.loads(call("status", "out", "--json", cwd=tmp_path).stdout)
    measured = ended["counts"]["complete"] + ended["counts"]["pruned"]
    assert (ended["running"], ended["interrupted"], measured) == ([], [], 6)


@pytest.mark.slow
def test_a_search_is_watched_to_its_end(tmp_path: Path) -> None:
    study = write_study(tmp_path, search={"trials": 6, "sampler": "random"}, pruning={"rule": "none"})
    process = start(study, tmp_path)
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("[1/"))
    watched = call("status", "out", "--watch", cwd=tmp_path)
    process.communicate()
    assert (watched.returncode, process.returncode, watched.stderr) == (0, 0, "")
    counts = [int(found) for found in re.findall(r"(\d+) of \d+ trials ended", watched.stdout)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    assert watched.stdout.endswith(call("status", "out", cwd=tmp_path).stdout)
    both = call("status", "out", "--watch", "--json", cwd=tmp_path)
    one_line(both, "--watch: is for people")


@pytest.mark.slow
def test_what_to_type_next_has_the_storage_and_is_what_a_shell_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, output = write_study(tmp_path, search=SMALL), "a?b=c 100%20"
    given = call("run", study, "--output", output, "--storage", "sqlite:///my study.db", cwd=tmp_path)
    assert (given.returncode, given.stderr) == (0, "")
    words = shlex.split(given.stdout.split("Next: ")[1])
    assert words[1:3] == ["export", output]
    assert words[-2:] == ["--storage", "sqlite:///my study.db"]
    exported = call(*words[1:], cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    monkeypatch.setenv(STORAGE_VARIABLE, "sqlite:///my study.db")
    named = call("run", study, "--output", output, cwd=tmp_path)
    assert "resuming: 2 trials" in named.stdout
    assert "--storage" not in named.stdout
    monkeypatch.delenv(STORAGE_VARIABLE)
    own = call("run", study, "--output", output, cwd=tmp_path)
    assert "--storage" not in own.stdout
    assert (tmp_path / output / "study.db").is_file()
    files = {p.name for p in tmp_path.iterdir() if not p.name.startswith("my study.db.asking")}
    assert files <= {output, "my study.db", "study.yaml", "model", "data.jsonl", "cache"}


def test_a_password_is_printed_by_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "xyzzy-4711"
    for url in (f"postgresql:/u:{secret}@localhost:1/x", f"mysql://u@localhost/x?password={secret}"):
        done = call("status", tmp_path, "--storage", url)
        one_line(done, "--storage ", "***")
        assert secret not in done.stdout + done.stderr
    monkeypatch.setenv(STORAGE_VARIABLE, f"postgresql+psycopg2://u:{secret}@localhost:1/x")
    done = call("status", tmp_path)
    one_line(done, "u:***@localhost", "pip install")
    assert secret not in done.stdout + done.stderr
    helped = re.sub(r"[\s│]+", " ", call("status", "--help").stdout)
    assert STORAGE_VARIABLE in helped
    assert secret not in helped


def test_a_damaged_database_is_one_line_of_every_command(tmp_path: Path) -> None:
    out, study = tmp_path / "out", write_study(tmp_path)
    out.mkdir()
    (out / "study.db").write_bytes(bytes(8192))
    commands = [
        ["status", out], ["report", out], ["export", out, "--to", tmp_path / "r"], ["confirm", out],
        ["run", study, "--output", out],
    ]  # fmt: skip
    for command in commands:
        one_line(call(*command, cwd=tmp_path), f"{out / 'study.db'}: is damaged (file is not a database)")
    assert [p.name for p in out.iterdir()] == ["study.db"]


@pytest.mark.slow
def test_a_folder_deleted_while_two_workers_search_is_one_line(tmp_path: Path) -> None:
    study = write_study(tmp_path, search={"trials": 40, "sampler": "random"}, pruning={"rule": "none"})
    process = begin("run", study, "--output", "out", "--workers", 2, cwd=tmp_path)
    next(line for line in process.stdout if line.startswith("[1/"))
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    out, error = process.communicate(timeout=300)
    assert process.returncode == 2, out + error
    assert error.startswith("error: ")
    assert error.count("\n") == 1, error
    assert "study.db" in error
    assert not (tmp_path / "out" / "study.db").exists()
