"""Files beside a model by which sentence-transformers loads it, and computes the embeddings that were trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msplora_search.tasks.pooling import MODULES, Pooling

OF_ST = "sentence_transformers.models"
"""What every version since 1 finds its modules under."""
POOLING_MODES = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "last": "pooling_mode_lasttoken",
}
"""Fields that every version since 2.3 reads."""


def write_sentence_files(folder: Path, pooling: Pooling, width: int, most_tokens: int) -> None:
    """Add them to a folder with a model or an adapter, and its tokenizer.

    `width`: of the last layer. No prompts are named, as none were trained with.
    """
    steps = ["Transformer", "Pooling", *(["Normalize"] if pooling.normalise else [])]
    paths = ["", *(f"{i}_{step}" for i, step in enumerate(steps) if i)]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"{OF_ST}.{step}"}
        for i, (path, step) in enumerate(zip(paths, steps, strict=True))
    ]
    of_pooling: dict[str, Any] = {"word_embedding_dimension": width}
    of_pooling |= {field: mode == pooling.mode for mode, field in POOLING_MODES.items()}
    for path in paths[1:]:
        (folder / path).mkdir(exist_ok=True)
    _write(folder / MODULES, modules)
    _write(folder / "1_Pooling" / "config.json", of_pooling)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": most_tokens, "do_lower_case": False})
    facts: dict[str, Any] = {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    _write(folder / "config_sentence_transformers.json", facts)


def _write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
