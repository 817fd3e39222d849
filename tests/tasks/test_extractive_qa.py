"""Answers in texts: how they are read, cut into windows, found again, and scored as SQuAD scores them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.answer_spans import MOST_TOKENS, best_spans
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.extractive_qa import ExtractiveQA
from msplora_search.tasks.labels import metric_of
from msplora_search.tasks.parts import Batch
from msplora_search.tasks.passages import Passages
from msplora_search.tasks.reading.answers import answers_of
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.squad import best, exact_match, word_f1, words_of
from tests.small import BAD, FILLER, GOOD, save_model, tokenizer
from tests.tasks.models import study_of, word_tokenizer
from tests.tasks.reading_models import answering

WORDS = [*FILLER, *GOOD, *BAD]


# Scores


@pytest.mark.parametrize(
    ("found", "right", "exact", "f1"),
    [
        ("The Cat.", "cat", 1, 1),
        ("a cat  sat", "Cat sat!", 1, 1),
        ("the big cat", "big dog", 0, 0.5),
        ("cat cat cat", "cat", 0, 0.5),
        ("dog", "cat", 0, 0),
        ("", "cat", 0, 0),
        ("cat", "", 0, 0),
        ("", "", 1, 1),
        ("the", "an", 1, 1),
        ("it's", "its", 1, 1),
        ("thesis", "sis", 0, 0),
        ("1,000", "1000", 1, 1),
    ],
)
def test_scores_are_squads(found: str, right: str, exact: float, f1: float) -> None:
    assert exact_match(found, right) == exact
    assert word_f1(found, right) == pytest.approx(f1)
    assert word_f1(right, found) == pytest.approx(f1)


def test_the_best_of_several_answers_counts_and_of_none_the_empty_one() -> None:
    assert best(word_f1, "big cat", ["dog", "cat", "red cat"]) == pytest.approx(2 / 3)
    assert best(exact_match, "", []) == 1
    assert best(exact_match, "cat", []) == 0


@given(found=st.text(max_size=30), right=st.text(max_size=30))
def test_f1_lies_above_exact_match_and_below_1(found: str, right: str) -> None:
    assert 0 <= exact_match(found, right) <= word_f1(found, right) <= 1
    assert word_f1(found, right) == word_f1(right, found)
    assert words_of(found.upper().lower()) == words_of(found.lower()) or not found.isascii()


# Cells


def table(contexts: list[Any], answers: list[Any], questions: list[Any] | None = None) -> Table:
    asked = ["the film was"] * len(contexts) if questions is None else questions
    return Table({"context": contexts, "answers": answers, "question": asked}, "data.jsonl")


@pytest.mark.parametrize(
    ("cell", "texts", "starts"),
    [
        ({"text": ["plot"], "answer_start": [11]}, ("plot",), (11,)),
        ({"text": ["plot", "a plot"], "answer_start": [11, 9]}, ("plot", "a plot"), (11, 9)),
        ({"text": "plot", "answer_start": 11}, ("plot",), (11,)),
        ({"text": [" plot"], "answer_start": [10]}, ("plot",), (11,)),
        ({"text": ["plot"]}, ("plot",), (11,)),
        ({"text": [], "answer_start": []}, (), ()),
        (["plot"], ("plot",), (11,)),
        ("plot", ("plot",), (11,)),
        ("", (), ()),
        (None, (), ()),
        ([], (), ()),
        (7, ("7",), (16,)),
    ],
)
def test_answers_are_read(cell: Any, texts: tuple[str, ...], starts: tuple[int, ...]) -> None:
    context = "the film a plot 7"
    context = "the film " + context[9:]
    found = answers_of(table([context] * 2, [cell, "film"]), "answers", [context] * 2)
    assert (found[0].texts, found[0].starts) == (texts, starts)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("music", "has the answer 'music', which is not in its context"),
        (
            {"text": ["plot"], "answer_start": [3]},
            "has answer_start 3 for 'plot', but the context has ' fil' there",
        ),
        ({"text": ["plot"], "answer_start": [-1]}, "has answer_start -1 for 'plot', but it must be the number of"),
        ({"text": ["plot"], "answer_start": [1, 2]}, "has 1 texts, but [1, 2] as answer_start"),
        (["plot", " "], "has the answer an empty text; each must be text of the context"),
        ([["plot"]], "has the answer ['plot']; each must be text of the context"),
        (
            {"texts": ["plot"]},
            "is {'texts': ['plot']}; it must be a text of the context, a list of such texts, or",
        ),
    ],
)
def test_an_answer_that_is_none_is_refused(cell: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        answers_of(
            table(["the film", "the film a plot"], ["film", cell]), "answers", ["the film", "the film a plot"]
        )
    assert f"data.jsonl: row 2 of column 'answers' {said}" in str(error.value)
    assert error.value.field == "task.answers"


def test_some_question_must_have_an_answer() -> None:
    with pytest.raises(InputError, match="no row of column 'answers' has an answer; some must"):
        answers_of(table(["the film"], [""]), "answers", ["the film"])


@pytest.mark.parametrize(("stride", "right"), [(7, True), (8, False), (-1, False)])
def test_windows_share_less_than_half(stride: int, right: bool) -> None:
    task = {"kind": "extractive-qa", "dataset": "data.jsonl", "max_length": 16, "stride": stride}
    if right:
        assert TaskSettings.model_validate(task).stride == stride
    else:
        with pytest.raises(ValueError, match="stride"):
            TaskSettings.model_validate(task)


# Windows


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A byte a token, in the manner of RoBERTa: letters of several bytes have several tokens of the same place."""
    made = Tokenizer(
        BPE({letter: i for i, letter in enumerate([*sorted(ByteLevel.alphabet()), "<s>", "</s>"])}, [])
    )
    made.pre_tokenizer = ByteLevel(add_prefix_space=False)
    ends = {"single": "<s> $A </s>", "pair": "<s> $A </s> </s> $B </s>"}
    made.post_processor = TemplateProcessing(**ends, special_tokens=[("<s>", 256), ("</s>", 257)])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, pad_token="</s>", cls_token="<s>", sep_token="</s>",
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def kind(own: Any = None, **changes: Any) -> ExtractiveQA:
    task = {"kind": "extractive-qa", "dataset": "data.jsonl", "max_length": 16, **changes}
    return ExtractiveQA(TaskSettings.model_validate(task), own or tokenizer())


