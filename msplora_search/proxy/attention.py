"""Attention for short sequences in bf16 on a CPU, registered with transformers.

A proxy of short sentences spends its time in products of the frozen weights, or should: torch's fused
kernel takes several times as long for its backward pass in bf16 as in fp32, and a softmax over 55 columns
takes longer than one over 64 (`scripts/bench_attention.py` measures both). So here the plain formulation,
`softmax(s Q K' + mask) V`, is computed over a number of keys that is filled up to a multiple of 32. It
keeps the attention weights of every head, (batch, heads, queries, keys), so long sequences are left to
torch's kernel, in fp32 where a backward pass will follow.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from msplora_search.adapters.foreign import quiet_transformers

NAME = "msplora_search_short"
KEY_MULTIPLE = 32
MOST_KEYS = 128
"""With more keys torch's kernel is as fast, and keeps less."""
IGNORED = {"position_ids", "cache_position", "use_cache", "output_hidden_states", "sliding_window", "return_dict"}
"""Arguments of transformers that say nothing that the mask does not say too."""


def use_short_attention(model: nn.Module) -> None:
    """Let `model` attend by `short_attention` where it attends by transformers' `sdpa`; else it stays as it is."""
    if not isinstance(model, PreTrainedModel) or model.config._attn_implementation != "sdpa":
        return
    if model._can_set_attn_implementation():
        AttentionInterface.register(NAME, short_attention)
        AttentionMaskInterface.register(NAME, short_mask)
        with quiet_transformers():  # CLIP's vision model alone has no text model to set it for
            model.set_attn_implementation(NAME)


def short_mask(*arguments: Any, **named: Any) -> Tensor | None:
    """Make the mask for `sdpa`, (batch, 1, queries, keys); one row of it where all queries see the same keys."""
    mask: Tensor | None = sdpa_mask(*arguments, **named)
    if mask is not None and bool((mask == mask[:, :, :1]).all()):
        return mask[:, :, :1]
    return mask


def short_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **further: Any,
) -> tuple[Tensor, None]:
    """What transformers' `sdpa` gives, within rounding: (batch, queries, heads, d_head).

    query: (batch, heads, queries, d_head); key and value: (batch, heads or fewer, keys, d_head);
    attention_mask: (batch or 1, heads or 1, queries or 1, keys), true or 0 where a key is seen;
    position_bias, which T5 and its kin have: (batch or 1, heads, queries, keys), added to the scores.
    """
    unusual = {name for name, given in further.items() if given is not None and given is not False} - IGNORED
    queries, keys = query.shape[2], key.shape[2]
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    causal = causal and attention_mask is None and queries > 1
    fits = query.dtype == torch.bfloat16 and query.device.type == "cpu" and keys <= MOST_KEYS
    biased = position_bias is not None and position_bias.requires_grad  # no gradient for it is computed here
    if dropout or unusual or not fits or biased or (causal and queries != keys):
        further["position_bias"] = position_bias
        return _by_torch(module, query, key, value, attention_mask, dropout, scaling, is_causal, further)
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    mask = _additive(attention_mask, position_bias, query, keys, causal)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out: Tensor = _ShortAttention.apply(query, key, value, mask, scale)  # type: ignore[no-untyped-call]
    return out.transpose(1, 2), None


def _additive(mask: Tensor | None, bias: Tensor | None, query: Tensor, keys: int, causal: bool) -> Tensor:
    """(batch * heads, queries or 1, filled-up keys), added to the scores; minus a lot where a key is not seen."""
    batch, heads, queries, _ = query.shape
    lowest = torch.finfo(query.dtype).min
    if mask is None:
        every = torch.ones(queries if causal else 1, keys, dtype=torch.bool)
        mask = (every.tril() if causal else every)[None, None]
    if mask.dtype == torch.bool:
        seen = torch.zeros((), dtype=query.dtype) if bias is None else bias.to(query.dtype)
        mask = torch.where(mask, seen, lowest)  # an added bias could lead beyond the lowest number
    elif bias is not None:
        mask = mask + bias
    filled = F.pad(mask.to(query.dtype), (0, -keys % KEY_MULTIPLE), value=lowest)
    return filled.expand(batch, heads, -1, -1).reshape(batch * heads, *filled.shape[2:])


class _ShortAttention(torch.autograd.Function):
    """`softmax(scale * Q K' + mask) V` by products over all heads at once."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
        """query: (batch, heads, queries, d_head); key, value: (batch, heads, keys, d_head) -> as query."""
        batch, heads, queries, width = query.shape
        keys = key.shape[2]
        spare = -keys % KEY_MULTIPLE
        q = query.reshape(batch * heads, queries, width)
        k, v = (F.pad(x, (0, 0, 0, spare)).reshape(batch * heads, keys + spare, -1) for x in (key, value))
        weights = torch.softmax(torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale), dim=-1)
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale, ctx.keys = scale, keys
        return torch.bmm(weights, v).view(batch, heads, queries, -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """gradient: (batch, heads, queries, d_head)."""
        q, k, v, weights = ctx.saved_tensors
        batch, heads = gradient.shape[:2]
        g = gradient.reshape(batch * heads, *gradient.shape[2:])
        of_value = torch.bmm(weights.transpose(1, 2), g)
        of_weights = torch.bmm(g, v.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_query = torch.baddbmm(q, of_scores, k, beta=0, alpha=ctx.scale)
        dq, dv = (x.view(batch, heads, *x.shape[1:]) for x in (of_query, of_value))
        dk = None
        if ctx.needs_input_grad[1]:  # not in the first layer, unless its keys are adapted
            of_key = torch.baddbmm(k, of_scores.transpose(1, 2), q, beta=0, alpha=ctx.scale)
            dk = of_key.view(batch, heads, *of_key.shape[1:])[:, :, : ctx.keys]
        return dq, dk, dv[:, :, : ctx.keys], None, None


def _by_torch(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scaling: float | None,
    is_causal: bool | None,
    further: dict[str, Any],
) -> tuple[Tensor, None]:
    """Torch's kernel; in fp32 where the one for bf16 on a CPU would have to be differentiated."""
    slow = query.dtype == torch.bfloat16 and query.device.type == "cpu" and query.requires_grad
    if not slow:
        return sdpa_attention_forward(
            module, query, key, value, mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **further
        )
    with torch.autocast(query.device.type, enabled=False):
        out, _ = sdpa_attention_forward(
            module, query.float(), key.float(), value.float(), _in_fp32(mask),
            dropout=dropout, scaling=scaling, is_causal=is_causal,
            **{name: _in_fp32(given) for name, given in further.items()},
        )  # fmt: skip
    return out.to(query.dtype), None


def _in_fp32(given: Any) -> Any:
    """A tensor of real numbers in fp32; anything else as it is."""
    return given.float() if isinstance(given, Tensor) and given.is_floating_point() else given
