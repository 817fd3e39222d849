"""Only the first token through the end of the last layer, where the task head reads nothing else.

An encoder's classifier looks at one token of many. What comes after attention in the last layer (its
feed-forward half, two thirds of its products) works token by token, so it need not be computed for the
others, neither forward nor backward. Whether a model allows that is tried, not assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

CLOSE = 1e-5


@torch.no_grad()
def keep_first_token(model: nn.Module, stack: str, inputs: Mapping[str, Tensor]) -> str | None:
    """Let the earliest child of the last layer of `stack` that can be cut pass on its first token alone.

    `inputs`: name -> (batch, tokens), some examples of several lengths; a cut stays only if the logits
    for them are the same within 1e-5. Returns the name of the child, or None where the head needs every
    token, or the layer adds them together after each child. Acts on every later call of the model.
    """
    layers = model.get_submodule(stack)
    assert isinstance(layers, nn.ModuleList)
    last = layers[-1]
    was_training = model.training
    model.eval()
    try:
        expected = model(**inputs).logits
        for name, child in last.named_children():
            if isinstance(child, nn.Linear):  # may be adapted, which wraps it
                continue
            handle = child.register_forward_hook(_cut)
            if _is_same(lambda: model(**inputs).logits, last, expected):
                return name
            handle.remove()
    finally:
        model.train(was_training)
    return None


def _cut(module: nn.Module, arguments: Any, output: Any) -> Any:
    """(batch, tokens, width) -> (batch, 1, width), alone or as the first of several outputs."""
    first = output[0] if isinstance(output, tuple) else output
    if not isinstance(first, Tensor) or first.dim() != 3:
        return None
    cut = first[:, :1].contiguous()  # a view would make the next product copy its weight for each example
    return (cut, *output[1:]) if isinstance(output, tuple) else cut


def _is_same(logits: Callable[[], Tensor], last: nn.Module, expected: Tensor) -> bool:
    """Whether the logits are as expected, and the last layer indeed computed one token."""
    tokens: list[int] = []

    def count(module: nn.Module, arguments: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        tokens.append(first.shape[1])

    handle = last.register_forward_hook(count)
    try:
        found = logits()
    except (RuntimeError, IndexError, ValueError):  # a shape that the model does not take
        return False
    finally:
        handle.remove()
    same = found.shape == expected.shape and bool((found - expected).abs().max() <= CLOSE)
    return same and tokens == [1]