def passages(of: ExtractiveQA, contexts: list[str], answers: list[Any], **further: Any) -> Passages:
    made = of.read(table(contexts, answers, **further), None).examples
    assert isinstance(made, Passages)
    return made


def windows_of(made: Passages, row: int) -> list[slice]:
    """Where the tokens of an example's windows are."""
    offsets = made.windows.offsets
    return [slice(offsets[i], offsets[i + 1]) for i in range(made.firsts[row], made.firsts[row + 1])]


CONTEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=60)


@pytest.mark.parametrize("bytewise", [False, True])
@given(
    words=CONTEXTS, place=st.integers(0, 59), length=st.integers(1, 3), stride=st.integers(0, 7), odd=st.booleans()
)
def test_the_answer_is_found_again_in_some_window(
    bytewise: bool, words: list[str], place: int, length: int, stride: int, odd: bool
) -> None:
    if odd:
        words = [word + "ä€😀"[i % 3] * bytewise for i, word in enumerate(words)]
    context = " ".join(words)
    first = place % len(words)
    answer = " ".join(words[first : first + length])
    start = len(" ".join([*words[:first], ""]))
    of = kind(byte_tokenizer(), max_length=90, stride=min(40, stride * 6)) if bytewise else kind(stride=stride)
    made = passages(of, [context], [{"text": [answer], "answer_start": [start]}])
    covered = np.zeros(len(context), dtype=bool)
    for i, window in enumerate(windows_of(made, 0)):
        starts, ends = made.starts[window], made.ends[window]
        assert window.stop - window.start <= of.settings.max_length
        for begin, end in zip(starts, ends, strict=True):
            covered[max(begin, 0) : max(end, 0)] = True
        first_token, last_token = made.spans[made.firsts[0] + i]
        null = made.nulls[made.firsts[0] + i]
        if first_token != null:
            assert context[starts[first_token] : ends[last_token]].strip() == answer
        else:
            assert last_token == null
    assert all(covered[i] or letter == " " for i, letter in enumerate(context))
    if len(made.nulls) == 1:
        assert made.spans[0, 0] != made.nulls[0]  # a text that fits has its answer in its window


@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=9), stride=st.integers(0, 7))
def test_the_stride_changes_nothing_of_a_text_that_fits(words: list[str], stride: int) -> None:
    one, other = (passages(kind(stride=s), [" ".join(words)], [words[0]]) for s in (0, stride))
    assert len(one.nulls) == len(other.nulls) == 1
    assert np.array_equal(one.windows.ids, other.windows.ids)
    assert np.array_equal(one.spans, other.spans)
    assert np.array_equal(one.starts, other.starts)


