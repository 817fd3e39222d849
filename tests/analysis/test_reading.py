from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from msplora_search import save_pyramid, to_peft
from msplora_search.adapters.bank import bank_of
from msplora_search.analysis.reading import read_trained
from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from tests.adapters.models import bert, llama, t5, trained, uneven
from tests.analysis.made import full

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"


def matrices(model: nn.Module) -> dict[str, Any]:
    """The update of each site of an adapted model."""
    return {
        path: sum(a.scaling * a.B.detach().numpy() @ a.A.detach().numpy() for a in adapters)
        for path, adapters in bank_of(model).sites.items()
    }


@pytest.mark.parametrize("make", [lambda: bert(6), lambda: llama(6), t5], ids=["bert", "llama", "t5"])
def test_a_pyramid_and_its_export_are_the_updates_of_the_model(
    tmp_path: Path, make: Callable[[], nn.Module]
) -> None:
    made = make()
    depth = 6 if not hasattr(made, "decoder") else len(made.decoder.block)  # type: ignore[union-attr, arg-type]
    groups = [DepthGroup(0, 1, 0, 2), DepthGroup(1, depth, 2, 1)]
    targets = ("q", "v") if hasattr(made, "decoder") else ("query", "value")
    model = trained(made, Pyramid(3, groups, targets, 8.0))
    save_pyramid(model, tmp_path / "model" / "pyramid", "base")
    to_peft(model).save(tmp_path / "peft", None)
    wanted = matrices(model)
    for folder in (tmp_path, tmp_path / "peft"):
        found = read_trained(folder).whole
        at = {path: next((u for (p, n), u in found.items() if path in _paths(p.stack, n, p.target)), None)
              for path in wanted}  # fmt: skip
        assert len(found) == len(wanted)
        for path, matrix in wanted.items():
            update = at[path]
            assert update is not None, path
            assert np.allclose(full(update), matrix, atol=1e-6)


def _paths(stack: str, layer: int, target: str) -> list[str]:
    return [f"{stack}.{layer}.{target}"]


def test_levels_and_groups_of_a_pyramid_are_kept(tmp_path: Path) -> None:
    save_pyramid(trained(bert(6), uneven(6)), tmp_path, "base")
    found, pyramid = read_trained(tmp_path), uneven(6)
    assert found.groups == (0, *(group.stop for group in pyramid.groups))
    place = found.places[0]
    assert found.levels["global"][place, 0] is found.levels["global"][place, 5]
    for layer in range(6):
        group = pyramid.groups[pyramid.group_of(layer)]
        ranks = {
            level: sites[place, layer].rank for level, sites in found.levels.items() if (place, layer) in sites
        }
        wanted = {"global": pyramid.global_rank, "mid": group.mid_rank, "layer": group.layer_rank}
        assert ranks == {level: rank for level, rank in wanted.items() if rank}


def lora(folder: Path, **fields: Any) -> Path:
    """An adapter that PEFT itself saved, with numbers in it."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["query", "value"], init_lora_weights=False, **fields)
    get_peft_model(bert(3), config).save_pretrained(str(folder))
    return folder


def test_patterns_and_stabilised_scaling_are_read_as_peft_means_them(tmp_path: Path) -> None:
    fields = {
        "rank_pattern": {"layer.1.attention.self.query": 2},
        "alpha_pattern": {"^bert.encoder.layer.2.attention.self.value": 3},
        "use_rslora": True,
    }
    folder = lora(tmp_path, **fields)
    found, model = read_trained(folder), get_peft_model_like(fields)
    assert found.kind == "LoRA"
    assert len(found.whole) == 6
    for (place, layer), update in found.whole.items():
        module = model.get_submodule(f"base_model.model.{place.stack}.{layer}.{place.target}")
        delta = module.get_delta_weight("default")  # type: ignore[operator]
        assert np.allclose(full(update), delta.detach().numpy(), atol=1e-6), (place, layer)


def get_peft_model_like(fields: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["query", "value"], init_lora_weights=False, **fields)
    return get_peft_model(bert(3), config)


def _config(folder: Path, **changes: Any) -> None:
    known = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**known, **changes}))


def _tensors(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / TENSORS)
    change(tensors)
    save_file(tensors, folder / TENSORS)


def _emptied(tensors: dict[str, Tensor]) -> None:
    tensors.clear()
    tensors["x"] = torch.ones(1)


def _first(tensors: dict[str, Tensor], factor: str) -> str:
    return min(name for name in tensors if f"lora_{factor}" in name)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: _config(f, peft_type="IA3"), r"peft_type is 'IA3'; it must be LORA"),
        (lambda f: _config(f, r="four"), r"r is 'four'; it must be a number above 0"),
        (lambda f: _config(f, lora_alpha=0), r"lora_alpha is 0; it must be a number above 0"),
        (lambda f: _config(f, use_dora=True), r"use_dora is true; it must be false"),
        (lambda f: _config(f, r=3), r"has rank 4, but adapter_config.json says 3"),
        (lambda f: _config(f, alpha_pattern={"(": 3}), r"alpha_pattern: '\(' is no regular expression"),
        (lambda f: _config(f, alpha_pattern=[1]), r"alpha_pattern is \[1\]; it must be a mapping"),
        (lambda f: (f / CONFIG).write_text("{"), r"adapter_config.json: is no JSON"),
        (lambda f: (f / CONFIG).write_text("[]"), r"adapter_config.json: is \[\]; it must be a mapping"),
        (lambda f: (f / TENSORS).write_bytes(b"abc"), r"safetensors: cannot be read"),
        (lambda f: (f / TENSORS).rename(f / "adapter_model.bin"), r"no such file.*pickle"),
        (lambda f: _tensors(f, lambda t: t.pop(_first(t, "B"))), r"lacks lora_B"),
        (lambda f: _tensors(f, lambda t: t[_first(t, "A")].fill_(float("nan"))), r"no finite number"),
        (lambda f: _tensors(f, lambda t: t.update({_first(t, "A"): torch.ones(3, 32)})),
         r"lora_A of shape \(3, 32\)"),
        (lambda f: _tensors(f, _emptied), r"no lora_A and lora_B"),
    ],
)  # fmt: skip
def test_wrong_files_are_one_line(tmp_path: Path, spoil: Callable[[Path], object], said: str) -> None:
    spoil(lora(tmp_path))
    with pytest.raises(InputError, match=said) as caught:
        read_trained(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_an_adapter_is_told_what_would_do(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match=r"give a folder with adapter_config\.json"):
            read_trained(path)
