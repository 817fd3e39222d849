"""Small random models of the real classes of every architecture that is meant to work."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as t
from torch import Tensor, nn

LAYERS = 3
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
TEXT: dict[str, Any] = {**SIZES, **SPECIAL, "vocab_size": 50, "max_position_embeddings": 32}
GROUPED: dict[str, Any] = {**TEXT, "num_key_value_heads": 2, "head_dim": 16}
IMAGE: dict[str, Any] = {**SIZES, "image_size": 8, "patch_size": 4}
TWO_STACKS: dict[str, Any] = {**SPECIAL, "d_model": 32, "vocab_size": 50, "decoder_start_token_id": 0}
IDS = torch.tensor([[3, 7, 11, 13, 2], [4, 17, 19, 5, 2]])
PIXELS = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)


@dataclass(frozen=True)
class Architecture:
    """A model, what its query and value are called, and their shapes (d_in, d_out), once a stack that has them."""

    name: str
    make: Callable[[], nn.Module]
    stacks: dict[str, int]
    targets: tuple[str, ...]
    shapes: dict[str, list[tuple[int, int]]]
    """By stack: one shape for every family."""
    inputs: Callable[[], dict[str, Tensor]]
    task_type: str | None

    def __str__(self) -> str:
        return self.name


def _of(kind: type, config: t.PretrainedConfig) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        torch.manual_seed(0)
        model = kind(copy.deepcopy(config)).eval()  # a model may change it
        assert isinstance(model, nn.Module)
        return model

    return make


def _text() -> dict[str, Tensor]:
    return {"input_ids": IDS}


def _pair() -> dict[str, Tensor]:
    return {"input_ids": IDS, "decoder_input_ids": IDS[:, :3]}


def _image() -> dict[str, Tensor]:
    return {"pixel_values": PIXELS}


def _encoder(
    name: str, kind: type, config: t.PretrainedConfig, stack: str, targets: tuple[str, ...], width: int = 32
) -> Architecture:
    shapes = [(32, width) for _ in targets]
    return Architecture(name, _of(kind, config), {stack: LAYERS}, targets, {stack: shapes}, _text, "SEQ_CLS")


def _decoder(
    name: str, kind: type, config: t.PretrainedConfig, stack: str, shapes: dict[str, tuple[int, int]]
) -> Architecture:
    found = {stack: list(shapes.values())}
    return Architecture(name, _of(kind, config), {stack: LAYERS}, tuple(shapes), found, _text, "CAUSAL_LM")


def _of_t5(name: str, kind: type, config: type) -> Architecture:
    made = config(**TWO_STACKS, d_kv=8, d_ff=64, num_layers=LAYERS, num_decoder_layers=2, num_heads=4)
    shapes = {"encoder.block": [(32, 32)] * 2, "decoder.block": [(32, 32)] * 4}
    stacks = {"encoder.block": LAYERS, "decoder.block": 2}
    return Architecture(name, _of(kind, made), stacks, ("q", "v"), shapes, _pair, "SEQ_2_SEQ_LM")


def _of_bart(name: str, kind: type, config: type) -> Architecture:
    made = config(
        **TWO_STACKS, encoder_layers=2, decoder_layers=LAYERS, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=32,
    )  # fmt: skip
    shapes = {"model.encoder.layers": [(32, 32)] * 2, "model.decoder.layers": [(32, 32)] * 4}
    stacks = {"model.encoder.layers": 2, "model.decoder.layers": LAYERS}
    return Architecture(name, _of(kind, made), stacks, ("q_proj", "v_proj"), shapes, _pair, "SEQ_2_SEQ_LM")


def _vision(name: str, kind: type, config: t.PretrainedConfig, stack: str) -> Architecture:
    shapes = {stack: [(32, 32), (32, 32)]}
    return Architecture(name, _of(kind, config), {stack: LAYERS}, ("q_proj", "v_proj"), shapes, _image, None)


QV = ("query", "value")
SQUARE = {"q_proj": (32, 32), "v_proj": (32, 32)}
QUERY_WIDE = {"q_proj": (32, 64), "v_proj": (32, 32)}

ARCHITECTURES = [
    _encoder("bert", t.BertForSequenceClassification, t.BertConfig(**TEXT), "bert.encoder.layer", QV),
    _encoder("roberta", t.RobertaForSequenceClassification, t.RobertaConfig(**TEXT), "roberta.encoder.layer", QV),
    _encoder(
        "distilbert",
        t.DistilBertForSequenceClassification,
        t.DistilBertConfig(dim=32, n_layers=LAYERS, n_heads=4, hidden_dim=64, vocab_size=50),
        "distilbert.transformer.layer",
        ("q_lin", "v_lin"),
    ),
    _encoder(
        "electra",
        t.ElectraForSequenceClassification,
        t.ElectraConfig(**TEXT, embedding_size=16),
        "electra.encoder.layer",
        QV,
    ),
    _encoder(
        "deberta-v2",
        t.DebertaV2ForSequenceClassification,
        t.DebertaV2Config(**TEXT, relative_attention=True, pos_att_type=["p2c", "c2p"]),
        "deberta.encoder.layer",
        ("query_proj", "value_proj"),
    ),
    _encoder("mpnet", t.MPNetForSequenceClassification, t.MPNetConfig(**TEXT), "mpnet.encoder.layer", ("q", "v")),
    _encoder(
        "modernbert",
        t.ModernBertForSequenceClassification,
        t.ModernBertConfig(**TEXT, cls_token_id=1, sep_token_id=2),
        "model.layers",
        ("Wqkv",),
        96,
    ),
    _decoder(
        "gpt2",
        t.GPT2LMHeadModel,
        t.GPT2Config(n_embd=32, n_layer=LAYERS, n_head=4, vocab_size=50, bos_token_id=1, eos_token_id=2),
        "transformer.h",
        {"c_attn": (32, 96)},
    ),
    _decoder(
        "llama",
        t.LlamaForCausalLM,
        t.LlamaConfig(**{**GROUPED, "head_dim": 8}),
        "model.layers",
        {"q_proj": (32, 32), "v_proj": (32, 16)},
    ),
    _decoder("mistral", t.MistralForCausalLM, t.MistralConfig(**GROUPED), "model.layers", QUERY_WIDE),
    _decoder(
        "qwen2",
        t.Qwen2ForCausalLM,
        t.Qwen2Config(**{**TEXT, "num_key_value_heads": 2}),
        "model.layers",
        {"q_proj": (32, 32), "v_proj": (32, 16)},
    ),
    _decoder("qwen3", t.Qwen3ForCausalLM, t.Qwen3Config(**GROUPED), "model.layers", QUERY_WIDE),
    _decoder("gemma", t.GemmaForCausalLM, t.GemmaConfig(**GROUPED), "model.layers", QUERY_WIDE),
    _decoder("phi", t.PhiForCausalLM, t.PhiConfig(**TEXT), "model.layers", SQUARE),
    _decoder(
        "phi3",
        t.Phi3ForCausalLM,
        t.Phi3Config(**{**TEXT, "num_key_value_heads": 2}),
        "model.layers",
        {"qkv_proj": (32, 64)},
    ),
    _decoder(
        "opt",
        t.OPTForCausalLM,
        t.OPTConfig(
            hidden_size=32, num_hidden_layers=LAYERS, num_attention_heads=4, ffn_dim=64, vocab_size=50,
            word_embed_proj_dim=32, max_position_embeddings=32, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        ),
        "model.decoder.layers",
        SQUARE,
    ),
    _of_t5("t5", t.T5ForConditionalGeneration, t.T5Config),
    _of_t5("mt5", t.MT5ForConditionalGeneration, t.MT5Config),
    _of_t5("umt5", t.UMT5ForConditionalGeneration, t.UMT5Config),
    _of_bart("bart", t.BartForConditionalGeneration, t.BartConfig),
    _of_bart("mbart", t.MBartForConditionalGeneration, t.MBartConfig),
    _of_bart("m2m-100", t.M2M100ForConditionalGeneration, t.M2M100Config),
    _vision("vit", t.ViTForImageClassification, t.ViTConfig(**IMAGE), "vit.layers"),
    _vision("deit", t.DeiTForImageClassification, t.DeiTConfig(**IMAGE), "deit.layers"),
    _vision(
        "clip vision",
        t.CLIPForImageClassification,
        t.CLIPConfig(vision_config=IMAGE, text_config={**TEXT}),
        "vision_model.encoder.layers",
    ),
]  # fmt: skip


def albert() -> nn.Module:
    """Three layers that are one."""
    return _of(t.AlbertForSequenceClassification, t.AlbertConfig(**TEXT, embedding_size=16))()


def clip() -> nn.Module:
    """A text tower beside an image tower."""
    return _of(t.CLIPModel, t.CLIPConfig(vision_config=IMAGE, text_config={**TEXT, "num_hidden_layers": 2}))()
