"""Every command of the README is run; the two of its first page in a copy of their own."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from msplora_search.design.scaling import Scaling
from msplora_search.settings import load_study
from msplora_search.settings.models import StudySettings
from msplora_search.settings.space import DEFAULT_SCALING
from msplora_search.tasks.cache import CACHE_VARIABLE
from tests.adapters.models import bert
from tests.small import save_model, sentences

ROOT = Path(__file__).parents[2]
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


@pytest.mark.slow
def test_the_guide_to_ones_own_data_works_as_written(user: Path) -> None:
    guide, service = (b.splitlines() for b in blocks("sh") if "msplora-search export" in b)
    commands = [*guide, *service]
    names = ["validate", "params", "run", "status", "export", "export", "train", "confirm"]
    assert [shlex.split(c)[1] for c in commands] == names
    program = str(Path(sys.executable).with_name("msplora-search"))
    short = {
        "run": ["--set", "search.trials=3", "--set", "training.epochs=1", "--set", "search.baselines=[paper]"],
        "confirm": ["--seeds", "1"],
    }
    for command in commands:
        words = shlex.split(command)[1:]
        small = short.get(words[0], [])
        done = subprocess.run(
            [program, *words, *small], cwd=user, capture_output=True, text=True, env=os.environ.copy(), check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), command
    recipe = yaml.safe_load((user / "recipes" / "reviews" / "recipe.yaml").read_text())
    assert (user / "trained" / "reviews" / "model" / "merged" / "model.safetensors").is_file()
    assert (user / "runs" / "reviews" / "confirm" / "confirm.md").is_file()
    assert recipe["model"] == str(user / "my-encoder")
    assert recipe["task"]["dataset"]["path"] == str(user / "reviews.csv")


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


def test_defaults_of_the_guide_are_the_defaults() -> None:
    study = load_study("quickstart")
    fresh = StudySettings(name="x", model="m", task=study.task)
    for said in (
        f"`trials` ({fresh.search.trials};", f"`sampler` (`{fresh.search.sampler}`;",
        f"`rule` (`{fresh.pruning.rule}`", f"`chance` ({fresh.pruning.chance})",
        f"`train_examples` ({fresh.proxy.train_examples})", f"`epochs` ({fresh.proxy.epochs:g})",
        f"`rungs` (`{list(fresh.proxy.rungs)}`)", f"`warmup_ratio` ({fresh.proxy.warmup_ratio})",
    ):  # fmt: skip
        assert said in README, said
    rule = {Scaling.STANDARD: "alpha / r", Scaling.RANK_STABILISED: "alpha / sqrt r"}[DEFAULT_SCALING]
    assert f"`{DEFAULT_SCALING.value}` ({rule}, the default)" in README
    for field in type(fresh.space).model_fields:
        assert re.search(rf"^\|.*`{field}[`.]", README, re.MULTILINE), field
    for section in ("search", "proxy", "pruning", "training"):
        for field in type(getattr(fresh, section)).model_fields:
            assert f"`{field}`" in README, field


def test_pictures_and_files_that_the_guide_names_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
