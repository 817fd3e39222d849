"""What fits together in the task section of an embedding: texts, their score, and the metric."""

from __future__ import annotations

from collections.abc import Sequence

from msplora_search.settings.kinds import OF_RANKS

MOST_TEXTS = {"embedding": 3}
"""Text columns of a kind; of any other two."""


def odd_texts(kind: str, text: Sequence[str] | None) -> str | None:
    """What is wrong with how many text columns there are, to stand behind the field's name."""
    count = len(text or ())
    if kind == "embedding" and count == 1:
        return "has 1 column; embedding reads two (anchor, positive), or three with a negative"
    if count > MOST_TEXTS.get(kind, 2):
        return f"has {count} columns; {kind} reads one or two"
    return None


def odd_pairs(text: Sequence[str] | None, label: str | None, metric: str) -> tuple[str, str] | None:
    """The field of an embedding that does not go with the others, and what is wrong with it."""
    if label is not None and len(text or ()) > 2:
        return "label", "is the score of two texts, but text has three columns; leave one of them out"
    if label is None and metric not in OF_RANKS:
        return "metric", f"is {metric}, which needs label, the score of each pair; without it there is {_listed()}"
    if label is not None and metric in OF_RANKS:
        return "metric", f"is {metric}, which is of pairs without a label; with label it is spearman"
    return None


def _listed() -> str:
    return ", ".join(OF_RANKS)
