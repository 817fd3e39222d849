"""Pairs of texts that small models learn to bring together, and models with files of sentence-transformers."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from msplora_search.settings import StudySettings
from tests.small import BAD, FILLER, GOOD, save_model, write_jsonl
from tests.tasks.models import study_of

TOPICS = (*GOOD, *BAD)
ST = "sentence_transformers.models"


def pairs(count: int, seed: int = 0, texts: int = 2) -> list[dict[str, Any]]:
    """Anchor and positive have two of eight words in common, among fillers; a negative has two others."""
    draw = random.Random(seed)

    def text(words: list[str]) -> str:
        found = [*words, *(draw.choice(FILLER) for _ in range(draw.randint(1, 6)))]
        draw.shuffle(found)
        return " ".join(found)

    rows = []
    for _ in range(count):
        drawn = draw.sample(TOPICS, 4)
        row = {"anchor": text(drawn[:2]), "positive": text(drawn[:2]), "negative": text(drawn[2:])}
        rows.append(dict(list(row.items())[:texts]))
    return rows


def scored(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs with the number of topic words that both have, from 0 to 2, as their score."""
    draw = random.Random(seed)
    rows = []
    for row in pairs(count, seed, 3):
        kept = draw.choice([0, 1, 2])
        words = [word for word in row["anchor"].split() if word in TOPICS]
        others = [word for word in row["negative"].split() if word in TOPICS]
        second = " ".join([*words[:kept], *others[kept:], draw.choice(FILLER)])
        rows.append({"anchor": row["anchor"], "positive": second, "score": kept})
    return rows


def embedding_of(folder: Path, rows: list[dict[str, Any]] | None = None, **task: Any) -> StudySettings:
    """A short study of pairs on a small BERT."""
    if not (folder / "model").is_dir():
        save_model(folder / "model")
    data = write_jsonl(folder / "data.jsonl", pairs(400) if rows is None else rows)
    return study_of(folder, {"kind": "embedding", "dataset": str(data), "max_length": 16, **task})


def add_sentence_files(folder: Path, mode: str = "mean", *further: str, older: bool = True) -> None:
    """Files of sentence-transformers beside a model; `further`: modules after the pooling."""
    types = ["Transformer", "Pooling", *further]
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{name}" if i else "",
            "type": f"sentence_transformers.models.{name}",
        }
        for i, name in enumerate(types)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    for module in modules[1:]:
        (folder / str(module["path"])).mkdir(exist_ok=True)
    names = ("cls_token", "max_tokens", "mean_tokens", "lasttoken")
    fields: dict[str, Any] = {f"pooling_mode_{name}": name.startswith(mode[:3]) for name in names}
    told = fields if older else {"pooling_mode": mode}
    width = json.loads((folder / "config.json").read_text())["hidden_size"]
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": width, **told}))


def ranks_one_by_one(anchors: Any, positives: Any, texts: list[str]) -> list[int]:
    """The rank of each own positive among different texts, by looking at one after the other."""
    found = []
    for i, anchor in enumerate(anchors):
        scores = {texts[j]: float(np.dot(anchor, positives[texts.index(texts[j])])) for j in range(len(texts))}
        own = scores.pop(texts[i])
        found.append(1 + sum(score >= own for score in scores.values()))
    return found
