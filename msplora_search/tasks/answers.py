"""The answers of a chat that come before its last: where they stand, and which tokens are theirs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from msplora_search.errors import InputError
from msplora_search.tasks.chat import rendered
from msplora_search.tasks.language import NOT_ASKED

Spans = tuple[tuple[int, int], ...]
"""First character, and the one behind the last, of stretches of a text, in order."""


def earlier_answers(tokenizer: Any, where: str, messages: list[dict[str, str]], prompt: str) -> Spans:
    """The turns of the assistant in `prompt`, which is all of a chat up to its last answer.

    A turn is what the chat template adds to the messages before it and their generation prompt: the text with what
    ends the turn, and no header. One that opens a chat answers nothing, and is no such turn.
    Raises InputError where the template writes a turn in another way when more follows; `where` names the row.
    """
    found = []
    for place, message in enumerate(messages[:-1]):
        if message["role"] != "assistant" or place == 0:
            continue
        before = rendered(tokenizer, where, messages[:place], add_generation_prompt=True)
        after = rendered(tokenizer, where, messages[: place + 1], add_generation_prompt=False)
        if not (after.startswith(before) and prompt.startswith(after)):
            raise InputError(
                f"{where}: the tokenizer's chat template changes message {place + 1}, an answer, when further "
                "messages follow, so that not every answer can be trained on; leave out task.turns",
                "task.turns",
            )
        found.append((len(before), len(after)))
    return tuple(found)


def marked_tokens(tokenizer: Any, text: str, spans: Spans, special: bool) -> tuple[list[int], list[bool]]:
    """The tokens of a text, and which of them are in `spans`; each stretch is tokenised by itself.

    `special`: let the tokenizer put its special tokens around the text; it must have no spans then.
    """
    if not spans:
        ids = list(tokenizer(text, add_special_tokens=special)["input_ids"])
        return ids, [False] * len(ids)
    tokens: list[int] = []
    marks: list[bool] = []
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    for place, (start, stop) in enumerate(pairwise(edges)):
        ids = tokenizer(text[start:stop], add_special_tokens=False)["input_ids"] if stop > start else []
        tokens += ids
        marks += [place % 2 == 1] * len(ids)
    return tokens, marks


def moved(spans: Spans, by: int) -> Spans:
    """The spans in a text that has lost its first `by` characters."""
    return tuple((max(start - by, 0), stop - by) for start, stop in spans if stop > by)


def last_answers(targets: Tensor) -> Tensor:
    """`targets`, (batch, tokens), with nothing asked for but the last stretch of each row."""
    asked, places = targets != NOT_ASKED, torch.arange(targets.shape[1], device=targets.device)
    ends = torch.where(asked, places, -1).amax(dim=1, keepdim=True)
    gaps = torch.where(~asked & (places < ends), places, -1).amax(dim=1, keepdim=True)
    return targets.masked_fill(places <= gaps, NOT_ASKED)
