"""Small random transformers of several families, and pyramids that fit them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import (
    BartConfig,
    BartForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
)

from msplora_search.adapters.bank import AdapterBank, attach
from msplora_search.adapters.layer import PyramidLinear
from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid

QV = ("query", "value")
TOKENS = torch.tensor([[2, 7, 11, 13, 3], [2, 17, 19, 3, 1]])


def bert(layers: int = 4, labels: int = 2) -> nn.Module:
    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=layers, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=16,
    )  # fmt: skip
    config.num_labels = labels
    return _seeded(BertForSequenceClassification, config)


def roberta(layers: int = 4) -> nn.Module:
    config = RobertaConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=layers, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=16,
    )  # fmt: skip
    return _seeded(RobertaForSequenceClassification, config)


def distilbert(layers: int = 4) -> nn.Module:
    config = DistilBertConfig(
        vocab_size=50, dim=32, n_layers=layers, n_heads=2, hidden_dim=64, max_position_embeddings=16
    )
    return _seeded(DistilBertForSequenceClassification, config)


def llama(layers: int = 2) -> nn.Module:
    """Grouped-query attention: q_proj is 32x32, k_proj and v_proj are 32x16."""
    config = LlamaConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=64, max_position_embeddings=16,
    )  # fmt: skip
    return _seeded(LlamaForCausalLM, config)


def t5(layers: int = 2) -> nn.Module:
    """Two stacks of layers: encoder and decoder."""
    config = T5Config(vocab_size=50, d_model=32, d_kv=16, d_ff=64, num_layers=layers, num_heads=2)
    return _seeded(T5ForConditionalGeneration, config)


def bart() -> nn.Module:
    """An encoder of two layers beside a decoder of three."""
    config = BartConfig(
        vocab_size=50, d_model=32, encoder_layers=2, decoder_layers=3, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=16,
    )  # fmt: skip
    return _seeded(BartForSequenceClassification, config)


def _seeded(kind: type, config: object) -> nn.Module:
    torch.manual_seed(0)
    model = kind(config).eval()
    assert isinstance(model, nn.Module)
    return model


def uneven(layers: int, targets: tuple[str, ...] = QV, scaling: str = "standard") -> Pyramid:
    """All three levels in two groups of unequal depth and rank."""
    cut = layers // 3
    groups = [DepthGroup(0, cut, 3, 2), DepthGroup(cut, layers, 2, 1)]
    return Pyramid(4, groups, targets, scaling=scaling)


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    out = model(input_ids=TOKENS).logits
    assert isinstance(out, Tensor)
    return out


@torch.no_grad()
def train_a_little(bank: AdapterBank, seed: int = 1, size: float = 0.3) -> None:
    """Give every B values other than zero, as training would."""
    generator = torch.Generator().manual_seed(seed)
    for adapter in bank.adapters.children():
        assert isinstance(adapter.B, nn.Parameter)
        adapter.B.copy_(torch.randn(adapter.B.shape, generator=generator) * size)


def trained(model: nn.Module, pyramid: Pyramid) -> nn.Module:
    """`model` as after training: no B is zero, and the head has moved."""
    train_a_little(attach(model, pyramid))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and not name.startswith("pyramid_bank"):
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.1)
    return model


def adapted(model: nn.Module) -> dict[str, PyramidLinear]:
    """The adapted linear layers by path."""
    return {name: module for name, module in model.named_modules() if isinstance(module, PyramidLinear)}
