"""Small questions with choices, and with texts that hold the answer: a random model of two layers learns them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.small import BAD, FILLER, GOOD, save_model, write_jsonl


def chosen(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """One of two to four words is a good one; labels are letters."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        choices = draw.sample(BAD, draw.randint(1, 3))
        right = draw.randint(0, len(choices))
        choices.insert(right, draw.choice(GOOD))
        question = " ".join(draw.choice(FILLER) for _ in range(draw.randint(2, 6)))
        rows.append({"question": question, "choices": choices, "label": "ABCD"[right]})
    return rows


def found(count: int, seed: int = 0, words: int = 30) -> list[dict[str, Any]]:
    """The good word of a text is the answer; a quarter of the texts has none."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        context = [draw.choice(FILLER) for _ in range(draw.randint(3, words))]
        answers: dict[str, list[Any]] = {"text": [], "answer_start": []}
        if draw.random() > 0.25:
            place, word = draw.randrange(len(context)), draw.choice(GOOD)
            context[place] = word
            answers = {"text": [word], "answer_start": [len(" ".join([*context[:place], ""]))]}
        rows.append({"question": "the film was", "context": " ".join(context), "answers": answers})
    return rows


def choosing(folder: Path, count: int = 200) -> dict[str, Any]:
    """The task section of a study on `chosen` rows, and its model in `folder`."""
    save_model(folder / "model")
    return {"kind": "multiple-choice", "dataset": str(write_jsonl(folder / "data.jsonl", chosen(count)))}


def answering(folder: Path, count: int = 200) -> dict[str, Any]:
    """The task section of a study on `found` rows with windows of 20 tokens, and its model in `folder`."""
    save_model(folder / "model")
    data = write_jsonl(folder / "data.jsonl", found(count))
    return {"kind": "extractive-qa", "dataset": str(data), "max_length": 20}
