from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from torch import nn

from msplora_search import attach, load_pyramid, save_pyramid, to_peft
from msplora_search.adapters.bank import merge
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from tests.adapters.models import QV, bert, distilbert, llama, logits, roberta, train_a_little, uneven
from tests.strategies import RawPyramid, raw_pyramids

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
MOST_APART = 1e-5


def trained(model: nn.Module, pyramid: Pyramid) -> nn.Module:
    """`model` as after training: no B is zero, and the head has moved."""
    train_a_little(attach(model, pyramid))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and not name.startswith("pyramid_bank"):
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.1)
    return model


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


@pytest.mark.parametrize("layers", [6, 12, 13, 32])
def test_peft_merges_and_unloads_the_export(tmp_path: Path, layers: int) -> None:
    model = trained(bert(layers), uneven(layers))
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


def test_a_saved_pyramid_holds_each_adapter_once_and_comes_back(tmp_path: Path) -> None:
    pyramid = Pyramid.geometric(8, 12)
    model = trained(bert(12), pyramid)
    folder = save_pyramid(model, tmp_path / "pyramid", "base")
    size = (folder / "pyramid.safetensors").stat().st_size
    head = 2 * 32 + 2
    assert size < 4 * (pyramid.count({"query": (32, 32), "value": (32, 32)}) + head) + 10_000
    fresh = bert(12)
    bank = load_pyramid(fresh, folder)
    assert bank.pyramid == pyramid
    assert torch.equal(logits(fresh), logits(model))
    assert {n for n, p in fresh.named_parameters() if p.requires_grad} == {
        n for n, p in model.named_parameters() if p.requires_grad
    }


def test_saving_again_replaces_the_whole(tmp_path: Path) -> None:
    model = trained(bert(4), uneven(4))
    save_pyramid(model, tmp_path / "p")
    train_a_little(model.get_submodule("pyramid_bank"), seed=9)  # type: ignore[arg-type]
    save_pyramid(model, tmp_path / "p")
    fresh = bert(4)
    load_pyramid(fresh, tmp_path / "p")
    assert torch.equal(logits(fresh), logits(model))
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda f: (f / "pyramid.safetensors").write_bytes((f / "pyramid.safetensors").read_bytes()[:500]),
            "damaged",
        ),
        (lambda f: (f / "pyramid.json").write_text("{"), "damaged"),
        (lambda f: (f / "pyramid.json").write_text("{}"), "is no pyramid of format 1"),
        (lambda f: (f / "pyramid.safetensors").unlink(), "no such file"),
    ],
)
def test_a_damaged_folder_is_refused_and_the_model_stays(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    folder = save_pyramid(trained(bert(4), uneven(4)), tmp_path / "p")
    spoil(folder)
    fresh = bert(4)
    before = logits(fresh)
    with pytest.raises(InputError, match=said):
        load_pyramid(fresh, folder)
    assert torch.equal(logits(fresh), before)
    assert not hasattr(fresh, "pyramid_bank")


@pytest.mark.parametrize("make", [lambda: bert(5), lambda: distilbert(4), lambda: bert(4, labels=3)])
def test_another_architecture_is_refused_and_stays(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    folder = save_pyramid(trained(bert(4), uneven(4)), tmp_path / "p")
    other = make()
    before = logits(other)
    with pytest.raises(InputError, match=r"pyramid\.(json|safetensors): .*(fit|has shape)"):
        load_pyramid(other, folder)
    assert torch.equal(logits(other), before)
    assert not hasattr(other, "pyramid_bank")


def test_a_full_disk_leaves_the_earlier_pyramid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained(bert(4), uneven(4))
    folder = save_pyramid(model, tmp_path / "p")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("msplora_search.adapters.pyramid_file.save_file", full)
    with pytest.raises(InputError, match="No space left on device"):
        save_pyramid(model, folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["p"]
