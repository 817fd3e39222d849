from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings import StudySettings
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.dialogues import Dialogues
from msplora_search.tasks.exchanges import Exchange, exchanges
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.task import Task, prepare
from tests.small import write_jsonl
from tests.tasks.models import requests, save_llama, save_t5, study_of, word_tokenizer
from tests.tasks.test_tokenising import bytes_tokenizer

CAUSAL: dict[str, Any] = {"kind": "causal-lm", "metric": "loss", "max_length": 24}
SEQ2SEQ: dict[str, Any] = {"kind": "seq2seq-lm", "metric": "loss", "max_length": 24}


def causal(folder: Path, chat: bool = True, **task: Any) -> StudySettings:
    save_llama(folder / "model", chat)
    if "dataset" not in task:
        task["dataset"] = str(write_jsonl(folder / "data.jsonl", requests(300)))
    return study_of(folder, {**CAUSAL, **task})


def seq2seq(folder: Path, **task: Any) -> StudySettings:
    save_t5(folder / "model")
    data = write_jsonl(folder / "data.jsonl", requests(300))
    return study_of(folder, {**SEQ2SEQ, "dataset": str(data), **task})


def prepared(settings: StudySettings) -> Task:
    return prepare(settings, load_processor(settings))


def sequence(task: Task, row: int) -> tuple[list[int], int]:
    """Tokens of an example, and where its response begins."""
    dialogues = task.train.corpus.examples
    assert isinstance(dialogues, Dialogues)
    return list(map(int, dialogues.tokens[row])), int(dialogues.starts[row])


# What is read


def test_prompt_and_response_go_through_the_chat_template(tmp_path: Path) -> None:
    task = prepared(causal(tmp_path))
    ids, start = sequence(task, 0)
    row = requests(300)[0]
    words = word_tokenizer().decode(ids)
    assert words == f"user : {row['prompt']} assistant : {row['response']} </s>"
    assert word_tokenizer().decode(ids[start:]) == f"{row['response']} </s>"
    assert task.validation.truth.tolist() == [3.0] * len(task.validation)


def test_messages_are_read_as_they_stand(tmp_path: Path) -> None:
    rows = [
        {
            "chat": [
                {"role": "user", "content": "say red"},
                {"role": "assistant", "content": "red"},
                {"role": "user", "content": "say blue"},
                {"role": "assistant", "content": "blue blue"},
            ]
        }
    ] * 40
    data = write_jsonl(tmp_path / "chats.jsonl", rows)
    ids, start = sequence(prepared(causal(tmp_path, dataset=str(data), messages="chat")), 0)
    assert word_tokenizer().decode(ids[start:]) == "blue blue </s>"
    assert (
        word_tokenizer().decode(ids[:start]) == "user : say red assistant : red </s> user : say blue assistant :"
    )


def test_a_template_takes_the_columns_and_needs_no_chat_template(tmp_path: Path) -> None:
    settings = causal(tmp_path, chat=False, prompt=["prompt", "more"], template="user : {prompt} {more} :")
    ids, start = sequence(prepared(settings), 0)
    row = requests(300)[0]
    assert word_tokenizer().decode(ids) == f"user : {row['prompt']} : {row['response']} </s>"
    assert word_tokenizer().decode(ids[start:]) == f"{row['response']} </s>"


