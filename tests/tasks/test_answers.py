"""Chats of which every answer is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from msplora_search.errors import InputError
from msplora_search.settings import StudySettings
from msplora_search.tasks.answers import last_answers, moved
from msplora_search.tasks.language import NOT_ASKED
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.task import Task, prepare
from tests.small import write_jsonl
from tests.tasks.models import CHAT, NAMES, word_tokenizer
from tests.tasks.test_language import causal, loaded, prepared, sequence

TALK = [
    {"role": "assistant", "content": "please say"},
    {"role": "user", "content": "say red"},
    {"role": "assistant", "content": "red"},
    {"role": "user", "content": "say the colour blue"},
    {"role": "assistant", "content": "blue blue"},
]


def talks(folder: Path, *chats: Any, turns: str | None = "every", **task: Any) -> StudySettings:
    """Those chats, and others of one answer."""
    others = [
        [{"role": "user", "content": f"say {name}"}, {"role": "assistant", "content": name}] for name in NAMES * 15
    ]
    data = write_jsonl(folder / "chats.jsonl", [{"chat": chat} for chat in (*chats, *others)])
    named: dict[str, Any] = {} if turns is None else {"turns": turns}
    return causal(folder, dataset=str(data), messages="chat", **named, **task)


def words_of(ids: Any) -> str:
    return str(word_tokenizer().decode(ids))


def asked(task: Task, row: int) -> str:
    """The words of an example that are asked for."""
    examples = task.train.corpus.examples
    ids, targets = task.kind.collate(examples, np.array([row]), np.ones(1))
    assert targets.shape == ids["input_ids"].shape
    wanted = targets[targets != NOT_ASKED]
    return words_of(wanted)


def test_every_answer_is_asked_for_with_its_end_and_without_headers(tmp_path: Path) -> None:
    every, last = prepared(talks(tmp_path, TALK)), prepared(talks(tmp_path, TALK, turns="last"))
    assert asked(every, 0) == "red </s> blue blue </s>"
    assert asked(last, 0) == "blue blue </s>"
    assert sequence(every, 0) == sequence(last, 0)
    assert (every.train.corpus.truth[0], last.train.corpus.truth[0]) == (5, 3)
    assert prepared(talks(tmp_path, TALK, metric="exact-match")).train.corpus.truth[0] == 1


def test_of_one_answer_every_is_the_last(tmp_path: Path) -> None:
    every, last = prepared(talks(tmp_path)), prepared(talks(tmp_path, turns=None))
    for row in range(8):
        assert asked(every, row) == asked(last, row)
        assert sequence(every, row) == sequence(last, row)


def test_a_chat_that_is_cut_asks_for_what_is_left_and_can_be_predicted(tmp_path: Path) -> None:
    counts = [len(sequence(prepared(talks(tmp_path, TALK)), 0)[0])]
    for length in range(8, counts[0] + 1):
        task = prepared(talks(tmp_path, TALK, max_length=length))
        ids, _ = sequence(task, 0)
        assert len(ids) == length
        words = asked(task, 0).split()
        assert words == ["red", "</s>", "blue", "blue", "</s>"][-len(words) :]
        assert task.train.corpus.truth[0] == len(words) >= 3
        whole = words_of(ids).split()
        assert len(words) == (5 if "red </s>" in " ".join(whole[1:]) else 4 if "</s>" in whole[1:-1] else 3)


@torch.no_grad()
def test_the_loss_is_that_of_every_answer(tmp_path: Path) -> None:
    bench, _ = loaded(talks(tmp_path, *[TALK] * 60))
    model, task = bench.backbone.model.eval(), bench.task
    place = next(i for i, row in enumerate(task.train.rows) if task.train.corpus.truth[row] == 5)
    batch = task.collate(task.train, np.array([place]))
    ids = batch.inputs["input_ids"][0]
    logits = model(input_ids=ids[None]).logits[0]
    words = words_of(ids).split()
    places = [words.index("red", 9), words.index("red", 9) + 1, len(words) - 3, len(words) - 2, len(words) - 1]
    by_hand = [float(F.cross_entropy(logits[i - 1], ids[i])) for i in places]
    assert float(task.loss(model, batch)) == pytest.approx(np.mean(by_hand), rel=1e-5)
    assert float(task.predict(model, batch)[0]) == pytest.approx(np.sum(by_hand), rel=1e-5)
    assert batch.asked == 5


def test_exact_match_is_of_the_last_answer(tmp_path: Path) -> None:
    bench, _ = loaded(talks(tmp_path, *[TALK] * 60, metric="exact-match"))
    batch = bench.task.collate(bench.task.validation, np.arange(20))
    heard: list[Any] = []
    model: Any = bench.backbone.model.eval()
    generate = model.generate

    def watched(**arguments: Any) -> Any:
        heard.append(arguments["input_ids"])
        return generate(**arguments)

    model.generate = watched
    with torch.inference_mode():
        bench.task.predict(model, batch)
    prompts = [words_of(row) for row in heard[0]]
    assert any("red </s> user : say the colour blue assistant :" in prompt for prompt in prompts)
    assert all(prompt.endswith("assistant :") for prompt in prompts)


def test_a_template_that_changes_earlier_answers_is_refused(tmp_path: Path) -> None:
    forgetful = CHAT.replace(
        "{{ m['content'] }}", "{{ m['content'] if loop.last or loop.index0 != 2 else 'say' }}"
    )
    settings = talks(tmp_path, TALK)
    tokenizer = load_processor(settings)
    tokenizer.chat_template = forgetful
    with pytest.raises(InputError, match=r"chats.jsonl: row 1: .* changes message 3, an answer, when") as caught:
        prepare(settings, tokenizer)
    assert caught.value.field == "task.turns"
    prepare(talks(tmp_path, TALK, turns="last"), tokenizer)


def test_answers_are_of_chats_alone(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="says which answers of chats are trained on; name their column as messages"
    ):
        causal(tmp_path, turns="every")
    with pytest.raises(ValueError, match="turns"):
        talks(tmp_path, TALK, turns="some")


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6).filter(any), min_size=1, max_size=4))
def test_the_last_answer_is_the_last_stretch(rows: list[list[bool]]) -> None:
    marks = torch.tensor(rows)
    found = last_answers(torch.where(marks, 7, NOT_ASKED)) != NOT_ASKED
    for row, kept in zip(rows, found.tolist(), strict=True):
        text = "".join("x" if mark else " " for mark in row)
        last = text.split()[-1]
        assert "".join("x" if mark else " " for mark in kept) == " " * (
            len(text.rstrip()) - len(last)
        ) + last + " " * (len(text) - len(text.rstrip()))


@given(st.text("ab", max_size=20), st.integers(0, 25))
def test_spans_move_with_their_text(text: str, by: int) -> None:
    spans = tuple((i, i + 1) for i, sign in enumerate(text) if sign == "a")
    assert [text[by:][a:b] for a, b in moved(spans, by)] == ["a"] * text[by:].count("a")
