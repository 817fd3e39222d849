"""The GGUF adapter, read back by the package `gguf` and by nothing of ours."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from msplora_search import attach
from msplora_search.adapters.bank import merge
from msplora_search.adapters.peft_format import to_peft
from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.full.forms.gguf_adapter import (
    ARCHITECTURES,
    GgufAdapter,
    in_halves,
    interleaved,
    read_gguf,
    same_factors,
    write_gguf,
)
from tests.full.test_card import causal, classification, recipe_of

AUTO: Any = AutoModelForCausalLM
HEADS, SHARED, SIZE = 4, 2, 8
OF_LLAMA = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
OF_PHI3 = {
    "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output", "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
NAMED = {"mistral": "llama", "gemma3_text": "gemma3"}
UNEVEN = [DepthGroup(0, 1, 2, 0), DepthGroup(1, 2, 1, 3)]


def model_of(model_type: str) -> Any:
    torch.manual_seed(0)
    fields: dict[str, Any] = {
        "vocab_size": 20, "hidden_size": HEADS * SIZE, "num_hidden_layers": 2, "num_attention_heads": HEADS,
        "num_key_value_heads": SHARED, "head_dim": SIZE, "intermediate_size": 48, "pad_token_id": 0,
    }  # fmt: skip
    return AUTO.from_config(CONFIG_MAPPING[model_type](**fields)).eval()


def adapted(model_type: str, names: list[str], alpha: float = 3.0) -> Any:
    """With other ranks, and so other scalings, from layer to layer."""
    model = model_of(model_type)
    bank = attach(model, Pyramid(2, UNEVEN, [name.rpartition(".")[2] for name in names], alpha))
    for parameter in bank.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def rows_of_transformers(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Neighbours 2i and 2i + 1 of a head are i of its halves."""
    found = np.empty_like(rows)
    size = len(rows) // heads
    for head in range(heads):
        for i in range(size // 2):
            found[head * size + i] = rows[head * size + 2 * i]
            found[head * size + size // 2 + i] = rows[head * size + 2 * i + 1]
    return found


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_base_and_file_make_the_merged_weights_by_the_formula_of_llama_cpp(
    tmp_path: Path, model_type: str
) -> None:
    names = OF_PHI3 if model_type == "phi3" else OF_LLAMA
    model = adapted(model_type, list(names))
    before = {name: weight.detach().clone() for name, weight in model_of(model_type).named_parameters()}
    write_gguf(to_peft(model), model.config, tmp_path / "adapter.gguf", "a name", "org/base")
    merged = dict(merge(model).named_parameters())
    reader = GGUFReader(tmp_path / "adapter.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.type"] == "adapter"
    assert fields["adapter.type"] == "lora"
    assert fields["general.architecture"] == {"mistral": "llama", "gemma3_text": "gemma3"}.get(
        model_type, model_type
    )
    held = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    assert len(held) == 2 * 2 * len(names)
    for layer in range(2):
        for ours, theirs in names.items():
            down, up = (held.pop(f"blk.{layer}.{theirs}.weight.lora_{factor}") for factor in "ab")
            assert down.dtype == up.dtype == np.float32
            if ARCHITECTURES[model_type].interleaved and theirs in ("attn_q", "attn_k"):
                up = rows_of_transformers(up, HEADS if theirs == "attn_q" else SHARED)
            scale = fields["adapter.lora.alpha"] / up.shape[1]
            name = f"model.layers.{layer}.{ours}.weight"
            made = before[name].numpy() + scale * (up @ down)
            assert np.abs(made - merged[name].detach().numpy()).max() < 1e-6
            assert np.abs(made - before[name].numpy()).max() > 0.1
    assert not held


@given(heads=st.integers(1, 5), half=st.integers(1, 6), columns=st.integers(1, 4))
def test_rows_come_back_from_the_order_of_llama_cpp(heads: int, half: int, columns: int) -> None:
    rows = torch.arange(heads * 2 * half * columns).float().reshape(-1, columns)
    assert torch.equal(in_halves(interleaved(rows, heads), heads), rows)
    assert torch.equal(torch.from_numpy(rows_of_transformers(interleaved(rows, heads).numpy(), heads)), rows)


@given(place=st.integers(0, 50), seed=st.integers(0, 100))
def test_neighbours_rotated_in_the_new_order_are_halves_rotated_in_the_old(place: int, seed: int) -> None:
    """By what llama.cpp does with the rows (its rope of type NORM), against transformers' own rotation."""
    query = torch.randn(HEADS * SIZE, 1, generator=torch.Generator().manual_seed(seed))
    angles = place / 10_000 ** (torch.arange(SIZE // 2) * 2 / SIZE)
    cos, sin = angles.cos(), angles.sin()
    halves = query.reshape(HEADS, 2, SIZE // 2)
    old = torch.stack([halves[:, 0] * cos - halves[:, 1] * sin, halves[:, 1] * cos + halves[:, 0] * sin], dim=1)
    pairs = interleaved(query, HEADS).reshape(HEADS, SIZE // 2, 2)
    new = torch.stack(
        [pairs[..., 0] * cos - pairs[..., 1] * sin, pairs[..., 1] * cos + pairs[..., 0] * sin], dim=-1
    )
    assert torch.allclose(in_halves(new.reshape(-1, 1), HEADS), old.reshape(-1, 1), atol=1e-6)


def test_a_file_of_other_numbers_is_told_from_the_adapter(tmp_path: Path) -> None:
    model = adapted("llama", ["self_attn.q_proj"])
    adapter, file = to_peft(model), tmp_path / "adapter.gguf"
    write_gguf(adapter, model.config, file, "a", "b")
    found = read_gguf(adapter, model.config, file)
    assert same_factors(adapter, found)
    path = next(iter(found))
    down, up = found[path]
    assert not same_factors(adapter, {**found, path: (down, torch.nextafter(up, torch.tensor(math.inf)))})
    assert not same_factors(adapter, {p: pair for p, pair in found.items() if p != path})


def test_what_has_no_gguf_form_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form = GgufAdapter()
    language = recipe_of(tmp_path, causal(tmp_path))
    form.require(language)
    with pytest.raises(InputError, match=r"--gguf: llama.cpp takes adapters of language models.*classification"):
        form.require(recipe_of(tmp_path / "other", classification(tmp_path / "other")))
    sizes: dict[str, Any] = {"n_layer": 1, "n_embd": 16, "n_head": 2, "vocab_size": 20}
    AUTO.from_config(CONFIG_MAPPING["gpt2"](**sizes)).save_pretrained(tmp_path / "gpt2")
    with pytest.raises(InputError, match=r"--gguf: .*gpt2 is a gpt2 model.*there are: llama, mistral"):
        form.require(language.model_copy(update={"model": str(tmp_path / "gpt2")}))
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(InputError, match=r"gguf is not installed; pip install \"msplora-search\[gguf\]"):
        form.require(language)