@given(words=st.lists(st.sampled_from(WORDS), min_size=20, max_size=60), stride=st.integers(0, 7))
def test_neighbouring_windows_share_the_stride(words: list[str], stride: int) -> None:
    made = passages(kind(stride=stride), [" ".join(words)], [words[0]])
    room = 16 - 3 - 3  # special tokens, and the question's
    every = [set(made.starts[window]) - {-1} for window in windows_of(made, 0)]
    shared = [len(a & b) for a, b in pairwise(every)]
    assert set(shared) == {min(stride, room // 2)}


def test_a_window_is_what_the_tokenizer_makes_of_the_pair() -> None:
    made = passages(kind(), ["a plot and music"], ["plot"])
    assert made.windows[0].tolist() == tokenizer()("the film was", "a plot and music")["input_ids"]
    assert made.spans.tolist() == [[6, 6]]
    assert (made.context(0), made.right(0)) == ("a plot and music", ["plot"])
    assert made.lengths.tolist() == [10]


def test_a_long_question_leaves_room_for_the_context() -> None:
    read = kind().read(table(["a plot"] * 2, ["plot"] * 2, questions=["music " * 50, "the film"]), None)
    made: Any = read.examples
    assert "1 of 2 questions are cut to half of 16 tokens" in read.note
    assert made.windows.lengths.tolist() == [6 + 2 + 3, 2 + 2 + 3]
    assert made.spans.tolist() == [[9, 9], [5, 5]]


def test_a_tokenizer_that_puts_nothing_between_gets_a_separator_and_its_first_token_for_no_answer() -> None:
    of = kind(word_tokenizer())
    read = of.read(table(["the colour red", "please"], ["red", ""], questions=["say"] * 2), None)
    made: Any = read.examples
    ids = of.tokenizer.convert_tokens_to_ids(["say", "</s>", "the", "colour", "red"])
    assert made.windows[0].tolist() == ids
    assert made.spans.tolist() == [[4, 4], [0, 0]]
    assert "'</s>' stands behind a question" in read.note
    assert "1 of 2 questions have no answer" in read.note


def test_windows_and_lost_answers_are_told() -> None:
    context = " ".join([*["film"] * 23, "good", "fine", "great", *["film"] * 20])
    told = kind(stride=0, max_length=12).read(table([context, "good"], ["good fine great", "good"]), None).note
    assert "1 of 2 questions have a context in several windows of 12 tokens, 9 windows in all" in told
    assert "1 of 2 answers are whole in no window; a larger task.stride keeps them" in told
    long = kind(max_length=64).read(table(["film " * 40], [" ".join(["film"] * 35)]), None).note
    assert "1 of 1 answers have more than the 30 tokens that are given at most" in long


def test_what_is_read_is_the_same_when_it_comes_from_the_cache(tmp_path: Path) -> None:
    of = kind(byte_tokenizer(), max_length=40)
    made = passages(of, ["grün und rot 😀 " * 5, "x y", "x y"], [["rot", "grün"], "", "y"])
    made.save(tmp_path)
    back = Passages.load(tmp_path)
    for row in range(3):
        assert (back.context(row), back.right(row)) == (made.context(row), made.right(row))
    assert len(back.contexts) == 2
    rows, truth = np.array([2, 0]), np.ones(2)
    (inputs, targets), (again, targets_again) = of.collate(made, rows, truth), of.collate(back, rows, truth)
    assert torch.equal(targets, targets_again)
    assert all(torch.equal(inputs[name], again[name]) for name in inputs)


# Loss and answers of a model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Module:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder / "model")
    task = {"kind": "extractive-qa", "dataset": "none.jsonl"}
    return load_backbone(study_of(folder, task), tokenizer(), ()).model.eval()


LONG = " ".join(["film", "was", *["plot", "and", "music"] * 8, "good", "scene"])
TEXTS = ["a good plot", LONG, "the music was fine with a scene"]
ANSWERS = ["good", "good", ""]


def batch(of: ExtractiveQA, made: Passages) -> Batch:
    rows = np.arange(len(made))
    return Batch(*of.collate(made, rows, np.ones(len(made))), rows)


@torch.no_grad()
def test_empty_windows_are_seen_by_nobody_and_the_loss_is_a_mean_over_windows(model: torch.nn.Module) -> None:
    of = kind(stride=3)
    made = passages(of, TEXTS, ANSWERS)
    whole = batch(of, made)
    windows = np.diff(made.firsts).tolist()
    assert windows[1] > 2
    assert whole.targets.shape == (3, max(windows), 2)
    assert (whole.targets != -100).sum(dim=(1, 2)).tolist() == [2 * count for count in windows]
    assert whole.asked == 2 * sum(windows)
    losses = []
    for i in range(sum(windows)):
        found = model(input_ids=torch.from_numpy(made.windows[i].astype(np.int64))[None])
        for logits, place in zip((found.start_logits, found.end_logits), made.spans[i], strict=True):
            losses.append(-logits[0].log_softmax(dim=0)[place].item())
    types = whole.inputs.pop("token_type_ids")  # the plain call above has none either
    outputs = of.outputs(model, whole)
    assert outputs.shape == (int(made.windows.lengths.sum()), 2)
    assert of.loss(outputs, whole).item() == pytest.approx(np.mean(losses), abs=1e-5)
    whole.inputs["token_type_ids"] = types
    one = of.loss(of.outputs(model, whole), whole)
    parts = [(part.asked, of.loss(of.outputs(model, part), part)) for part in whole.parts(1)]
    assert sum(asked * float(loss) for asked, loss in parts) / whole.asked == pytest.approx(float(one), abs=1e-5)


@torch.no_grad()
def test_answers_do_not_depend_on_what_stands_beside_them(model: torch.nn.Module) -> None:
    of = kind(stride=3)
    made = passages(of, TEXTS, ANSWERS)
    together = of.predict(model, batch(of, made))
    alone = torch.cat([of.predict(model, part) for part in batch(of, made).parts(1)])
    assert together.tolist() == alone.tolist()
    assert together.shape == (3, 2)


def naive(scores: list[np.ndarray], starts: list[Any], ends: list[Any], nulls: list[int]) -> list[int]:
    """The best answer of one question by trying all."""
    tried = [
        (float(of[i, 0] + of[j, 1]), [int(starts[w][i]), int(ends[w][j])])
        for w, of in enumerate(scores)
        for i in range(len(of))
        for j in range(i, min(len(of), i + MOST_TOKENS))
        if starts[w][i] >= 0 and starts[w][j] >= 0
    ]
    top = max(tried, default=(-np.inf, [-1, -1]))
    nothing = min((float(of[n].sum()) for of, n in zip(scores, nulls, strict=True) if n >= 0), default=-np.inf)
    return top[1] if top[0] > nothing else [-1, -1]


@given(seed=st.integers(0, 10_000), questions=st.integers(1, 3), nullable=st.booleans())
def test_the_best_answer_is_the_one_that_trying_all_finds(seed: int, questions: int, nullable: bool) -> None:
    draw = np.random.default_rng(seed)
    counts = draw.integers(1, 4, questions)
    tokens = int(draw.integers(3, 45))
    there = torch.from_numpy(np.arange(counts.max()) < counts[:, None])
    context = draw.random((*there.shape, tokens)) < 0.7
    context[..., 0] = False
    starts = np.where(context, np.arange(tokens) * 3, -1)
    ends = np.where(context, np.arange(tokens) * 3 + 2, -1)
    nulls = np.full(there.shape, 0 if nullable else -1)
    scores = draw.normal(size=(int(counts.sum()), tokens, 2)) * 2
    found = best_spans(torch.from_numpy(scores), there, *map(torch.from_numpy, (starts, ends, nulls)))
    first = 0
    for row, count in enumerate(counts):
        of = list(scores[first : first + count])
        assert found[row].tolist() == naive(of, list(starts[row]), list(ends[row]), list(nulls[row][:count]))
        first += count


def test_characters_are_settled_by_the_context_and_the_right_answers() -> None:
    of = kind()
    made = passages(of, ["the good film", "a dull plot", "music"], [["good", "film"], "dull plot", ""])
    rows = np.array([2, 0, 1, 0])
    given_ = np.array([[-1, -1], [9, 13], [2, 6], [-1, -1]])
    assert of.settled(made, rows, given_).tolist() == pytest.approx([1, 1, 2 / 3, 0])
    exact = kind(metric="exact-match").settled(made, rows, given_)
    assert exact.tolist() == [1, 1, 0, 0]
    judge = metric_of(of.settings, ())
    assert judge.score(np.ones(4), exact) == 0.5
    assert of.chance(np.array([1.0, 0.0, 1.0, 0.0, 0.0]), judge) == pytest.approx(0.6)


def test_where_every_question_has_an_answer_one_is_given(model: torch.nn.Module) -> None:
    of = kind()
    made = passages(of, ["a plot", "music"], ["plot", "music"])
    assert set(batch(of, made).inputs["null_tokens"].flatten().tolist()) == {-1}
    with torch.no_grad():
        assert (of.predict(model, batch(of, made)) >= 0).all()


def test_peft_is_told_the_type_only_where_it_passes_on_all_inputs() -> None:
    assert kind().peft_type is None  # segment ids
    assert kind(byte_tokenizer()).peft_type == "QUESTION_ANS"


def test_good_words_are_found(tmp_path: Path) -> None:
    task = {**answering(tmp_path, 500), "max_length": 24}
    bench = Workbench.load(study_of(tmp_path, task, proxy={"train_examples": 300, "epochs": 8}))
    curve = list(bench.measure(Pyramid.lora(4, bench.layers, next(iter(bench.anatomies))), 5e-3))
    assert 0.1 < bench.task.chance < 0.4
    assert curve[-1].metric > 0.9
