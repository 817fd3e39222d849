"""What is delivered, as lm-evaluation-harness takes it: a program of others, run on a task of our rows."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from msplora_search.full.delivery import train_and_deliver
from tests.full.test_card import recipe_of
from tests.small import write_jsonl
from tests.tasks.models import requests, save_llama

TOKENS = 3
"""Of every response, with the one that ends it, which we train and judge too."""
TASK = """
task: colours
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: loglikelihood
doc_to_text: "say : {{{{prompt}}}} please"
doc_to_target: " {{{{response}}}}</s>"
metric_list:
  - {{metric: perplexity, aggregation: perplexity, higher_is_better: false}}
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
"""


def judged(folder: Path, name: str, model: str) -> dict[str, Any]:
    """What lm-evaluation-harness finds for a model, as its command line names it, without a network."""
    model_words = ["--model", "hf", "--model_args", f"{model},dtype=float32", "--device", "cpu"]
    task_words = ["--tasks", "colours", "--include_path", "tasks", "--batch_size", "7"]
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", *model_words, *task_words, "--output_path", f"{name}.json"],
        cwd=folder, capture_output=True, text=True, check=False,
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "OMP_NUM_THREADS": "1", "HOME": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (written,) = folder.rglob(f"{name}*.json")
    found: dict[str, Any] = json.loads(written.read_text())["results"]["colours"]
    return found


@pytest.mark.slow
def test_the_harness_finds_what_we_found_in_adapter_and_merged_model(tmp_path: Path) -> None:
    save_llama(tmp_path / "model", chat=False)
    rows = write_jsonl(tmp_path / "test.jsonl", requests(50, seed=7))
    task = {
        "kind": "causal-lm", "max_length": 24, "metric": "loss", "template": "say : {prompt} please",
        "dataset": {"path": str(write_jsonl(tmp_path / "data.jsonl", requests(100))), "test": str(rows)},
    }  # fmt: skip
    recipe = recipe_of(tmp_path, task)
    done = train_and_deliver(recipe, tmp_path / "out", with_merged=True)
    assert done is not None
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "colours.yaml").write_text(TASK.format(rows=rows))
    model, delivered = tmp_path / "model", tmp_path / "out" / "model"
    bare = judged(tmp_path, "bare", f"pretrained={model}")
    adapted = judged(tmp_path, "adapted", f"pretrained={model},peft={delivered / 'peft'}")
    merged = judged(tmp_path, "merged", f"pretrained={delivered / 'merged'}")
    for found in (adapted, merged):
        assert math.log(found["perplexity,none"]) / TOKENS == pytest.approx(-done.metric, rel=1e-4)
        assert found["acc,none"] == adapted["acc,none"]
    assert math.log(bare["perplexity,none"]) / TOKENS > -done.metric + 0.1
