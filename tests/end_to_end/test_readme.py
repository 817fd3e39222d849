"""Every command of the README is run."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from msplora_search.search.results import load_results
from msplora_search.settings.kinds import METRICS
from msplora_search.tasks.cache import CACHE_VARIABLE
from tests.adapters.models import bert
from tests.program import PROGRAM, call
from tests.servers import Postgres, add_node
from tests.small import save_model, sentences, write_study

ROOT = Path(__file__).parents[2]
SCRIPTS = ("scripts/search", "scripts/test")
GUIDE = (
    "validate", "params", "run", "status", "export", "report", "plot", "table", "train", "confirm", "analyze",
)  # fmt: skip
"""In the order of the page."""
README = (ROOT / "README.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: their model, their CSV file, the README's study."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    save_model(tmp_path / "my-encoder", layers=4)
    with (tmp_path / "reviews.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["comment", "stars"])
        writer.writerows([row["text"], row["label"]] for row in sentences(500))
    (tmp_path / "reviews.yaml").write_text(next(b for b in blocks("yaml") if "name: reviews" in b))
    return tmp_path


def commands(*of: str) -> list[str]:
    """Those of the shell blocks that call one of these programs or subcommands, as they stand."""
    lines = [line for block in blocks("sh") if "#SBATCH" not in block for line in block.splitlines()]
    return [line for line in lines if any(word in of for word in shlex.split(line)[:2])]


def ran(command: str, *more: str, cwd: Path) -> str:
    """What a command prints."""
    words = [*shlex.split(command), *more]
    if words[0] == "msplora-search":
        done = call(*words[1:], cwd=cwd)
    else:
        alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        script = [str(ROOT / words[0]), *words[1:]]
        done = subprocess.run(script, cwd=cwd, capture_output=True, text=True, env=alone, check=False)
    complaints = [line for line in done.stderr.splitlines() if "is made once, from a download" not in line]
    assert (done.returncode, complaints) == (0, []), command + done.stdout + done.stderr
    return done.stdout


def test_every_command_is_run_by_a_test_here() -> None:
    tested = commands(*SCRIPTS, *GUIDE, "--engine", "run")
    lines = [line for block in blocks("sh") if "#SBATCH" not in block for line in block.splitlines()]
    assert [line for line in lines if line not in tested] == []
    assert sum("#SBATCH" in block for block in blocks("sh")) == 1


@pytest.mark.slow
def test_the_commands_of_the_first_page_work(tmp_path: Path) -> None:
    search, test = commands(*SCRIPTS)
    short = ("trials=1", "baselines=[]", "noise_repeats=0")
    changes = [word for one in short for word in ("--set", f"search.{one}")]
    small = ["--set", "proxy.train_examples=320", "--set", "proxy.epochs=1", "--output", str(tmp_path / "out")]
    said = ran(search, *changes, *small, cwd=tmp_path)
    assert "Front of quickstart" in said
    assert (tmp_path / "out" / "report" / "report.html").is_file()
    assert "passed" in ran(test, "tests/test_text.py", "--numprocesses", "0", cwd=tmp_path)


@pytest.mark.slow
def test_the_guide_to_ones_own_data_works_as_written(user: Path) -> None:
    guide = [line for line in commands(*GUIDE) if "--engine" not in line]
    assert [shlex.split(command)[1] for command in guide] == [*GUIDE[:5], *GUIDE[5:8], "export", *GUIDE[8:]]
    short = {
        "run": ["--set", "search.trials=3", "--set", "training.epochs=1", "--set", "search.baselines=[paper]"],
        "confirm": ["--seeds", "1"],
    }
    for command in guide:
        ran(command, *short.get(shlex.split(command)[1], []), cwd=user)
    recipe = yaml.safe_load((user / "recipes" / "reviews" / "recipe.yaml").read_text())
    assert (user / "trained" / "reviews" / "model" / "merged" / "model.safetensors").is_file()
    assert (user / "runs" / "reviews" / "confirm" / "confirm.md").is_file()
    assert {path.name for path in user.glob("fronts.*")} == {"fronts.pdf", "fronts.tex"}
    assert recipe["model"] == str(user / "my-encoder")
    assert recipe["task"]["dataset"]["path"] == str(user / "reviews.csv")


def test_the_job_of_the_guide_joins_a_search(tmp_path: Path, postgres: Postgres) -> None:
    """A Slurm job is a shell script; what it names is put in its place."""
    (script,) = (block for block in blocks("sh") if "#SBATCH" in block)
    url = postgres.fresh("slurm")
    write_study(tmp_path)
    for stands, means in (("postgresql+psycopg://user@host/name", url), ("/shared", str(tmp_path))):
        assert stands in script
        script = script.replace(stands, means)
    path = os.pathsep.join([str(Path(PROGRAM).parent), os.environ["PATH"]])
    job = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert job.returncode == 0, job.stdout + job.stderr
    assert len(load_results(tmp_path, url).records) == 6


def test_the_command_for_a_cluster_searches_on_it(tmp_path: Path, postgres: Postgres, cluster: Any) -> None:
    (command,) = (line for block in blocks("sh") for line in block.splitlines() if "--engine ray" in line)
    url = postgres.fresh("ray of the guide")
    write_study(tmp_path)
    add_node(cluster)
    for stands, means in (("postgresql+psycopg://user@host/name", url), ("HEAD:6379", cluster.address)):
        assert stands in command
        command = command.replace(stands, shlex.quote(means))
    assert "Front of small" in ran(command, cwd=tmp_path)


def test_the_python_of_the_guide_runs(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = next(b for b in blocks("python") if "attach(model, pyramid)" in b)
    before, after = code.split("for point in load_front")
    model = bert(12)
    names: dict[str, object] = {"model": model}
    monkeypatch.chdir(user)
    exec(before, names)
    assert not hasattr(model, "pyramid_bank")
    assert "load_front" in names
    assert 'load_front("runs/quickstart")' in "for point in load_front" + after


def test_the_guide_is_short_and_names_every_kind_of_task_and_rule() -> None:
    assert len(README.splitlines()) <= 200
    for kind, metrics in METRICS.items():
        (row,) = (line for line in README.splitlines() if line.startswith(f"| `{kind}` |"))
        assert row.endswith(f"| {', '.join(f'`{metric}`' for metric in metrics)} |")
    for rule in ("one-se", "best", "knee", "non-inferior=", "min-metric=", "max-params=", "trial=", "fastest"):
        assert f"`{rule}" in README


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "studies/MEASURED.md"])
def test_pictures_and_files_that_a_page_names_are_there(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert target.startswith("https://") or ((ROOT / page).parent / target).exists(), target


def test_scripts_that_the_figures_name_are_there() -> None:
    said = (ROOT / "studies" / "MEASURED.md").read_text()
    named = {name for name in re.findall(r"scripts[./](\w+)", said) if name != "tables"}
    assert len(named) > 10
    assert [name for name in named if not (ROOT / "scripts" / f"{name}.py").is_file()] == []