def test_empty_prompt_cells_are_left_out(tmp_path: Path) -> None:
    one = prepared(causal(tmp_path, prompt=["prompt", "more"]))
    assert sequence(one, 0) == sequence(prepared(causal(tmp_path)), 0)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({}, "task.template is missing, and the model's tokenizer has no chat template"),
        ({"template": "no columns"}, "task.template names no column; put {prompt} where the prompt goes"),
        ({"template": "{promt}"}, r"task.template: \{promt\} is no column of task.prompt; did you mean 'prompt'"),
        ({"template": "{prompt"}, "task.template: .*write a brace that is text twice"),
        ({"response": "answer", "template": "{prompt}"}, "task.response is 'answer', no such column"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, task: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        prepared(causal(tmp_path, chat=False, **task))


def test_an_empty_response_and_an_odd_chat_are_named_by_their_row(tmp_path: Path) -> None:
    rows = requests(30)
    rows[6]["response"] = " "
    data = write_jsonl(tmp_path / "odd.jsonl", rows)
    with pytest.raises(InputError, match="row 7 of column 'response' is empty"):
        prepared(causal(tmp_path, dataset=str(data)))
    chats = [{"chat": [{"role": "user", "content": "say red"}]}] * 30
    data = write_jsonl(tmp_path / "chats.jsonl", chats)
    with pytest.raises(InputError, match=r"row 1 of column 'chat' is .*ends with an answer of the role assistant"):
        prepared(causal(tmp_path, dataset=str(data), messages="chat"))


def test_what_is_too_long_is_cut_and_told(tmp_path: Path) -> None:
    rows = requests(60)
    rows[0]["prompt"] = "say " * 40 + "red please"
    rows[1]["response"] = "red " * 50
    data = write_jsonl(tmp_path / "long.jsonl", rows)
    task = prepared(causal(tmp_path, dataset=str(data)))
    assert (
        "2 of 60 prompts lose their beginning and 1 of 60 responses lose their end to fit 24 tokens" in task.note
    )
    ids, start = sequence(task, 0)
    assert len(ids) == 24
    assert "say red please assistant :" in word_tokenizer().decode(ids[:start])
    assert word_tokenizer().decode(ids[start:]) == f"{rows[0]['response']} </s>"
    ids, start = sequence(task, 1)
    assert (len(ids), start) == (24, 1)


def test_the_context_of_the_model_bounds_the_length(tmp_path: Path) -> None:
    rows = requests(60)
    rows[0]["prompt"] = "say " * 40
    data = write_jsonl(tmp_path / "long.jsonl", rows)
    task = prepared(causal(tmp_path, dataset=str(data), max_length=500))
    assert "1 of 60 prompts lose their beginning to fit 32 tokens" in task.note


# What is computed


def loaded(settings: StudySettings) -> tuple[Workbench, Any]:
    bench = Workbench.load(settings)
    return bench, bench.task.collate(bench.task.train, np.arange(7))


@torch.no_grad()
def test_the_loss_is_that_of_the_response_alone(tmp_path: Path) -> None:
    bench, batch = loaded(causal(tmp_path))
    model = bench.backbone.model.eval()
    logits = model(**batch.inputs).logits
    by_hand = []
    for row in range(7):
        ids, start = sequence(bench.task, int(bench.task.train.rows[row]))
        by_hand += [
            float(F.cross_entropy(logits[row, i - 1], torch.tensor(ids[i]))) for i in range(start, len(ids))
        ]
    assert float(bench.task.loss(model, batch)) == pytest.approx(np.mean(by_hand), rel=1e-5)
    sums = bench.task.kind.predict(model, batch)
    assert float(sums.sum()) == pytest.approx(np.sum(by_hand), rel=1e-5)


@torch.no_grad()
def test_the_loss_of_an_encoder_and_decoder_is_transformers_own(tmp_path: Path) -> None:
    bench, batch = loaded(seq2seq(tmp_path))
    model = bench.backbone.model.eval()
    assert float(bench.task.loss(model, batch)) == pytest.approx(
        float(model(**batch.inputs, labels=batch.targets).loss), rel=1e-5
    )


@pytest.mark.parametrize("make", [causal, seq2seq])
@pytest.mark.parametrize(("name", "floor"), [("loss", -1.0), ("token-accuracy", 0.6), ("exact-match", 0.3)])
def test_learning_is_seen_in_every_metric(tmp_path: Path, make: Any, name: str, floor: float) -> None:
    bench = Workbench.load(make(tmp_path, metric=name))
    targets = bench.space().targets[0]
    (_, last) = bench.measure(Pyramid.lora(8, bench.layers, targets), 2e-2)
    assert bench.task.chance < floor < last.metric
    truth, predictions = bench.task.validation.truth, last.predictions
    assert len(predictions) == 64
    assert last.metric == pytest.approx(bench.task.metric.score(truth, predictions))


def test_chance_is_a_uniform_guess(tmp_path: Path) -> None:
    assert prepared(causal(tmp_path)).chance == pytest.approx(-math.log(len(word_tokenizer())))
    assert prepared(causal(tmp_path, metric="exact-match")).chance == 0.0


def test_generation_answers_example_by_example_what_it_answers_in_a_batch(tmp_path: Path) -> None:
    bench = Workbench.load(causal(tmp_path, metric="exact-match"))
    task, model = bench.task, bench.backbone.model.eval()
    with torch.inference_mode():
        together = task.predict(model, task.collate(task.validation, np.arange(12)))
        alone = [task.predict(model, task.collate(task.validation, np.array([i])))[0] for i in range(12)]
    assert together.tolist() == alone


def test_generation_ends_with_the_turn_whatever_the_model_says(tmp_path: Path) -> None:
    """A model whose own settings would search beams, punish repetition, and stop at another token."""
    bench = Workbench.load(causal(tmp_path, metric="exact-match"))
    model: Any = bench.backbone.model
    plain = list(bench.measure(Pyramid.lora(8, bench.layers, bench.space().targets[0]), 2e-2))[-1]
    assert plain.metric > 0.3
    model.generation_config.update(num_beams=3, repetition_penalty=5.0, eos_token_id=7, min_length=9)
    again = list(bench.measure(Pyramid.lora(8, bench.layers, bench.space().targets[0]), 2e-2))[-1]
    assert again.predictions.tolist() == plain.predictions.tolist()


def test_generation_stays_within_the_context(tmp_path: Path) -> None:
    rows = requests(60)
    for row in rows:
        row["prompt"] = "say " * 40 + "red please"
    data = write_jsonl(tmp_path / "long.jsonl", rows)
    bench = Workbench.load(causal(tmp_path, dataset=str(data), metric="exact-match", max_length=32))
    model: Any = bench.backbone.model.eval()
    lengths: list[int] = []
    generate = model.generate

    def watched(**arguments: Any) -> Any:
        found = generate(**arguments)
        lengths.append(found.shape[1])
        return found

    model.generate = watched
    with torch.inference_mode():
        bench.task.predict(model, bench.batches.validation[0])
    assert max(lengths) <= 32


def test_an_empty_prompt_is_a_beginning(tmp_path: Path) -> None:
    rows = requests(60)
    rows[0]["prompt"] = ""
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    task = prepared(causal(tmp_path, chat=False, dataset=str(data), template="{prompt}"))
    ids, start = sequence(task, 0)
    assert (ids[0], start) == (word_tokenizer().bos_token_id, 1)


def test_a_chat_that_the_template_refuses_is_named(tmp_path: Path) -> None:
    settings = causal(tmp_path)
    tokenizer = load_processor(settings)
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(InputError, match=r"chat template refuses .*roles must alternate"):
        prepare(settings, tokenizer)


@pytest.mark.parametrize("template", ["{prompt:d}", "{prompt!r}"])
def test_a_template_holds_names_alone(tmp_path: Path, template: str) -> None:
    with pytest.raises(InputError, match="a brace may hold a column's name alone"):
        prepared(causal(tmp_path, template=template))


CHAT = [{"role": "user", "content": "say red"}, {"role": "assistant", "content": "red"}]


def chats(folder: Path, *rows: Any) -> StudySettings:
    data = write_jsonl(folder / "chats.jsonl", [{"chat": row} for row in (*rows, *[CHAT] * 30)])
    return causal(folder, dataset=str(data), messages="chat")


def test_content_in_parts_of_text_is_their_text(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "say "}, {"type": "text", "text": "red", "image": None}]
    task = prepared(chats(tmp_path, [{"role": "user", "content": parts, "tool_calls": None}, CHAT[1]]))
    assert sequence(task, 0) == sequence(task, 1)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": None},
        {"role": "user", "content": {"text": "say red"}},
        {"role": "user", "content": [{"type": "image", "image": "red.png"}]},
        {"role": "user", "content": ["say red"]},
        {"role": "user", "content": [{"type": "text", "text": 3}]},
        {"role": 3, "content": "say red"},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "say"}]},
    ],
)
def test_content_that_is_no_text_is_refused_with_its_row(tmp_path: Path, message: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"chats.jsonl: row 2 of column 'chat' has a message 1 that ") as caught:
        prepared(chats(tmp_path, CHAT, [message, CHAT[1]]))
    assert "\n" not in str(caught.value)


LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (LOOPS, "it runs for more than 2,000,000 steps"),
        ("{{ 1 // 0 }}", "row 1: the tokenizer's chat template refuses .*: integer division or modulo by zero"),
        ("{{ messages[7].content }}", "has no element 7"),
        ("{% for", "row 1: the tokenizer's chat template refuses"),
        ("{{ ''.__class__.__mro__ }}", "is unsafe|refuses"),
        (
            "{{ messages | length }}",
            "row 1: the tokenizer's chat template changes the prompt when the answer follows",
        ),
    ],
)
def test_a_chat_template_that_fails_is_one_line_with_the_row(tmp_path: Path, template: str, said: str) -> None:
    settings = causal(tmp_path)
    tokenizer = load_processor(settings)
    tokenizer.chat_template = template
    with pytest.raises(InputError, match=said) as caught:
        prepare(settings, tokenizer)
    assert "\n" not in str(caught.value)
    assert sys.gettrace() is None


def first_exchange(tokenizer: Any, chat: bool = True, **task: Any) -> tuple[Exchange, list[str]]:
    settings = TaskSettings.model_validate({"kind": "causal-lm", "dataset": "none.csv", **task})
    table = Table({"prompt": ["2 + 2", ""], "more": ["3", ""], "response": ["4", " 5"]}, "d.csv")
    found, notes = exchanges(settings, tokenizer, table, chat=chat)
    return found[0], notes


