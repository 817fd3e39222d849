"""Which kind of task is whose; see `kind.Kind`."""

from __future__ import annotations

from typing import Any

from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.kind import Kind


def kind_of(settings: TaskSettings, processor: Any) -> Kind:  # noqa: PLR0911 - one a kind
    """The kind of a task. `processor`: the model's tokenizer, or its image processor."""
    match settings.kind:
        case "text-classification":
            from msplora_search.tasks.text_classification import TextClassification

            return TextClassification(settings, processor)
        case "text-regression":
            from msplora_search.tasks.text_regression import TextRegression

            return TextRegression(settings, processor)
        case "causal-lm":
            from msplora_search.tasks.causal_lm import CausalLM

            return CausalLM(settings, processor)
        case "preference":
            from msplora_search.tasks.preference import Preference

            return Preference(settings, processor)
        case "seq2seq-lm":
            from msplora_search.tasks.seq2seq_lm import Seq2SeqLM

            return Seq2SeqLM(settings, processor)
        case "image-classification":
            from msplora_search.tasks.image_classification import ImageClassification

            return ImageClassification(settings, processor)
        case "token-classification":
            from msplora_search.tasks.token_classification import TokenClassification

            return TokenClassification(settings, processor)
        case "multi-label":
            from msplora_search.tasks.multi_label import MultiLabel

            return MultiLabel(settings, processor)
        case "multiple-choice":
            from msplora_search.tasks.multiple_choice import MultipleChoice

            return MultipleChoice(settings, processor)
        case "extractive-qa":
            from msplora_search.tasks.extractive_qa import ExtractiveQA

            return ExtractiveQA(settings, processor)
        case "embedding":
            from msplora_search.tasks.embedding import Embedding

            return Embedding(settings, processor)
