"""What the program prints, as whole processes whose output takes few characters, and for odd words."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from msplora_search.search.study import run_study
from msplora_search.settings import load_study
from msplora_search.settings.document import dump
from msplora_search.tasks.cache import CACHE_VARIABLE
from tests.end_to_end.test_cli import snapshot
from tests.program import PROGRAM
from tests.small import save_model, study_fields

OUTPUTS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
COMMANDS = {
    "status": ["out put ±"],
    "report": ["plain"],
    "export": ["out put ±", "--to", "recipe é"],
}


def call(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_"))}
    kept = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    return subprocess.run(
        [str(PROGRAM), *words], capture_output=True, cwd=cwd, timeout=300, check=False,
        env={**plain, **kept, **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished search in `out put ±`, of a model whose name is not ASCII."""
    made = tmp_path_factory.mktemp("folder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(made / "cache"))
        fields = study_fields(
            made,
            model=str(save_model(made / "модель [b] é")),
            search={"trials": 1, "baselines": ["paper"], "sampler": "random"},
            proxy={"epochs": 1, "train_examples": 64, "validation_examples": 40},
        )
        (made / "study.yaml").write_text(dump(fields), encoding="utf-8")
        run_study(load_study(str(made / "study.yaml")), made / "out put ±")
    shutil.copytree(made / "out put ±", made / "plain")
    return made


def test_a_folder_whose_name_the_locale_cannot_tell_is_one_line(folder: Path) -> None:
    done = call("status", "out put ±", cwd=folder, **OUTPUTS["C"])
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: --output ")
    assert done.stderr.endswith(
        b"is no text in ascii; name another folder, or set PYTHONUTF8=1 where it is UTF-8\n"
    )
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("output", "command"), [("ascii", "status"), ("ascii", "export"), ("C", "report"), ("cp1252", "status")]
)
def test_an_output_of_few_characters_gets_all_that_is_said(folder: Path, output: str, command: str) -> None:
    done = call(command, *COMMANDS[command], cwd=folder, **OUTPUTS[output])
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode("cp1252" if output == "cp1252" else "ascii")
    assert ("±" if output == "cp1252" else "+-") in text
    if command == "report":
        assert "модель [b] é" in (folder / "plain" / "report" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_error_is_told_on_an_output_of_few_characters(tmp_path: Path, output: str) -> None:
    done = call("status", "nowhere ± модель", cwd=tmp_path, **OUTPUTS[output])
    text = done.stderr.decode("cp1252" if output == "cp1252" else "ascii")
    assert (done.returncode, done.stdout, text.count("\n")) == (2, b"", 1)
    assert text.startswith(f"error: nowhere {BEGINNING[output]}")


BEGINNING = {"ascii": r"+- \u043c", "cp1252": r"± \u043c", "C": r"\udcc2\udcb1 \udcd0"}
"""As Python reads the words; in a C locale as bytes that are no text."""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "x", "--workers", "\x1b[31mfoo"], "Invalid value for '--workers'"),
        (["\x1b[31mrun"], "No such command '\\x1b[31mrun'"),
        (["status"], "Missing argument 'OUTPUT'"),
        (["status", "x", "--\x1b]0;title\x07"], "--\\x1b]0;title\\x07"),
        (["status", "\x1b[31mx\ny"], "\\x1b[31mx\\ny: holds no study.db"),
        (["run", "[red]x[/red]\n"], "[red]x[/red]"),
        (["validate", "\x1b[2J.yaml"], "\\x1b[2J.yaml"),
    ],
)
def test_wrong_words_are_one_line_that_acts_on_nothing(tmp_path: Path, words: list[str], said: str) -> None:
    done = call(*words, cwd=tmp_path)
    text = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b"")
    assert text.startswith("error: ")
    assert said in text
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert not snapshot(tmp_path)


def test_no_words_at_all_are_answered_with_help(tmp_path: Path) -> None:
    done = call(cwd=tmp_path)
    assert b"Usage: msplora-search" in done.stdout
    assert done.stderr == b""


@pytest.mark.slow
def test_what_to_type_next_is_quoted(folder: Path) -> None:
    words = ["--output", "out put ±", "--set", "search.trials=1"]
    done = call("run", "study.yaml", *words, cwd=folder, **{CACHE_VARIABLE: str(folder / "cache")})
    command = "msplora-search export 'out put ±' --pick one-se --to 'out put ±/recipe'"
    assert f"Next:   {command}\n" in done.stdout.decode()


@pytest.mark.parametrize(("own", "spins"), [({}, "5000"), ({"OMP_WAIT_POLICY": "passive"}, "0")])
def test_threads_wait_as_this_program_or_its_user_says(tmp_path: Path, own: dict[str, str], spins: str) -> None:
    told = call("params", "roberta", "--ranks", "8/4/2", cwd=tmp_path, OMP_DISPLAY_ENV="verbose", **own)
    assert told.returncode == 0
    if b"GOMP_SPINCOUNT" not in told.stderr:
        pytest.skip("torch has another OpenMP than GNU's here")
    assert f"GOMP_SPINCOUNT = '{spins}'".encode() in told.stderr
