"""Words and their tags: which token stands for which word, what is cut, and how predictions are counted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import accuracy_score, f1_score
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import PreTrainedTokenizerFast

from msplora_search.errors import InputError
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.parts import Batch
from msplora_search.tasks.reading.local_files import read_file
from msplora_search.tasks.tallies import SpanF1, TagAccuracy
from msplora_search.tasks.token_classification import Tagged, TokenClassification
from msplora_search.tasks.words import CUT, lead, split
from tests.tasks.tagged import TAGS, content, named, pieces_tokenizer, refusal, table_of

ROW = {"tokens": ["anna", "was", "in", "new", "paris"], "tags": ["B-PER", "O", "O", "B-LOC", "I-LOC"]}
OTHER = {"tokens": ["carla"], "tags": ["I-PER"]}


def asked(found: Any, row: int) -> list[tuple[int, int]]:
    """Where in a row a tag is asked for, and which."""
    examples = found.examples
    tags = examples.tags[examples.tokens.offsets[row] : examples.tokens.offsets[row + 1]].tolist()
    return [(place, tag) for place, tag in enumerate(tags) if tag != -100]


def test_the_first_token_of_a_word_stands_for_it() -> None:
    found = content([ROW, OTHER])
    assert found.classes == TAGS
    assert pieces_tokenizer().convert_ids_to_tokens(found.examples.tokens[0].tolist()) == [  # type: ignore[attr-defined]
        "[CLS]", "an", "##na", "was", "in", "new", "par", "##is", "[SEP]",
    ]  # fmt: skip
    assert asked(found, 0) == [(1, 1), (3, 4), (4, 4), (5, 0), (6, 2)]
    assert asked(found, 1) == [(1, 3)]
    assert found.truth.tolist() == [2, 1]
    assert found.note == ""


def test_words_that_are_cut_are_told_and_their_spans_count() -> None:
    found = content([ROW, OTHER], max_length=8)  # "paris" has its first token within, "##is" is cut
    assert asked(found, 0) == [(1, 1), (3, 4), (4, 4), (5, 0), (6, 2)]
    row = {
        "tokens": [*ROW["tokens"][:3], "anna", *ROW["tokens"][3:]],
        "tags": ["B-PER", "O", "O", "O", "B-LOC", "I-LOC"],
    }
    found = content([row, OTHER], max_length=8)  # [CLS] an ##na was in an ##na [SEP]
    assert asked(found, 0) == [(1, 1), (3, 4), (4, 4), (5, 4)]
    assert found.truth.tolist() == [2, 1]
    assert found.note == (
        "1 of 2 rows are cut to 8 tokens, and lose 2 of 7 words, which count as called O; 1 span is missed by that"
    )


def test_a_span_that_is_cut_in_two_is_not_asked() -> None:
    row = {
        "tokens": ["the", "sun", "was", "in", "the", "new", "new", "paris"],
        "tags": ["O"] * 5 + ["B-LOC", *["I-LOC"] * 2],
    }
    found = content([row, OTHER], max_length=9)
    assert asked(found, 0) == [(place, 3) for place in range(1, 6)]
    assert found.truth.tolist() == [1, 1]
    found = content([row, OTHER], max_length=9, metric="token-accuracy")
    assert asked(found, 0) == [*((place, 3) for place in range(1, 6)), (6, 0), (7, 1)]
    assert found.truth.tolist() == [[8, 5], [1, 0]]
    assert found.note == "1 of 2 rows are cut to 9 tokens, and lose 1 of 9 words, which count as wrong"


def test_a_tokenizer_that_cuts_the_beginning_loses_the_first_words() -> None:
    tokenizer = pieces_tokenizer()
    tokenizer.truncation_side = "left"
    row = {"tokens": ["anna", "was", "carla", "in", "the", "sun"], "tags": ["B-PER", "O", "B-PER", "O", "O", "O"]}
    found = content([row, OTHER], tokenizer, max_length=8)  # [CLS] ca ##rl ##a in the sun [SEP]
    assert [place for place, _ in asked(found, 0)] == [1, 4, 5, 6]
    tokens = [*row["tokens"], "day"]
    found = content([{"tokens": tokens, "tags": [*row["tags"], "O"]}, OTHER], tokenizer, max_length=8)
    assert [place for place, _ in asked(found, 0)] == [3, 4, 5, 6]  # "##rl ##a" is no first token
    many = content([{"tokens": [*["anna"] * 50, "sun"], "tags": [*["B-PER"] * 50, "O"]}], tokenizer, max_length=8)
    assert [place for place, _ in asked(many, 0)] == [2, 4, 6]


def test_words_of_which_the_tokenizer_makes_nothing_are_unknown_words() -> None:
    row = {"tokens": ["anna", "", "was", " "], "tags": ["B-PER", "I-PER", "O", "O"]}
    found = content([row, {"tokens": [], "tags": []}])
    assert asked(found, 0) == [(1, 0), (3, 1), (4, 2), (5, 2)]
    assert found.truth.tolist() == [1, 0]
    assert asked(found, 1) == []
    assert found.note == (
        "1 of 2 rows have no words; 2 words of which the tokenizer makes nothing are read as '[UNK]'"
    )


@given(
    st.lists(
        st.lists(st.sampled_from(["anna", "carla", "sun", "", "[SEP]", "zzz", "a b"]), max_size=12),
        min_size=1,
        max_size=5,
    )
)
def test_every_word_has_one_place_or_is_cut(words: list[list[str]]) -> None:
    whole, cut = (split(pieces_tokenizer(), words, most) for most in (400, 9))
    for i, row in enumerate(words):
        places, kept = whole.firsts[i], cut.firsts[i][cut.firsts[i] != CUT]
        assert (np.diff(places) > 0).all()
        assert len(places) == len(row)
        assert (places >= 1).all()
        assert kept.tolist() == [place for place in places.tolist() if place < len(cut.tokens[i]) - 1]


# Counting


class Told(nn.Module):
    """Says what it was made to say."""

    def __init__(self, called: torch.Tensor, names: tuple[str, ...] = TAGS) -> None:
        super().__init__()
        self.called = called
        self.config = SimpleNamespace(id2label=dict(enumerate(names)), problem_type=None)

    def forward(self, **inputs: torch.Tensor) -> Any:
        return SimpleNamespace(logits=nn.functional.one_hot(self.called, len(TAGS)).float())


@pytest.mark.parametrize("most", [64, 12])
@given(seed=st.integers(0, 10_000))
def test_what_is_counted_gives_what_seqeval_finds(seed: int, most: int) -> None:
    rows = [*named(12, seed), {**ROW, "text": ""}]
    draw = np.random.default_rng(seed)
    for metric in ("f1", "token-accuracy"):
        settings = TaskSettings.model_validate(
            {"kind": "token-classification", "dataset": "x", "max_length": most}
        )
        kind = TokenClassification(settings.model_copy(update={"metric": metric}), pieces_tokenizer())
        found = kind.read(table_of(rows), TAGS)
        places = np.arange(len(rows))
        batch = Batch(*kind.collate(found.examples, places, found.truth), places)
        called = torch.where(
            torch.from_numpy(draw.random(tuple(batch.targets.shape)) < 0.7) & (batch.targets >= 0),
            batch.targets,
            torch.from_numpy(draw.integers(0, len(TAGS), tuple(batch.targets.shape))),
        )
        counts = kind.predict(Told(called), batch).numpy()
        wanted = [row["tags"] for row in rows]
        seen = [
            [TAGS[tag] for tag in own[want >= 0].tolist()] for own, want in zip(called, batch.targets, strict=True)
        ]
        if metric == "f1":  # what is cut is called O
            told = [[*one, *["O"] * (len(want) - len(one))] for one, want in zip(seen, wanted, strict=True)]
            assert SpanF1().score(found.truth, counts) == pytest.approx(f1_score(wanted, told, zero_division=0))
            assert counts.dtype == np.int64
        else:  # what is cut is wrong
            told = [[*one, *["X"] * (len(want) - len(one))] for one, want in zip(seen, wanted, strict=True)]
            assert TagAccuracy().score(found.truth, counts) == pytest.approx(accuracy_score(wanted, told))


def test_a_batch_without_words_has_no_loss_and_no_spans() -> None:
    settings = TaskSettings.model_validate({"kind": "token-classification", "dataset": "x"})
    kind = kind_of(settings, pieces_tokenizer())
    found = kind.read(table_of([ROW, {"tokens": [], "tags": []}]), TAGS)
    rows = np.array([1])
    batch = Batch(*kind.collate(found.examples, rows, found.truth), rows)
    model = Told(torch.zeros_like(batch.targets))
    assert batch.asked == 0
    assert kind.loss(kind.outputs(model, batch), batch) == 0
    assert kind.predict(model, batch).tolist() == [[0, 0]]


def test_chance_is_no_span_or_the_most_frequent_tag() -> None:
    settings = TaskSettings.model_validate({"kind": "token-classification", "dataset": "x"})
    kind = kind_of(settings, pieces_tokenizer())
    assert (kind.chance(np.ones(3), SpanF1()), kind.chance_is) == (0, "finding no span")
    of_tags = kind_of(settings.model_copy(update={"metric": "token-accuracy"}), pieces_tokenizer())
    found = of_tags.read(table_of([ROW, OTHER]), None)
    assert of_tags.chance(found.truth, TagAccuracy()) == pytest.approx(2 / 6)
    assert of_tags.chance_is == "always the most frequent tag"


def test_what_was_read_comes_back_from_the_cache(tmp_path: Path) -> None:
    settings = TaskSettings.model_validate({"kind": "token-classification", "dataset": "x"})
    kind = kind_of(settings, pieces_tokenizer())
    found: Any = kind.read(table_of(named(20)), None).examples
    found.save(tmp_path)
    again = kind.load(tmp_path)
    assert isinstance(again, Tagged)
    assert np.array_equal(again.tags, found.tags)
    assert np.array_equal(again.tokens.ids, found.tokens.ids)
    assert np.array_equal(again.lengths, found.lengths)


# Tokenizers


def byte_level(add_prefix_space: bool) -> PreTrainedTokenizerFast:
    """One in which a word behind a space is another than one at the beginning, as in RoBERTa and GPT-2."""
    vocabulary = ["<s>", "</s>", "<unk>", *"abĠ", "Ġa", "Ġb", "ab", "Ġab"]
    merges = [("Ġ", "a"), ("Ġ", "b"), ("a", "b"), ("Ġa", "b")]
    made = Tokenizer(models.BPE({piece: i for i, piece in enumerate(vocabulary)}, merges, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="</s>")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("tokenizer", "between"), [(byte_level(False), " "), (byte_level(True), ""), (pieces_tokenizer(), "")]
)
def test_words_have_the_tokens_that_they_have_in_a_text(tokenizer: Any, between: str) -> None:
    assert lead(tokenizer) == between
    text = "ab b ab a"
    read = split(tokenizer, [text.split()], 64)
    assert read.tokens[0].tolist() == tokenizer(text)["input_ids"]
    ids = [tokenizer.convert_ids_to_tokens(int(read.tokens[0][place])) for place in read.firsts[0]]
    assert len(ids) == 4


# What is refused

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"tokens": "anna was"}, "task.words", "row 2 of column 'tokens' is 'anna was'; it must be a list of words"),
    ({"tokens": None}, "task.words", "row 2 of column 'tokens' is empty; it must be a list of words"),
    ({"tokens": ["a", None, "b", "c", "d"]}, "task.words", "has None as item 2; it must be a list of words"),
    ({"tokens": ["a", ["b"], "b", "c", "d"]}, "task.words", "has ['b'] as item 2; it must be a list of words"),
    ({"tags": "O O"}, "task.label", "row 2 of label column 'tags' is 'O O'; it must be a list of tags"),
    ({"tags": ["O"] * 4}, "task.label", "row 2 of label column 'tags' has 4 tags for 5 words; each"),
    ({"tags": ["O", "O", "", "O", "O"]}, "task.label", "row 2 of label column 'tags' has '' as item 3"),
    ({"tags": ["O", "O", 1.5, "O", "O"]}, "task.label", "has 1.5 as item 3; it must be a list of tags, text"),
    ({"tags": ["O", "O", "NN", "O", "O"]}, "task.metric", "task.metric is f1, which counts spans, but a tag is"),
    ({"tags": [0, 0, 0, 0, 0]}, "task.metric", "but a tag is '0'; tags of spans are O, and B-"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field", "said"), BAD)
def test_rows_that_cannot_be_used_are_named(change: dict[str, Any], field: str, said: str) -> None:
    error = refusal([ROW, {**ROW, **change}])
    assert error.field == field
    assert said in str(error)
    assert str(error).startswith("data.jsonl: ")


def test_a_tag_that_training_does_not_have_is_named() -> None:
    error = refusal([ROW, OTHER], classes=("B-PER", "I-PER", "O"))
    assert str(error) == (
        "data.jsonl: row 1 of label column 'tags' has 'B-LOC'; the classes are 'B-PER', 'I-PER', 'O'"
    )


def test_data_without_words_without_spans_or_with_one_tag_are_refused() -> None:
    assert "no row has a word" in str(refusal([{"tokens": [], "tags": []}]))
    assert "has only the class 'B-PER'" in str(refusal([{"tokens": ["a"], "tags": ["B-PER"]}]))
    plain = {"tokens": ["a", "b"], "tags": ["NN", "DT"]}
    assert content([plain], metric="token-accuracy").classes == ("DT", "NN")


def test_a_word_of_nothing_needs_a_token_for_it() -> None:
    tokenizer = byte_level(False)
    tokenizer.unk_token = None
    with pytest.raises(
        InputError, match=r"task\.words: a row has no words, or one of which the model's tokenizer"
    ):
        content([{"tokens": ["", "a"], "tags": ["B-X", "O"]}], tokenizer)


def test_numbers_with_names_are_read_by_their_names(tmp_path: Path) -> None:
    names = datasets.ClassLabel(names=["O", "B-PER", "I-PER"])
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "tags": datasets.List(names)})
    rows = {"tokens": [["anna", "was"], ["in"]], "tags": [[1, 0], [0]]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "data.parquet"))
    table = read_file(str(tmp_path / "data.parquet"), ["tokens", "tags"])
    assert table.columns == {"tokens": [["anna", "was"], ["in"]], "tags": [["B-PER", "O"], ["O"]]}
