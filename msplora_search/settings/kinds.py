"""The kinds of tasks: which columns each reads, and which metrics it has."""

from __future__ import annotations

from typing import Any, Literal

Kind = Literal[
    "text-classification",
    "text-regression",
    "causal-lm",
    "seq2seq-lm",
    "image-classification",
    "multiple-choice",
    "extractive-qa",
]
COLUMNS: dict[str, dict[str, Any]] = {
    "text-classification": {"text": ("text",), "label": "label"},
    "text-regression": {"text": ("text",), "label": "label"},
    "causal-lm": {"prompt": ("prompt",), "response": "response", "messages": None, "template": None},
    "seq2seq-lm": {"prompt": ("prompt",), "response": "response", "template": None},
    "image-classification": {"image": "image", "label": "label"},
    "multiple-choice": {"text": ("question",), "choices": ("choices",), "label": "label"},
    "extractive-qa": {"question": "question", "context": "context", "answers": "answers", "stride": None},
}
"""The columns that each kind of task reads, and what they are called unless the study says so."""
OF_CLASSES = ("accuracy", "f1", "matthews")
OF_TOKENS = ("loss", "token-accuracy", "exact-match")
METRICS = {
    "text-classification": OF_CLASSES,
    "text-regression": ("pearson", "spearman"),
    "causal-lm": OF_TOKENS,
    "seq2seq-lm": OF_TOKENS,
    "image-classification": OF_CLASSES,
    "multiple-choice": ("accuracy",),
    "extractive-qa": ("f1", "exact-match"),
}
"""The metrics of each kind of task; the first is the one where the study names none."""
OF_ONE_CLASS = ("text-classification", "image-classification")
"""Kinds whose examples have one class each."""
WITH_CLASSES = OF_ONE_CLASS
"""Kinds whose heads have an output a class, which recipes name."""
OF_WORDS = ("causal-lm", "seq2seq-lm")
"""Kinds that score a vocabulary, by nothing but the pretrained weights: there is no head to train."""
OF_SEVERAL = ("multiple-choice", "extractive-qa")
"""Kinds whose examples have several sequences each."""
