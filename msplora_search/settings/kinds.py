"""The kinds of tasks: which columns each reads, and which metrics it has."""

from __future__ import annotations

from typing import Any, Literal

Kind = Literal[
    "text-classification", "text-regression", "causal-lm", "preference", "seq2seq-lm", "image-classification",
    "token-classification", "multi-label", "multiple-choice", "extractive-qa", "embedding",
]  # fmt: skip
COLUMNS: dict[str, dict[str, Any]] = {
    "text-classification": {"text": ("text",), "label": "label"},
    "text-regression": {"text": ("text",), "label": "label"},
    "causal-lm": {
        "prompt": ("prompt",),
        "response": "response",
        **dict.fromkeys(("messages", "template", "turns")),
    },
    "preference": {
        "prompt": ("prompt",),
        "chosen": "chosen",
        "rejected": "rejected",
        "template": None,
        "beta": 0.1,
    },
    "seq2seq-lm": {"prompt": ("prompt",), "response": "response", "template": None},
    "image-classification": {"image": "image", "label": "label"},
    "token-classification": {"words": "tokens", "label": "tags"},
    "multi-label": {"text": ("text",), "label": "labels", "labels": None},
    "multiple-choice": {"text": ("question",), "choices": ("choices",), "label": "label"},
    "extractive-qa": {"question": "question", "context": "context", "answers": "answers", "stride": None},
    "embedding": {"text": ("anchor", "positive"), "label": None, "pooling": "auto"},
}
"""The columns that each kind of task reads, and what they are called unless the study says so."""
OF_CLASSES = ("accuracy", "f1", "matthews")
OF_TOKENS = ("loss", "token-accuracy", "exact-match")
OF_RANKS = ("recall@1", "recall@5", "recall@10")
METRICS = {
    "text-classification": OF_CLASSES,
    "text-regression": ("pearson", "spearman"),
    "causal-lm": OF_TOKENS,
    "preference": ("reward-accuracy", "loss"),
    "seq2seq-lm": OF_TOKENS,
    "image-classification": OF_CLASSES,
    "token-classification": ("f1", "token-accuracy"),
    "multi-label": ("micro-f1", "macro-f1"),
    "multiple-choice": ("accuracy",),
    "extractive-qa": ("f1", "exact-match"),
    "embedding": (*OF_RANKS, "spearman"),
}
"""The metrics of each kind of task; the first is the one where the study names none."""
OF_ONE_CLASS = ("text-classification", "image-classification")
"""Kinds whose examples have one class each."""
WITH_CLASSES = (*OF_ONE_CLASS, "token-classification", "multi-label")
"""Kinds whose heads have an output a class, which recipes name."""
OF_DECODERS = ("causal-lm", "preference")
"""Kinds that go on from a text, word by word."""
OF_WORDS = (*OF_DECODERS, "seq2seq-lm")
"""Kinds that score a vocabulary, by nothing but the pretrained weights: there is no head to train."""
WITHOUT_HEAD = (*OF_WORDS, "embedding")
"""Kinds that train adapters alone."""
OF_SEVERAL = ("multiple-choice", "extractive-qa")
"""Kinds whose examples have several sequences each."""


def usual_metric(kind: str, label: Any) -> str:
    """The metric where a study names none; `label`: the column that it names, or None."""
    return "spearman" if kind == "embedding" and label is not None else METRICS[kind][0]
