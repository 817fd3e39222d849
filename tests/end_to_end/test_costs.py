"""A search that makes the unrolled rank small, as a user types it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from msplora_search.design.pyramid import Pyramid
from msplora_search.tasks.cache import CACHE_VARIABLE
from tests.program import call
from tests.small import write_study

GOLDEN = Path(__file__).parents[1] / "golden" / "front.json"


def said(folder: Path, *words: object) -> str:
    done = call(*words, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.slow
def test_unrolled_rank_from_the_search_to_what_is_served(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    study = write_study(tmp_path, search={"trials": 5, "cost": "unrolled-rank"}, training={"epochs": 1})
    printed = said(tmp_path, "run", study, "--output", "out")
    assert re.search(r"trial 1 lora-1 0/0/1 lr 0.02, 1 unrolled rank, 256 parameters: ", printed)
    assert "unrolled rank" in said(tmp_path, "status", "out")
    file = json.loads((tmp_path / "out" / "report" / "front.json").read_text())
    assert file["cost_is"] == "unrolled-rank"
    costs = [point["cost"] for point in file["front"]]
    assert costs == sorted(set(costs))
    assert costs == [Pyramid.from_json(point["pyramid"]).unrolled_rank for point in file["front"]]
    before = (tmp_path / "out" / "report" / "front.json").read_bytes()
    said(tmp_path, "report", "out")
    assert (tmp_path / "out" / "report" / "front.json").read_bytes() == before
    assert "unrolled rank (log scale)" in (tmp_path / "out" / "report" / "report.html").read_text()
    exported = said(tmp_path, "export", "out", "--pick", f"max-cost={costs[-1]}", "--to", "recipe")
    assert f"the best of the front with at most {costs[-1]} unrolled rank" in exported
    chosen = yaml.safe_load((tmp_path / "recipe" / "recipe.yaml").read_text())["chosen"]
    assert chosen["costs"]["unrolled_rank"] == costs[-1]
    assert "served unmerged: unrolled rank" in said(tmp_path, "train", "recipe", "--output", "trained")
    told = json.loads((tmp_path / "trained/model/results.json").read_text())
    assert told["costs"] == {"params": chosen["adapter_params"], **chosen["costs"]}  # exact before any training
    assert (tmp_path / "trained/model/peft/adapter_model.safetensors").stat().st_size == chosen["costs"]["bytes"]
    assert told["serving"]["unmerged"][1] > 0
    confirmed = said(tmp_path, "confirm", "out", "--seeds", "1")
    assert "latency unmerged" in confirmed
    assert "| unrolled rank | bytes | mult. a token |" in (tmp_path / "out/confirm/confirm.md").read_text()
    shutil.copy(GOLDEN, tmp_path / "shared.json")
    done = call("plot", "out", "shared.json", "--to", "a.png", cwd=tmp_path)
    assert done.returncode == 2
    assert "the studies make different costs small (unrolled-rank, params)" in done.stderr
    done = call("table", "out", "shared.json", "--to", "a.md", cwd=tmp_path)
    assert (done.returncode, "give those of one, or a .csv" in done.stderr) == (2, True)
    said(tmp_path, "plot", "out", "--to", "a.png")
    said(tmp_path, "table", "out", "--to", "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[0].endswith(",cost_is,cost")
