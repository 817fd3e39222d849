"""The best answer out of the scores of its first and last token."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_TOKENS = 30
"""Tokens of an answer, as in the code of Devlin et al. (2019)."""


def best_spans(scores: Tensor, there: Tensor, starts: Tensor, ends: Tensor, nulls: Tensor) -> Tensor:
    """The characters of the best answer to each question: (batch, 2), -1 where that is no answer.

    scores: (windows that are there, tokens, 2), each token as first and as last of the answer; `there`: (batch,
    windows); starts, ends: (batch, windows, tokens), the characters of each token, -1 where it is not of the
    context; nulls: (batch, windows), the place of the token for no answer, -1 where every question has one.

    An answer scores the sum of its first and last token, and is the best of all windows; no answer that of its
    token, and is the worst of all windows: it is right only where no window has an answer (Devlin et al., BERT,
    2019, section 4.3).
    """
    values, firsts, lasts = _best_in_window(scores, starts[there] >= 0)
    places = nulls[there]
    no_answer = scores.gather(1, places.clamp(min=0)[:, None, None].expand(-1, 1, 2)).sum(dim=(1, 2))
    no_answer = no_answer.masked_fill(places < 0, -torch.inf)
    chosen = _by_example(values, there, -torch.inf).max(dim=1)
    answered = chosen.values > _by_example(no_answer, there, torch.inf).min(dim=1).values
    characters = torch.stack(
        [starts[there].gather(1, firsts[:, None]), ends[there].gather(1, lasts[:, None])], dim=-1
    )[:, 0]
    found = starts.new_full((*there.shape, 2), -1)
    found[there] = characters
    best = found[torch.arange(len(there), device=there.device), chosen.indices]
    return best.masked_fill(~answered[:, None], -1)


def _best_in_window(scores: Tensor, of_context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The score of the best answer in each window, and the places of its first and last token: (windows,)."""
    first, last = (scores[..., i].masked_fill(~of_context, -torch.inf) for i in (0, 1))
    tokens = first.shape[1]
    value = first.new_full((len(first),), -torch.inf)
    start = torch.zeros(len(first), dtype=torch.int64, device=first.device)
    length = torch.zeros_like(start)
    for further in range(min(MOST_TOKENS, tokens)):
        here, place = (first[:, : tokens - further] + last[:, further:]).max(dim=1)
        better = here > value
        value = torch.where(better, here, value)
        start = torch.where(better, place, start)
        length = torch.where(better, torch.full_like(length, further), length)
    return value, start, start + length


def _by_example(values: Tensor, there: Tensor, filler: float) -> Tensor:
    """(windows that are there,) -> (batch, windows)."""
    found = values.new_full(there.shape, filler)
    found[there] = values
    return found
