"""Names for what a matrix does in any transformer, where the names of its modules differ by architecture."""

from __future__ import annotations

from collections.abc import Sequence

FUSED = ("c_attn", "Wqkv", "qkv_proj", "query_key_value", "qkv")
"""Query, key and value in one matrix."""
IN_ONE = "query, key and value"
"""What such a matrix does."""
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


def counterpart(targets: Sequence[str], choices: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The choice that plays the roles that `targets` play in their model; the first where none does.

    The same names come before the same roles, and these before a matrix that holds query, key and value in place
    of some of them. A name without its place in the layer, such as `dense`, corresponds to itself alone.
    """
    own, each = _roles(targets), [_roles(choice) for choice in choices]
    alike = [
        *(choice for choice in choices if set(choice) == set(targets)),
        *(choice for choice, roles in zip(choices, each, strict=True) if roles == own),
        *(
            choice
            for choice, roles in zip(choices, each, strict=True)
            if IN_ONE in own | roles and _fused(roles) == _fused(own)
        ),
    ]
    return alike[0] if alike else choices[0]


def _roles(targets: Sequence[str]) -> set[str]:
    return {_role(target.rpartition(":")[2]) for target in targets}


def _role(name: str) -> str:
    """What a module does, by its name within a layer."""
    last = name.rsplit(".", 1)[-1]
    if last in FUSED:
        return IN_ONE
    own = next((role for role, names in PROJECTIONS.items() if last in names), None)
    if own or last == name:
        return own or name
    return ATTENTION if _in_attention(name) else FEED_FORWARD


def _fused(roles: set[str]) -> set[str]:
    return {IN_ONE if role in PROJECTIONS else role for role in roles}


def _in_attention(name: str) -> bool:
    """Whether a module's name within its layer leads through attention, as `layer.0.SelfAttention.q` does."""
    *outer, last = name.lower().split(".")
    return last in FUSED or any("attention" in part or "attn" in part for part in outer)
