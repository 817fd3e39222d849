"""A small random model with a real tokenizer, learnable sentences, and studies that take seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import BertProcessing
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from msplora_search.settings import StudySettings
from msplora_search.settings.document import dump
from msplora_search.tasks.backbone import Backbone, load_backbone

GOOD, BAD = ("good", "fine", "great", "lovely"), ("bad", "dull", "awful", "poor")
FILLER = ("the", "film", "was", "plot", "and", "very", "a", "scene", "with", "music")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = (*SPECIAL, *FILLER, *GOOD, *BAD)


def tokenizer() -> PreTrainedTokenizerFast:
    """Words as tokens, BERT's special tokens around them."""
    made = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


def save_model(folder: Path, layers: int = 2) -> Path:
    """A random BERT of `layers` layers, 32 wide, as a model folder."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=layers, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=40, pad_token_id=0, initializer_range=0.1,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def sentences(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows whose label is whether a good or a bad word stands in the text."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        label = draw.choice(["good", "bad"])
        words = [draw.choice(FILLER) for _ in range(draw.randint(2, 12))]
        words.insert(draw.randrange(len(words)), draw.choice(GOOD if label == "good" else BAD))
        rows.append({"text": " ".join(words), "label": label})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def study_fields(folder: Path, **changes: Any) -> dict[str, Any]:
    """A study on a model and data in `folder`, made where they are missing."""
    if not (folder / "model").is_dir():
        save_model(folder / "model")
    if not (folder / "data.jsonl").is_file():
        write_jsonl(folder / "data.jsonl", sentences(500))
    fields: dict[str, Any] = {
        "name": "small",
        "model": str(folder / "model"),
        "task": {"kind": "text-classification", "dataset": str(folder / "data.jsonl")},
        "space": {"global_rank": [0, 1, 2], "mid_rank": [0, 1], "layer_rank": [0, 1], "groups": {"count": [1, 2]}},
        "search": {"trials": 4, "baselines": ["paper", {"lora": [1]}], "noise_repeats": 0},
        "proxy": {
            "train_examples": 256, "validation_examples": 144, "epochs": 4, "batch_size": 16,
            "learning_rate": 2e-2, "rungs": [0.5, 1.0], "precision": "fp32",
        },
    }  # fmt: skip
    for section, change in changes.items():
        mapping = isinstance(change, dict) and isinstance(fields.get(section), dict)
        fields[section] = {**fields[section], **change} if mapping else change
    return fields


def write_study(folder: Path, **changes: Any) -> Path:
    """The study of `study_fields` as a file."""
    path = folder / "study.yaml"
    path.write_text(dump(study_fields(folder, **changes)))
    return path


def classifier(
    folder: str | Path, classes: int = 2, seed: int = 0, own: PreTrainedTokenizerFast | None = None
) -> Backbone:
    """A model folder as text-classification loads it."""
    task = {"kind": "text-classification", "dataset": "none.jsonl", "max_length": 16}
    settings = StudySettings.model_validate({"name": "small", "model": str(folder), "task": task})
    names = [f"class {i}" for i in range(classes)]
    return load_backbone(settings, own or tokenizer(), names, seed)
