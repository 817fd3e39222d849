"""Made texts of which each holds several things: real sentences of two sources, put together by chance."""

from __future__ import annotations

import random
from collections.abc import Sequence

TEXTS = 4000
Sentence = tuple[str, str, str]
"""Where it is from, what it says of its subject (positive, neutral or negative), and the text."""


def mixtures(sentences: Sequence[Sentence]) -> list[dict[str, object]]:
    """4,000 texts of one sentence or two, each sentence in one text only, always the same.

    labels: where its sentences are from, and whether there is a positive and a negative one among them.
    """
    draw = random.Random(0)
    order = draw.sample(sentences, len(sentences))
    rows: list[dict[str, object]] = []
    for _ in range(TEXTS):
        chosen = [order.pop() for _ in range(draw.choice((1, 2)))]
        said = {word for source, feeling, _ in chosen for word in (source, feeling) if word != "neutral"}
        rows.append({"text": " ".join(text for *_, text in chosen), "labels": sorted(said)})
    return rows
