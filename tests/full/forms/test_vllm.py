"""vLLM's rules on what an adapter's config says. vLLM itself does not run here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.full.cards.card import Facts, model_card
from msplora_search.full.forms.vllm import MAX_RANKS, Verdict, served_by, verdict
from msplora_search.tasks.kinds import kind_of
from tests.full.test_card import DONE, causal, recipe_of


def config(**changes: Any) -> dict[str, Any]:
    targets = ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"]
    plain = {"r": 10, "lora_alpha": 10, "target_modules": targets, "bias": "none", "modules_to_save": None}
    return {**plain, **changes}


@given(rank=st.integers(1, 600))
def test_the_smallest_size_that_holds_the_rank_is_named(rank: int) -> None:
    found = verdict(config(r=rank), "llama")
    if rank > 512:
        assert "above 512" in found.broken[0]
        return
    assert found.broken == ()
    assert found.max_rank in MAX_RANKS
    assert found.max_rank >= rank
    assert not [size for size in MAX_RANKS if rank <= size < found.max_rank]


@pytest.mark.parametrize(
    ("changes", "model_type", "told"),
    [
        ({"modules_to_save": ["score"]}, "llama", "whole modules are stored (modules_to_save: score)"),
        ({"use_dora": True}, "llama", "use_dora is set"),
        ({"bias": "all"}, "llama", "biases are adapted"),
        ({"rank_pattern": {"q_proj": 4}}, "llama", "ranks or alphas differ between modules"),
        ({"alpha_pattern": {"q_proj": 4}}, "llama", "ranks or alphas differ between modules"),
        ({"target_modules": ["model.layers.0.mlp.router"]}, "llama", "does not adapt router of llama models"),
        ({"target_modules": ["model.layers.0.self_attn.q_proj"]}, "phi3", "does not adapt q_proj of phi3 models"),
        ({"target_modules": ".*q_proj"}, "qwen2", "a pattern, not a list"),
        ({}, "gpt2", "vLLM runs gpt2 models without adapters"),
        ({}, "something", "not known here which modules of something models"),
    ],
)
def test_a_rule_that_is_broken_is_named(changes: dict[str, Any], model_type: str, told: str) -> None:
    (broken,) = verdict(config(**changes), model_type).broken
    assert told in broken


def test_the_largest_of_different_ranks_counts() -> None:
    assert verdict(config(rank_pattern={"q_proj": 60}), "llama").max_rank == 64


@pytest.mark.parametrize(
    ("base", "named"), [("org/base-1.5", "org/base-1.5"), ("x; rm -r", "BASE"), ("-x", "BASE")]
)
def test_the_command_holds_no_text_that_a_shell_reads(base: str, named: str) -> None:
    command = served_by(Verdict((), 16), base, trust_remote_code=False)
    assert command == f"vllm serve {named} --enable-lora --max-lora-rank 16 --lora-modules adapter=peft"
    assert served_by(Verdict((), 16), base, trust_remote_code=True).endswith(" --trust-remote-code")


def test_the_card_names_the_rule_that_keeps_vllm_from_serving_it(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, causal(tmp_path))
    adapter = config(r=600, target_modules=["model.layers.0.<img>"])
    card = model_card(
        recipe, kind_of(recipe.task, None), 10, Facts(DONE, False, adapter=adapter, model_type="llama")
    )
    assert "vLLM, by its rules, does not serve it: rank 600 is above 512, the largest --max-lora-rank; " in card
    assert r"vLLM does not adapt \<img\> of llama models." in card
    assert "vllm serve" not in card
