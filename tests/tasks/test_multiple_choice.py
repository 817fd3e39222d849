"""Choices: how cells and labels are read, how choices that are not there are left out, and what is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.kind import Content
from msplora_search.tasks.metrics import METRICS
from msplora_search.tasks.multiple_choice import ChoiceTokens, MultipleChoice
from msplora_search.tasks.parts import Batch
from msplora_search.tasks.reading.choices import LETTERS, choices_of, right_choices
from msplora_search.tasks.reading.table import Table
from tests.small import FILLER, GOOD, save_model, tokenizer
from tests.tasks.models import study_of, word_tokenizer
from tests.tasks.reading_models import choosing

WORDS = st.lists(
    st.sampled_from([word for word in (*FILLER, *GOOD) if len(word) > 1]), min_size=1, max_size=5
).map(" ".join)
LISTS = st.lists(WORDS, min_size=2, max_size=6, unique=True)


def table(choices: list[Any], labels: list[Any], **further: list[Any]) -> Table:
    return Table({"choices": choices, "label": labels, **further}, "data.jsonl")


def read(choices: list[Any], labels: list[Any]) -> list[int]:
    of = table(choices, labels)
    return [int(place) for place in right_choices(of, "label", choices_of(of, ["choices"]))[0]]


def kind(**changes: Any) -> MultipleChoice:
    task = {"kind": "multiple-choice", "dataset": "data.jsonl", "max_length": 24, **changes}
    return MultipleChoice(TaskSettings.model_validate(task), tokenizer())


def content(choices: list[list[str]], **changes: Any) -> Content:
    questions = ["the film was"] * len(choices)
    of = table(choices, ["A"] * len(choices), question=questions, passage=["a plot"] * len(choices))
    return kind(**changes).read(of, None)


# What is right


@given(rows=st.lists(st.tuples(LISTS, st.integers(0, 5)), min_size=1, max_size=8))
def test_every_form_of_a_label_names_the_same_choice(rows: list[tuple[list[str], int]]) -> None:
    choices = [words for words, _ in rows]
    right = [place % len(words) for words, place in rows]
    assert read(choices, right) == right
    assert read(choices, [str(place) for place in right]) == right
    assert read(choices, [LETTERS[place] for place in right]) == right
    assert read(choices, [LETTERS[place].lower() for place in right]) == right
    assert read(choices, [words[place] for words, place in zip(choices, right, strict=True)]) == right


def test_names_that_the_rows_give_their_choices_are_what_labels_are() -> None:
    named = {"text": ["red", "blue", "grey"], "label": ["1", "2", "3"]}
    lettered = {"text": ["red", "blue"], "label": ["A", "B"]}
    assert read([named, lettered], ["2", "B"]) == [1, 1]
    with pytest.raises(InputError, match="row 1 of label column 'label' is '0'; it must be one of the names"):
        read([named], ["0"])


def test_a_label_that_could_be_two_choices_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"row 2 .* is '1', which is one choice as indices from 0 and another as text"
    ):
        read([["0", "1"], ["1", "2"]], [0, 1])
    assert read([["0", "1"], ["0", "1", "2"]], [0, 2]) == [0, 2]  # both say the same


@pytest.mark.parametrize(
    ("choices", "label", "said"),
    [
        (["red", "blue"], 2, "is '2', for the column counts from 1; it must count from 0"),
        (
            ["red", "blue"],
            3,
            "is '3'; it must be an index from 0 to 1, a letter from A to B, or the text of a choice",
        ),
        (["red", "blue"], "C", "is 'C'; it must be an index from 0 to 1"),
        (["red", "red", "blue"], "red", "is 'red', the text of several choices"),
        (["red", "blue"], None, "is None; it must be an index from 0, a letter"),
        (["red", "blue"], 0.5, "is 0.5; it must be an index"),
    ],
)
def test_a_label_that_is_no_choice_is_refused(choices: list[str], label: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        read([choices], [label])
    assert f"data.jsonl: row 1 of label column 'label' {said}" in str(error.value)
    assert error.value.field == "task.label"


def test_labels_are_of_one_form() -> None:
    with pytest.raises(
        InputError, match=r"row 2 .* the labels before it are indices from 0, and all must be of one"
    ):
        read([["red", "blue"], ["red", "blue"]], ["1", "B"])


# What can be chosen


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("red", "is 'red'; it must be a list of texts; where each choice has a column, name them all"),
        (["red"], "has 1 choice; it must have 2 to 26"),
        (["red", " "], "has a choice 2 that is empty; it must be text"),
        (["red", ["blue"]], "has a choice 2 that is ['blue']; it must be text"),
        ({"text": ["red", "blue"], "label": ["A"]}, "has 2 choices and 1 names for them; each must have one"),
        ({"texts": ["red", "blue"]}, "is {'texts': ['red', 'blue']}; it must be a list of texts"),
        ([str(i) for i in range(27)], "has 27 choices; it must have 2 to 26"),
    ],
)
def test_a_cell_without_choices_is_refused(cell: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        choices_of(table([["red", "blue"], cell], ["A", "A"]), ["choices"])
    assert f"data.jsonl: row 2 of column 'choices' {said}" in str(error.value)
    assert error.value.field == "task.choices"


def test_each_choice_may_have_a_column_and_empty_cells_at_the_end_are_none() -> None:
    columns: dict[str, list[Any]] = {
        "a": ["red", "one"],
        "b": ["blue", "two"],
        "c": ["grey", ""],
        "d": [None, None],
    }
    of = Table(columns, "data.csv")
    assert [one.texts for one in choices_of(of, list("abcd"))] == [("red", "blue", "grey"), ("one", "two")]
    with pytest.raises(InputError, match="row 1 of column 'd' is empty, but a later choice is not"):
        choices_of(of, list("dab"))
    with pytest.raises(InputError, match="row 2 has 1 choices in 2 columns; it must have two"):
        choices_of(of, ["a", "c"])


# Sequences


def test_the_texts_stand_before_every_choice() -> None:
    made = content([["good", "bad"], ["dull", "fine", "poor"]]).examples
    assert isinstance(made, ChoiceTokens)
    own = tokenizer()
    wanted = [("the film was", choice) for choice in ("good", "bad", "dull", "fine", "poor")]
    assert [made.tokens[i].tolist() for i in range(5)] == [own(*pair)["input_ids"] for pair in wanted]
    assert made.lengths.tolist() == [2 * 7, 3 * 7]
    both = content([["good", "bad"]], text=["passage", "question"]).examples
    assert isinstance(both, ChoiceTokens)
    assert both.tokens[1].tolist() == own("a plot", "the film was bad")["input_ids"]


def test_what_a_user_should_know_is_told() -> None:
    told = content([["good", "bad"], ["dull", "fine " * 40, "poor"]]).note
    assert "rows have 2 to 3 choices; labels are read as letters" in told
    assert "1 of 5 texts with a choice are cut to 24 tokens" in told
    decoder = MultipleChoice(kind().settings, word_tokenizer())
    of = table([["red", "blue"]], ["A"], question=["say the colour"])
    assert "'</s>' stands before a choice" in decoder.read(of, None).note


@given(rows=st.lists(LISTS, min_size=1, max_size=5))
def test_choices_that_are_not_there_have_an_empty_mask(rows: list[list[str]]) -> None:
    made = content(rows)
    inputs, _ = kind().collate(made.examples, np.arange(len(rows)), made.truth)
    there = inputs["attention_mask"].any(dim=-1)
    assert there.sum(dim=1).tolist() == [len(words) for words in rows]
    assert bool((there.int().diff(dim=1) <= 0).all())  # the first ones are there
    assert not inputs["input_ids"][~there].any()
    assert len({tensor.shape for tensor in inputs.values()}) == 1


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Module:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder / "model")
    settings = study_of(folder, {"kind": "multiple-choice", "dataset": "none.jsonl"})
    return load_backbone(settings, tokenizer(), ()).model.eval()


def batch(rows: list[list[str]], right: list[int]) -> Batch:
    inputs, targets = kind().collate(content(rows).examples, np.arange(len(rows)), np.array(right))
    return Batch(inputs, targets, np.arange(len(rows)))


ROWS = [["good", "bad"], ["dull", "fine", "poor"], ["the film was great", "bad", "awful", "a plot"]]


@torch.no_grad()
def scores(model: torch.nn.Module, choices: list[str]) -> Tensor:
    own: Any = tokenizer()(["the film was"] * len(choices), choices, padding=True, return_tensors="pt")
    found: Tensor = model(**{name: tensor[None] for name, tensor in own.items()}).logits[0]
    return found


@torch.no_grad()
def test_an_example_scores_the_same_whatever_stands_beside_it(model: torch.nn.Module) -> None:
    together = kind().outputs(model, batch(ROWS, [0, 1, 2]))
    alone = torch.cat([scores(model, row) for row in ROWS])
    assert together.shape == (9,)
    assert torch.allclose(together, alone, atol=1e-5)


@torch.no_grad()
def test_the_loss_and_the_answer_are_over_the_choices_that_are_there(model: torch.nn.Module) -> None:
    whole = batch(ROWS, [0, 1, 2])
    alone = [scores(model, row) for row in ROWS]
    losses = [-of.log_softmax(dim=0)[right] for of, right in zip(alone, (0, 1, 2), strict=True)]
    assert kind().loss(kind().outputs(model, whole), whole).item() == pytest.approx(
        float(sum(losses)) / 3, abs=1e-5
    )
    assert kind().predict(model, whole).tolist() == [int(of.argmax()) for of in alone]
    assert whole.asked == 3
    parts = [kind().loss(kind().outputs(model, part), part) for part in whole.parts(1)]
    assert float(sum(parts)) / 3 == pytest.approx(float(sum(losses)) / 3, abs=1e-5)


def test_chance_is_the_place_that_is_right_most_often() -> None:
    assert kind().chance(np.array([0, 1, 1, 2]), METRICS["accuracy"]) == 0.5


def test_good_choices_are_learned(tmp_path: Path) -> None:
    settings = study_of(tmp_path, choosing(tmp_path, 400), proxy={"train_examples": 256, "epochs": 6})
    bench = Workbench.load(settings)
    assert bench.task.chance < 0.6
    curve = list(bench.measure(Pyramid.lora(4, bench.layers, next(iter(bench.anatomies))), 2e-2))
    assert curve[-1].metric > 0.9
