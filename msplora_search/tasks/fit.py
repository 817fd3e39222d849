"""Whether a model can do a task at all: its architecture, and its vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from msplora_search.errors import InputError
from msplora_search.settings.kinds import Kind
from msplora_search.tasks.tokens import pad_of
from msplora_search.text import printable, shown


def require_fit(config: Any, model: str, kind: Kind, trust_remote_code: bool) -> None:
    """Raise InputError, naming what the model can do, where its architecture cannot do the task."""
    if trust_remote_code and getattr(config, "auto_map", None):  # code of its own
        return
    kinds = fitting_kinds(config)
    if kind not in kinds:
        can = f"it can do {', '.join(kinds)}" if kinds else "there is no task for it"
        raise InputError(
            f"task.kind is {kind}, which {printable(model)} ({config.model_type}) cannot do; {can}", "task.kind"
        )


def fitting_kinds(config: Any) -> list[str]:
    """The kinds of tasks that an architecture has a head for in transformers."""
    from transformers.models.auto import modeling_auto as auto

    name = config.model_type
    # transformers would turn an encoder such as BERT into a decoder, untrained for it.
    encoder = name in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    heads: dict[str, Mapping[str, Any]] = {
        "text-classification": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "text-regression": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "causal-lm": {} if encoder else auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "preference": {} if encoder else auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "seq2seq-lm": auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        "token-classification": auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
        "multi-label": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "image-classification": auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
        "multiple-choice": auto.MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES,
        "extractive-qa": _answering(name),
        "embedding": {}
        if getattr(config, "is_encoder_decoder", False)
        else {**auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES, **auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES},
    }
    return [kind for kind, known in heads.items() if name in known]


def _answering(name: str) -> Mapping[str, Any]:
    """Names of architectures, this one among them where its head for answers takes the pretrained weights.

    Those of LLaMA and its kin call their base otherwise than its checkpoints do, so that none would be read.
    """
    import transformers
    from transformers.models.auto import modeling_auto as auto

    known = auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES
    if name not in known:
        return {}
    base = auto.MODEL_MAPPING_NAMES[name]
    head, bare = (getattr(transformers, of if isinstance(of, str) else of[0]) for of in (known[name], base))
    return known if head.base_model_prefix == bare.base_model_prefix else {}


def require_embedding(model: nn.Module, name: str, tokenizer: Any) -> None:
    """`require_vocabulary` for the embedding that `model` has; one that has none is left alone."""
    weight = getattr(model.get_input_embeddings(), "weight", None)  # type: ignore[operator]
    if isinstance(weight, Tensor):
        require_vocabulary(weight.shape[0], name, tokenizer)


def require_vocabulary(rows: int, name: str, tokenizer: Any) -> None:
    """Raise InputError where a token, the one that pads included, has none of the `rows` of the embedding.

    A larger embedding is fine: many are filled up to a round number.
    """
    numbers = tokenizer.get_vocab()
    last, pad = max(numbers.values()), pad_of(tokenizer)
    if last < rows and pad < rows:
        return
    beyond = [token for token, number in numbers.items() if number >= rows]
    if pad >= rows and beyond in ([], [tokenizer.pad_token]):
        named = shown(tokenizer.pad_token)
        what = f"its padding token {named} is number {pad:,}, but its embedding has {rows:,} rows"
        mend = "name a token that the model knows as pad_token in tokenizer_config.json"
    else:
        what = f"its tokenizer has {last + 1:,} tokens, but its embedding {rows:,} rows"
        mend = "take the tokenizer that the model was trained with"
    raise InputError(
        f"model {printable(name)}: {what}; {mend}, or save the model with resize_token_embeddings({last + 1})",
        "model",
    )
