"""Small random models of every kind of task, saved as folders with tokenizers or image processors."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTModel,
)
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from msplora_search.settings import StudySettings

NAMES = ("red", "blue", "green", "brown")
WORDS = ("<pad>", "<s>", "</s>", "<unk>", "user", "assistant", ":", "say", "the", "colour", "please", *NAMES)
CHAT = (
    "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} "
    "{% if m['role'] == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)


def word_tokenizer(chat: bool = False, ends: bool = False) -> PreTrainedTokenizerFast:
    """Words as tokens; `ends`: every text is closed by </s>, as T5's are."""
    made = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = Whitespace()
    if ends:
        made.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    if chat:
        tokenizer.chat_template = CHAT
    return tokenizer


def save_llama(folder: Path, chat: bool = True, layers: int = 2) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=64, max_position_embeddings=32, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, initializer_range=0.3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    word_tokenizer(chat).save_pretrained(folder)
    return folder


def save_t5(folder: Path) -> Path:
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(WORDS), d_model=32, d_kv=8, d_ff=64, num_layers=3, num_decoder_layers=2, num_heads=4,
        pad_token_id=0, eos_token_id=2,
    )  # fmt: skip
    config.decoder_start_token_id = 0
    T5ForConditionalGeneration(config).save_pretrained(folder)
    word_tokenizer(ends=True).save_pretrained(folder)
    return folder


def save_vit(folder: Path) -> Path:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=8,
        patch_size=4,
    )
    ViTModel(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 8, "width": 8}).save_pretrained(folder)
    return folder


def requests(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """`say the colour blue please` is to be answered by `blue blue`."""
    drawn = random.Random(seed)
    rows = []
    for _ in range(count):
        name = drawn.choice(NAMES)
        rows.append({"prompt": f"say the colour {name} please", "more": "", "response": f"{name} {name}"})
    return rows


def stripes(count: int, seed: int = 0) -> list[tuple[Image.Image, str]]:
    """Images of rising or falling brightness, with noise."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        label = generator.choice(["up", "down"])
        ramp = np.linspace(0, 200, 12)[:, None].repeat(12, axis=1)
        pixels = (ramp if label == "up" else ramp[::-1]) + generator.uniform(0, 50, (12, 12))
        found.append((Image.fromarray(pixels.astype(np.uint8)).convert("RGB"), str(label)))
    return found


def study_of(folder: Path, task: dict[str, Any], **changes: Any) -> StudySettings:
    """A short study on the model in `folder`/model."""
    fields: dict[str, Any] = {
        "name": "small",
        "model": str(folder / "model"),
        "task": task,
        "space": {
            "targets": [["all-linear"]], "global_rank": [0, 2], "mid_rank": [0, 1], "layer_rank": [0, 1],
            "groups": {"count": [1]},
        },
        "search": {"trials": 2, "sampler": "random", "baselines": ["paper"]},
        "proxy": {
            "train_examples": 128, "validation_examples": 64, "epochs": 4, "batch_size": 16,
            "learning_rate": 2e-2, "rungs": [0.5, 1.0], "precision": "fp32",
        },
        "training": {"epochs": 2, "batch_size": 16, "learning_rate": 2e-2},
    }  # fmt: skip
    for section, change in changes.items():
        fields[section] = {**fields.get(section, {}), **change} if isinstance(change, dict) else change
    return StudySettings.model_validate(fields)


def preferences(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Of two colours, the one that is asked for is preferred."""
    drawn = random.Random(seed)
    rows = []
    for _ in range(count):
        name, other = drawn.sample(NAMES, 2)
        rows.append({"prompt": f"say the colour {name} please", "chosen": f"{name} {name}", "rejected": other})
    return rows
