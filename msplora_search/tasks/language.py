"""What language models have in common: what is made of their token scores, and how they answer."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msplora_search.tasks.tokens import pad_of

NOT_ASKED = -100
"""Stands in targets where no token is asked for, as everywhere in transformers."""


def chance_of(metric: str, tokenizer: Any) -> float:
    """The metric where every token of the vocabulary is equally likely."""
    return -math.log(len(tokenizer)) if metric == "loss" else 0.0


def asked_scores(logits: Tensor, targets: Tensor) -> Tensor:
    """logits: (batch, tokens, words), each for the target at its place -> (asked tokens, words)."""
    return logits[targets != NOT_ASKED]


def response_scores(model: nn.Module, inputs: dict[str, Tensor], targets: Tensor) -> Tensor:
    """Scores of a decoder for the asked tokens of `targets`, (batch, tokens): (asked tokens, words).

    Those before the first of them are not computed, where the model can be asked for the last ones alone.
    """
    first = int((targets != NOT_ASKED).any(dim=0).nonzero()[0])
    wanted = targets[:, first:]
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        logits = model(**inputs, logits_to_keep=wanted.shape[1] + 1).logits
    else:
        logits = model(**inputs).logits[:, first - 1 :]
    return asked_scores(logits[:, :-1], wanted)


def token_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over the asked tokens, in fp32: ()."""
    return F.cross_entropy(scores.float(), targets[targets != NOT_ASKED])


def token_sums(metric: str, scores: Tensor, targets: Tensor) -> Tensor:
    """Summed loss, or number of right tokens, of each example: (batch,), fp32."""
    asked = targets != NOT_ASKED
    wanted = targets[asked]
    if metric == "loss":
        values = F.cross_entropy(scores.float(), wanted, reduction="none")
    else:
        values = (scores.argmax(dim=-1) == wanted).float()
    sums = torch.zeros(len(targets), device=values.device)
    return sums.index_add_(0, asked.nonzero()[:, 0], values)


def answered(tokenizer: Any, generated: Tensor, targets: Tensor) -> Tensor:
    """1 where the generated text is the one asked for, special tokens and outer spaces aside: (batch,), fp32."""
    right = []
    for found, wanted in zip(generated, targets, strict=True):
        texts_of = [
            tokenizer.decode(ids, skip_special_tokens=True) for ids in (found, wanted[wanted != NOT_ASKED])
        ]
        right.append(float(texts_of[0].strip() == texts_of[1].strip()))
    return torch.tensor(right)


def answer(model: nn.Module, tokenizer: Any, inputs: dict[str, Tensor], targets: Tensor, most_new: int) -> Tensor:
    """Greedy generation, whatever the model's own settings for it say: (batch, tokens).

    A response ends with the model's end of text, the tokenizer's, or the last special token that the wanted
    responses have, which closes a turn of a chat.
    """
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ends = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
    for row in targets:
        special = [token for token in row.tolist() if token in tokenizer.all_special_ids]
        ends.update(special[-1:])
    generated: Tensor = model.generate(  # type: ignore[operator]
        **inputs,
        max_new_tokens=most_new,
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        min_length=0,
        pad_token_id=pad_of(tokenizer),
        eos_token_id=sorted(ends - {None}),
    )
    return generated


def cut_note(prompts: int, responses: int, rows: int, max_length: int) -> str:
    """What had to be cut."""
    told = []
    if prompts:
        told.append(f"{prompts:,} of {rows:,} prompts lose their beginning")
    if responses:
        told.append(f"{responses:,} of {rows:,} responses lose their end")
    return f"{' and '.join(told)} to fit {max_length} tokens" if told else ""