@pytest.mark.parametrize(
    ("template", "response"),
    [
        ("{prompt} =", " 4"), ("Q: {prompt}\nA:", " 4"), ("{prompt}", " 4"), ("{prompt} = ", "4"),
        ("{prompt}\n", "4"),
        ('{{"q": "{prompt}", "a": "', "4"), ("{prompt} (", "4"),
    ],
)  # fmt: skip
def test_prompt_and_response_do_not_run_together(template: str, response: str) -> None:
    found, notes = first_exchange(bytes_tokenizer(), template=template)
    assert found.response == response
    assert ("a space is put before 1 of 2 responses, for the template ends without" in notes) == (response == " 4")
    assert first_exchange(word_tokenizer(), template=template)[0].response == "4</s>"  # words stand apart there


@pytest.mark.parametrize(
    ("made", "asked"), [(bytes_tokenizer(), "2 + 2\n3"), (word_tokenizer(ends=True), "2 + 2</s>3")]
)
def test_columns_of_a_prompt_do_not_run_together(made: Any, asked: str) -> None:
    found, notes = first_exchange(made, chat=False, prompt=["prompt", "more"])
    assert found.prompt == asked
    assert ("'</s>' stands between the columns of a prompt" in "".join(notes)) == ("</s>" in asked)
    assert "1 of 2 rows have an empty text" in notes


def test_prompts_that_are_all_empty_are_refused(tmp_path: Path) -> None:
    rows = [{"prompt": " ", "more": "", "response": "red"}] * 40
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    with pytest.raises(InputError, match="column 'prompt' is empty everywhere"):
        prepared(causal(tmp_path, dataset=str(data), prompt=["prompt", "more"]))


@pytest.mark.parametrize("make", [causal, seq2seq])
def test_long_prompts_and_responses_are_cut_before_they_are_tokenised(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make(tmp_path)
    rows = requests(40)
    rows[0] = {**rows[0], "prompt": "say red " * 50_000, "response": "blue " * 50_000}
    write_jsonl(tmp_path / "data.jsonl", rows)
    whole = prepared(settings).train.corpus.examples
    monkeypatch.setattr("msplora_search.tasks.tokenising.LEAST_CHARACTERS", 10**9)
    monkeypatch.setattr("msplora_search.tasks.task.FORMAT", "another")
    again = prepared(settings).train.corpus.examples
    assert np.array_equal(whole.lengths, again.lengths)
    if isinstance(whole, Dialogues) and isinstance(again, Dialogues):
        assert np.array_equal(whole.tokens.ids, again.tokens.ids)
    rows[0]["response"] = "x" * 300_000
    write_jsonl(tmp_path / "data.jsonl", rows)
    monkeypatch.setattr("msplora_search.tasks.tokenising.LEAST_CHARACTERS", 100_000)
    with pytest.raises(InputError, match="row 1 has a text of 300,00"):
        prepared(settings)


def test_messages_stand_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="and template exclude each other"):
        causal(tmp_path, messages="chat", template="{prompt}")
