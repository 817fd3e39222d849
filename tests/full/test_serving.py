"""What serving takes is measured on the forms that are delivered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from msplora_search.adapters.peft_format import TENSORS
from msplora_search.full.delivered import RESULTS
from msplora_search.full.delivery import train_and_deliver
from msplora_search.full.serving import Serving, _further_bytes
from tests.full.test_training import recipe_of

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def test_memory_is_that_of_the_tensors_that_are_there_at_once() -> None:
    model = nn.Sequential(nn.Linear(100, 400), nn.GELU(), nn.Linear(400, 10), nn.ReLU())
    inputs, cpu = torch.randn(50, 100), torch.device("cpu")

    def forward() -> None:
        with torch.no_grad():
            model(inputs)

    both = 2 * 50 * 400 * 4  # before and after GELU: when the last layer begins the first is gone
    assert _further_bytes(model, forward, cpu) == both
    assert _further_bytes(model, forward, cpu) == both  # nothing is left of the first


def test_what_is_delivered_tells_what_serving_it_takes(tmp_path: Path) -> None:
    done = train_and_deliver(recipe_of(tmp_path, training={"epochs": 1}), tmp_path / "out")
    assert done is not None
    assert done.costs is not None
    assert done.serving is not None
    folder = tmp_path / "out" / "model"
    assert (done.costs.params, done.costs.flops) == (done.trained_params, done.unrolled_params)
    assert done.costs.bytes == (folder / "peft" / TENSORS).stat().st_size
    assert done.costs.unrolled_rank == json.loads((folder / "peft" / "adapter_config.json").read_text())["r"]
    serving = done.serving
    assert serving.rounds >= 5
    assert serving.merged is not None
    for low, middle, high in (serving.unmerged, serving.merged):
        assert 0 < low <= middle <= high
    assert serving.weights_bytes > done.costs.bytes
    assert serving.further_bytes > 16 * 32 * 4  # one state of one token each at least
    card = (folder / "README.md").read_text()
    assert f"- Served unmerged: {done.costs.served}." in card
    assert serving.told in card
    assert "a batch of 16 test examples" in serving.told
    assert train_and_deliver(recipe_of(tmp_path, training={"epochs": 1}), tmp_path / "out") == done


def test_nothing_is_measured_where_that_is_not_wanted(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, training={"epochs": 1})
    done = train_and_deliver(recipe, tmp_path / "out", measured=False)
    assert done is not None
    assert done.serving is None
    file = tmp_path / "out" / "model" / RESULTS
    stored = {name: of for name, of in json.loads(file.read_text()).items() if name not in ("costs", "serving")}
    file.write_text(json.dumps(stored))  # as an earlier version wrote it
    assert train_and_deliver(recipe, tmp_path / "out") == replace(done, costs=None)


def test_a_measurement_is_read_back() -> None:
    serving = Serving("cpu with 1 thread", 16, 9, 0.01, (1.1, 1.2, 1.3), None, 10_000, 2_000)
    assert Serving.from_json(json.loads(json.dumps(serving.to_json()))) == serving
    assert "unmerged adapter 1.20 times (middle half of rounds 1.10 to 1.30), over 9 rounds" in serving.told
