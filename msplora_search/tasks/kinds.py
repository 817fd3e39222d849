"""Which kind of task is whose; see `kind.Kind`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.kind import Kind

CLASSES = {
    "text-classification": "TextClassification",
    "text-regression": "TextRegression",
    "causal-lm": "CausalLM",
    "preference": "Preference",
    "seq2seq-lm": "Seq2SeqLM",
    "image-classification": "ImageClassification",
    "token-classification": "TokenClassification",
    "multi-label": "MultiLabel",
    "multiple-choice": "MultipleChoice",
    "extractive-qa": "ExtractiveQA",
    "embedding": "Embedding",
}
"""The class of each kind of `settings.kinds`, in the module of this package that is called like the kind."""


def kind_of(settings: TaskSettings, processor: Any) -> Kind:
    """The kind of a task. `processor`: the model's tokenizer, or its image processor.

    A kind's module is imported when it is asked for, which spares a search what the others need.
    """
    module = import_module(f"{__package__}.{settings.kind.replace('-', '_')}")
    made: Kind = getattr(module, CLASSES[settings.kind])(settings, processor)
    return made
