"""A study as optuna-dashboard shows it: what is stored is Optuna's own, under names that a reader understands."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest

from msplora_search import run_study
from msplora_search.results.records import State
from msplora_search.search.results import load_results
from msplora_search.search.store.address import default_url
from msplora_search.settings import StudySettings
from tests.servers import HOST, free_port
from tests.small import study_fields

PROGRAM = Path(sys.executable).with_name("optuna-dashboard")


@contextmanager
def dashboard(storage: str, log: Path) -> Iterator[str]:
    """The real one, on a free port; gives the address of its interface."""
    port = free_port()
    words = [str(PROGRAM), storage, "--host", HOST, "--port", str(port)]
    with log.open("wb") as file, subprocess.Popen(words, stdout=file, stderr=file) as process:
        address, end = f"http://{HOST}:{port}/api", time.monotonic() + 120
        try:
            while not answers(f"{address}/studies"):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()


def answers(address: str) -> bool:
    try:
        fetched(address)
    except OSError:
        return False
    return True


def fetched(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_the_dashboard_shows_a_study_by_its_names(tmp_path: Path) -> None:
    fields = study_fields(
        tmp_path, name="film-reviews", search={"trials": 4, "sampler": "random"}, pruning={"rule": "none"}
    )
    output = run_study(StudySettings.model_validate(fields), tmp_path / "out")
    records = load_results(output).records
    study_of_optuna = optuna.load_study(study_name="film-reviews", storage=default_url(output))
    stored = {trial.number: trial.params for trial in study_of_optuna.trials}
    with dashboard(default_url(output), tmp_path / "log") as address:
        (study,) = fetched(f"{address}/studies")["study_summaries"]
        found = fetched(f"{address}/studies/{study['study_id']}?after=0")
    assert study["study_name"] == found["name"] == "film-reviews"
    assert study["directions"] == found["directions"] == ["maximize", "minimize"]
    assert found["objective_names"] == ["accuracy", "log10_adapter_params"]
    trials = {trial["number"]: trial for trial in found["trials"]}
    complete = [record for record in records if record.state == State.COMPLETE]
    assert len(complete) == 6
    for record in complete:
        trial = trials[record.number]
        assert trial["state"] == "Complete"
        accuracy, size = trial["values"]
        assert accuracy == record.final.metric
        assert 10**size == pytest.approx(record.adapter_params)
        params = {param["name"]: param["param_external_value"] for param in trial["params"]}
        assert params or record.baseline == "paper"  # which is not in this space
        assert params == {name: str(value) for name, value in stored[record.number].items()}
    asked = {parameter["name"] for parameter in found["union_search_space"]}
    assert asked >= {"global_rank", "mid_rank", "layer_rank"}
    assert all(name.isidentifier() for name in asked)
    front = {trial["number"] for trial in found["best_trials"]}
    assert front
    assert front <= {record.number for record in complete}
