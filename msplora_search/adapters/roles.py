"""Names for what a matrix does in any transformer, where the names of its modules differ by architecture."""

from __future__ import annotations

from collections.abc import Sequence

FUSED = ("c_attn", "Wqkv", "qkv_proj", "query_key_value", "qkv")
"""Query, key and value in one matrix."""
PROJECTIONS = {
    "query": ("query", "q_proj", "q_lin", "query_proj", "q"),
    "key": ("key", "k_proj", "k_lin", "key_proj", "k"),
    "value": ("value", "v_proj", "v_lin", "value_proj", "v"),
}
"""By role: last part of a module's name, in the architectures of transformers."""
ATTENTION, FEED_FORWARD, ALL = "attention", "feed-forward", "all-linear"
ROLES = (*PROJECTIONS, ATTENTION, FEED_FORWARD, ALL)


def targets_in_role(role: str, names: Sequence[str]) -> tuple[str, ...]:
    """The targets that play `role` in layers whose linear modules are called `names`; none: an empty tuple.

    `query` is `q_proj` in one model, and in another the `c_attn` that holds query, key and value. `attention`
    and `feed-forward` are the linear modules of a layer in and outside attention, `all-linear` is both.
    """
    last = {name.rsplit(".", 1)[-1] for name in names}
    match role:
        case "query" | "key" | "value":
            return tuple(name for name in (*PROJECTIONS[role], *FUSED) if name in last)[:1]
        case "attention":
            return tuple(sorted({name for name in names if _in_attention(name)}))
        case "feed-forward":
            return tuple(sorted({name for name in names if not _in_attention(name)}))
        case "all-linear":
            return tuple(sorted(set(names)))
        case _:
            return ()


def _in_attention(name: str) -> bool:
    """Whether a module's name within its layer leads through attention, as `layer.0.SelfAttention.q` does."""
    *outer, last = name.lower().split(".")
    return last in FUSED or any("attention" in part or "attn" in part for part in outer)
