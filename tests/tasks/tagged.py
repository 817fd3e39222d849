"""A small random encoder whose words are several tokens, sentences with names, and texts with several labels."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import BertProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from msplora_search.errors import InputError
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.kind import Content
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.reading.table import Table

PEOPLE = (("an", "##na"), ("bo", "##ris"), ("ca", "##rl", "##a"))
PLACES = (("par", "##is"), ("os", "##lo"))
FILLER = ("the", "sun", "was", "in", "with", "and", "a", "day")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
PIECES = (*SPECIAL, *FILLER, "new", *(piece for name in (*PEOPLE, *PLACES) for piece in name))
TAGS = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")


def pieces_tokenizer() -> PreTrainedTokenizerFast:
    """Words in pieces, BERT's special tokens around them."""
    model = WordPiece({piece: i for i, piece in enumerate(PIECES)}, unk_token="[UNK]")
    made = Tokenizer(model)
    made.pre_tokenizer = Whitespace()
    made.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def save_encoder(folder: Path) -> Path:
    """A BERT of two layers, 32 wide, without a head."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=40, pad_token_id=0, initializer_range=0.1,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    pieces_tokenizer().save_pretrained(folder)
    return folder


def named(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Sentences with people and places in them: tokens, tags, the text, and which of the two there are."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        words, tags = [], []
        for _ in range(draw.randint(1, 4)):
            kind = draw.choice(("PER", "LOC", "O", "O"))
            if kind == "O":
                found = [draw.choice(FILLER) for _ in range(draw.randint(1, 3))]
                tags += ["O"] * len(found)
            else:
                name = "".join(draw.choice(PEOPLE if kind == "PER" else PLACES)).replace("##", "")
                found = ["new", name] if kind == "LOC" and draw.random() < 0.5 else [name]
                tags += [f"B-{kind}", *[f"I-{kind}"] * (len(found) - 1)]
            words += found
        types = sorted({tag[2:] for tag in tags if tag != "O"})
        flags = {kind.lower(): kind in types for kind in ("LOC", "PER")}
        rows.append({"tokens": words, "tags": tags, "text": " ".join(words), "labels": types, **flags})
    return rows


def table_of(rows: list[dict[str, Any]]) -> Table:
    return Table({name: [row.get(name) for row in rows] for name in rows[0]}, "data.jsonl")


def content(
    rows: list[dict[str, Any]], tokenizer: Any = None, classes: tuple[str, ...] | None = None, **task: Any
) -> Content:
    """What a kind reads from rows."""
    settings = TaskSettings.model_validate({"kind": "token-classification", "dataset": "data.jsonl", **task})
    return kind_of(settings, tokenizer or pieces_tokenizer()).read(table_of(rows), classes)


def refusal(rows: list[dict[str, Any]], **task: Any) -> InputError:
    """What is said of rows that cannot be read."""
    try:
        content(rows, **task)
    except InputError as error:
        return error
    raise AssertionError("they are read")
