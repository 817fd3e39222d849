from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import repeat_kv

from msplora_search.proxy.attention import MOST_KEYS, NAME, short_attention, use_short_attention
from msplora_search.proxy.precision import Precision
from tests.adapters.models import bert, llama

CPU = torch.device("cpu")
BF16_ROUNDING = 0.03
"""Of values around 1; bf16 has 8 bits for them."""


def reference(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, bias: Tensor | None
) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key.float(), groups), repeat_kv(value.float(), groups)
    mask = mask.float() if mask is not None and mask.dtype != torch.bool else mask
    if bias is not None:
        seen = torch.ones(key.shape[2], key.shape[2], dtype=torch.bool).tril() if causal else mask
        if seen is not None and seen.dtype == torch.bool:
            seen = torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))
        mask, causal = bias.float() + (0 if seen is None else seen), False
    return F.scaled_dot_product_attention(query.float(), key, value, mask, is_causal=causal).transpose(1, 2)


def padding(lengths: list[int], keys: int) -> Tensor:
    """(batch, 1, 1, keys): true where a key is no padding."""
    return (torch.arange(keys)[None] < torch.tensor(lengths)[:, None])[:, None, None]


@settings(max_examples=80)
@given(
    keys=st.sampled_from([1, 7, 31, 32, 33, 55, 64, 100, MOST_KEYS, MOST_KEYS + 9]),
    heads=st.sampled_from([(2, 2), (4, 2), (4, 1)]),
    kind=st.sampled_from(["none", "causal", "padding", "every query", "float"]),
    bias=st.sampled_from([None, torch.bfloat16, torch.float32]),
    seed=st.integers(0, 99),
)
def test_it_is_attention_forward_and_backward(
    keys: int, heads: tuple[int, int], kind: str, bias: torch.dtype | None, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)

    def drawn(count: int) -> Tensor:
        values = torch.randn(3, count, keys, 8, generator=generator).to(torch.bfloat16)
        return values.requires_grad_()

    query, key, value = drawn(heads[0]), drawn(heads[1]), drawn(heads[1])
    mask: Tensor | None = None
    if kind in ("padding", "every query", "float"):
        mask = padding([keys, max(1, keys // 2), max(1, keys - 3)], keys)
    if mask is not None and kind != "padding":
        mask = mask.expand(-1, -1, keys, -1) & torch.ones(keys, keys, dtype=torch.bool).tril()
    if mask is not None and kind == "float":
        mask = torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))
    module: Any = nn.Module()
    module.num_key_value_groups = heads[0] // heads[1]
    added = None if bias is None else torch.randn(1, heads[0], keys, keys, generator=generator).to(bias)
    found, _ = short_attention(module, query, key, value, mask, is_causal=kind == "causal", position_bias=added)
    plain = [x.detach().float().requires_grad_() for x in (query, key, value)]
    expected = reference(plain[0], plain[1], plain[2], mask, kind == "causal", added)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=BF16_ROUNDING, rtol=BF16_ROUNDING)
    sent = torch.randn(expected.shape, generator=generator)
    found.backward(sent.to(torch.bfloat16))  # type: ignore[no-untyped-call]
    expected.backward(sent.to(torch.bfloat16).float())  # type: ignore[no-untyped-call]
    for own, other in zip((query, key, value), plain, strict=True):
        assert own.grad is not None
        torch.testing.assert_close(own.grad.float(), other.grad, atol=3 * BF16_ROUNDING, rtol=3 * BF16_ROUNDING)


def test_a_bias_that_trains_gets_its_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 2, 7, 8, generator=generator).to(torch.bfloat16).requires_grad_()
    bias = torch.randn(1, 2, 7, 7, generator=generator).to(torch.bfloat16).requires_grad_()
    found, _ = short_attention(nn.Module(), query, key, value, None, is_causal=False, position_bias=bias)
    plain = bias.detach().float().requires_grad_()
    reference(query.detach(), key.detach(), value.detach(), None, False, plain).square().sum().backward()  # type: ignore[no-untyped-call]
    found.float().square().sum().backward()  # type: ignore[no-untyped-call]
    assert bias.grad is not None
    torch.testing.assert_close(bias.grad.float(), plain.grad, atol=3 * BF16_ROUNDING, rtol=3 * BF16_ROUNDING)


@pytest.mark.parametrize("make", [bert, llama])
def test_a_model_computes_the_same_with_it(make: Any) -> None:
    model = make().to(torch.bfloat16)
    other = copy.deepcopy(model)
    use_short_attention(other)
    assert other.config._attn_implementation == NAME
    assert model.config._attn_implementation == "sdpa"
    ids = torch.tensor([[2, 7, 11, 13, 3, 5], [2, 17, 19, 3, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    with torch.no_grad():
        one, two = (m(input_ids=ids, attention_mask=mask).logits.float() for m in (model, other))
        alone = other(input_ids=ids[1:, :4], attention_mask=mask[1:, :4]).logits.float()
    told = mask[..., None].bool() if one.dim() == 3 else torch.ones(2, 1, dtype=torch.bool)
    torch.testing.assert_close(one * told, two * told, atol=BF16_ROUNDING, rtol=BF16_ROUNDING)
    unpadded = two[1, :4] if one.dim() == 3 else two[1]
    torch.testing.assert_close(unpadded, alone[0], atol=BF16_ROUNDING, rtol=BF16_ROUNDING)


def test_a_model_that_attends_otherwise_stays_as_it_is() -> None:
    model: Any = bert()
    model.set_attn_implementation("eager")
    use_short_attention(model)
    assert model.config._attn_implementation == "eager"
    use_short_attention(nn.Linear(2, 2))


def test_fp32_models_keep_their_attention_and_weights() -> None:
    model: Any = bert()
    Precision.named("fp32", CPU).prepare(model, [])
    assert model.config._attn_implementation == "sdpa"
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_only_what_trains_stays_fp32() -> None:
    model: Any = bert()
    head = list(model.classifier.parameters())
    Precision.named("bf16", CPU).prepare(model, head)
    assert {p.dtype for p in head} == {torch.float32}
    kept = {id(p) for p in head}
    assert {p.dtype for p in model.parameters() if id(p) not in kept} == {torch.bfloat16}
