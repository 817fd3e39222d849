"""What makes the inputs of a delivered model: its tokenizer or image processor, and what stands between texts."""

from __future__ import annotations

from typing import Any

from msplora_search.settings.kinds import OF_DECODERS, OF_SEVERAL
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.exchanges import between_columns
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.tokenising import separator
from msplora_search.tasks.tokens import most_tokens, pad_of
from msplora_search.tasks.words import lead


def delivered_processor(recipe: Recipe) -> Any:
    """What makes the inputs, as it is delivered: with a padding token, and padding where the model wants it."""
    processor = load_processor(recipe)
    if recipe.task.kind != "image-classification":
        if processor.pad_token_id is None:
            processor.pad_token = processor.convert_ids_to_tokens(pad_of(processor))
        # A decoder goes on from the last token; a classifier was trained with the first tokens in their places.
        processor.padding_side = "left" if recipe.task.kind in OF_DECODERS else "right"
    return processor


def between_texts(recipe: Recipe, processor: Any) -> str:
    """What stands between two texts that are read as one, between the columns of a prompt, or before a word."""
    pairs = recipe.task.kind in OF_SEVERAL
    two = recipe.task.text is not None and len(recipe.task.text) == 2 and recipe.task.kind != "embedding"
    if pairs or two:
        return separator(processor).text
    if recipe.task.kind == "token-classification":
        return lead(processor)
    return between_columns(processor, chat=False) if recipe.task.kind == "seq2seq-lm" else ""


def tokens_kept(recipe: Recipe, processor: Any) -> int:
    """What texts are cut to; 0 where there are none."""
    return 0 if recipe.task.kind == "image-classification" else most_tokens(recipe.task.max_length, processor)
