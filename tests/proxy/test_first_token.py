from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    ElectraConfig,
    ElectraForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
)

from msplora_search.adapters.anatomy import dissect
from msplora_search.adapters.bank import attach, detach
from msplora_search.design.pyramid import Pyramid
from msplora_search.proxy.first_token import keep_first_token
from tests.adapters.models import bert, distilbert, roberta, train_a_little, uneven

INPUTS = {
    "input_ids": torch.tensor([[2, 7, 11, 13, 3, 5], [2, 17, 19, 3, 1, 1]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]),
}
SMALL: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 16,
}  # fmt: skip


def electra() -> nn.Module:
    model: nn.Module = ElectraForSequenceClassification(ElectraConfig(**SMALL, embedding_size=32))
    return model


def mpnet() -> nn.Module:
    model: nn.Module = MPNetForSequenceClassification(MPNetConfig(**SMALL))
    return model


class MeanOverTokens(nn.Module):
    """A classifier that reads every token."""

    def __init__(self) -> None:
        super().__init__()
        base: Any = bert()
        self.bert: Any = base.bert
        self.classifier = nn.Linear(32, 2)

    def forward(self, **inputs: Tensor) -> Any:
        return SimpleNamespace(logits=self.classifier(self.bert(**inputs).last_hidden_state.mean(dim=1)))


def gpt2() -> nn.Module:
    config = GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=2, n_positions=16, pad_token_id=1)
    model: nn.Module = GPT2ForSequenceClassification(config)
    return model


def gradients(model: nn.Module, pyramid: Pyramid) -> dict[str, Tensor]:
    bank = attach(model, pyramid)
    train_a_little(bank)
    logits = model(**INPUTS).logits
    (logits * torch.tensor([1.0, -2.0])).sum().backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    found["logits"] = logits.detach()
    model.zero_grad(set_to_none=True)
    detach(model)
    return found


@pytest.mark.parametrize(
    ("make", "targets", "stack", "child"),
    [
        (bert, ("query", "value"), "bert.encoder.layer", "attention"),
        (bert, ("query", "intermediate.dense", "output.dense"), "bert.encoder.layer", "attention"),
        (roberta, ("query", "value"), "roberta.encoder.layer", "attention"),
        (electra, ("query", "value"), "electra.encoder.layer", "attention"),
        (mpnet, ("q", "v"), "mpnet.encoder.layer", "attention"),
        (distilbert, ("q_lin", "lin2"), "distilbert.transformer.layer", "sa_layer_norm"),
    ],
)
def test_logits_and_gradients_are_those_of_all_tokens(
    make: Callable[[], nn.Module], targets: tuple[str, ...], stack: str, child: str
) -> None:
    torch.manual_seed(0)
    model = make().eval()
    anatomy = dissect(model, targets)
    assert anatomy.stack == stack
    pyramid = uneven(anatomy.layers, targets)
    before = gradients(model, pyramid)
    assert keep_first_token(model, stack, INPUTS) == child
    last, seen = model.get_submodule(stack)[-1], []  # type: ignore[index]
    last.register_forward_hook(
        lambda module, _, out: seen.append((out[0] if isinstance(out, tuple) else out).shape)
    )
    after = gradients(model, pyramid)
    assert seen == [(2, 1, 32)]
    assert before.keys() == after.keys()
    for name, expected in before.items():
        torch.testing.assert_close(after[name], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("make", "stack"), [(MeanOverTokens, "bert.encoder.layer"), (gpt2, "transformer.h")])
def test_a_head_that_reads_other_tokens_is_left_alone(make: Callable[[], nn.Module], stack: str) -> None:
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        expected = model(**INPUTS).logits
        assert keep_first_token(model, stack, INPUTS) is None
        assert torch.equal(model(**INPUTS).logits, expected)
    assert not any(module._forward_hooks for module in model.modules())
