from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn

from msplora_search import to_peft
from msplora_search.adapters.bank import merge
from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from tests.adapters.models import (
    QV,
    bart,
    bert,
    distilbert,
    llama,
    logits,
    roberta,
    trained,
    uneven,
)
from tests.strategies import RawPyramid, raw_pyramids

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
MOST_APART = 1e-5


def reloaded(base: nn.Module, folder: Path) -> nn.Module:
    model = PeftModel.from_pretrained(base, str(folder))
    assert isinstance(model, nn.Module)
    return model.eval()


@settings(max_examples=15)
@given(raw=raw_pyramids(layers=st.integers(1, 5)))
def test_peft_computes_what_the_pyramid_computes(
    tmp_path_factory: pytest.TempPathFactory, raw: RawPyramid
) -> None:
    pyramid, folder = raw.build(), tmp_path_factory.mktemp("peft")
    model = trained(bert(pyramid.layers), pyramid)
    to_peft(model).save(folder / "peft", "base", "SEQ_CLS")
    assert (logits(reloaded(bert(pyramid.layers), folder / "peft")) - logits(model)).abs().max() <= MOST_APART


@pytest.mark.parametrize(
    ("make", "targets", "task_type"),
    [
        (roberta, QV, "SEQ_CLS"),
        (distilbert, ("q_lin", "v_lin"), "SEQ_CLS"),
        (llama, ("q_proj", "v_proj"), "CAUSAL_LM"),
    ],
)
def test_other_architectures_too(
    tmp_path: Path, make: Callable[[int], nn.Module], targets: tuple[str, ...], task_type: str
) -> None:
    model = trained(make(3), uneven(3, targets))
    to_peft(model).save(tmp_path / "peft", "base", task_type)
    assert (logits(reloaded(make(3), tmp_path / "peft")) - logits(model)).abs().max() <= MOST_APART


def test_a_regression_head_leaves_as_one(tmp_path: Path) -> None:
    model = trained(bert(3, labels=1), uneven(3))
    assert logits(model).shape == (2, 1)
    to_peft(model).save(tmp_path / "peft", "base", "SEQ_CLS")
    assert (logits(reloaded(bert(3, labels=1), tmp_path / "peft")) - logits(model)).abs().max() <= MOST_APART


@pytest.mark.parametrize("scaling", ["standard", "rank-stabilised"])
@pytest.mark.parametrize("layers", [6, 12, 13, 32])
def test_peft_merges_and_unloads_the_export(tmp_path: Path, layers: int, scaling: str) -> None:
    model = trained(bert(layers), uneven(layers, scaling=scaling))
    tied = logits(model)
    to_peft(model).save(tmp_path / "peft", "base", "SEQ_CLS")
    loaded = reloaded(bert(layers), tmp_path / "peft")
    assert isinstance(loaded, PeftModel)
    assert (logits(loaded.merge_and_unload()) - tied).abs().max() <= MOST_APART
    assert (logits(merge(model)) - tied).abs().max() <= MOST_APART


def test_both_counts_are_told() -> None:
    model = trained(bert(6), Pyramid.geometric(8, 6))
    peft = to_peft(model)
    assert peft.adapter_params == 2 * 64 * 6 * 14
    assert peft.modules_to_save == ("classifier",)
    assert set(peft.ranks.values()) == {14}
    assert peft.stored_params == peft.adapter_params


PER_GROUP = Pyramid(2, [DepthGroup(0, 1, 3, 0), DepthGroup(1, 3, 0, 5)], QV)
"""Sites of rank 5 in one layer, of rank 7 in the others."""
STABILISED = Pyramid(4, [DepthGroup(0, 1, 3, 0), DepthGroup(1, 3, 1, 5)], QV, 16, "rank-stabilised")
"""Unequal ranks by group, so that no one alpha would stand for all factors of a level."""
LONE_GROUP = Pyramid(0, [DepthGroup(0, 1, 3, 0), DepthGroup(1, 3, 0, 0)], QV)
"""Nothing at all in two of three layers."""


def served(base: nn.Module, folder: Path) -> nn.Module:
    """`base` with the adapter as programs read it that know one rank and alpha: llama.cpp's converter, vLLM."""
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    for name in [name for name in tensors if name.endswith(".lora_A.weight")]:
        path = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        down, up = tensors[name], tensors[name.replace(".lora_A.", ".lora_B.")]
        assert down.shape[0] == up.shape[1] == config["r"]
        base.get_parameter(f"{path}.weight").data += config["lora_alpha"] / config["r"] * up @ down
    for name, tensor in tensors.items():
        if ".lora_" not in name:
            base.get_parameter(name.removeprefix("base_model.model.")).data.copy_(tensor)
    return base


@pytest.mark.parametrize("pyramid", [PER_GROUP, LONE_GROUP, STABILISED, uneven(3)])
@pytest.mark.parametrize("make", [lambda: bert(3), bart, lambda: roberta(3)])
def test_programs_that_know_one_rank_and_one_alpha_compute_the_same(
    tmp_path: Path, make: Callable[[], nn.Module], pyramid: Pyramid
) -> None:
    model = trained(make(), pyramid.at_depth(3))
    tied = logits(model)
    to_peft(model).save(tmp_path / "peft", "base", "SEQ_CLS")
    with torch.no_grad():
        assert (logits(served(make(), tmp_path / "peft")) - tied).abs().max() <= MOST_APART
    config = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert (config["rank_pattern"], config["alpha_pattern"], config["lora_alpha"]) == ({}, {}, config["r"])
    assert config["use_rslora"] is False
    assert (logits(reloaded(make(), tmp_path / "peft")) - tied).abs().max() <= MOST_APART


def test_the_count_leaves_the_filling_with_zeros_out() -> None:
    peft = to_peft(trained(bert(3), PER_GROUP))
    assert (peft.rank, sorted(peft.ranks.values())) == (7, [5, 5, 7, 7, 7, 7])
    assert peft.adapter_params == 2 * 64 * (5 + 7 + 7)
    assert peft.stored_params == 2 * 64 * 3 * 7


def test_saving_touches_no_file_of_the_user(tmp_path: Path) -> None:
    folder = tmp_path / "peft"
    mine = [folder / "notes.txt", tmp_path / "peft.old" / "data", tmp_path / "peft.part" / "data"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    for _ in range(2):
        to_peft(trained(bert(3), uneven(3))).save(folder, "base", "SEQ_CLS")
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert {p.name for p in folder.iterdir()} == {"notes.txt", "adapter_config.json", "adapter_model.safetensors"}
    assert {p.name for p in tmp_path.iterdir()} == {"peft", "peft.old", "peft.part"}


def test_a_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "peft").write_text("mine")
    with pytest.raises(InputError, match="peft: cannot be written: File exists"):
        to_peft(trained(bert(3), uneven(3))).save(tmp_path / "peft", "base", "SEQ_CLS")
    assert (tmp_path / "peft").read_text() == "mine"
