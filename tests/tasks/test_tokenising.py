from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from msplora_search.errors import InputError
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.tokenising import separator, tokenise
from msplora_search.tasks.tokens import vocabulary_of
from tests.small import tokenizer
from tests.tasks.models import study_of, word_tokenizer


def bytes_tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """Bytes as tokens, nothing around a text: as GPT-2's and Qwen's, without their merges."""
    alphabet = sorted(ByteLevel.alphabet())
    made = Tokenizer(BPE(vocab={sign: i for i, sign in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made, **special)  # type: ignore[no-untyped-call]


PAIR = [["a total waste"], ["q0"]]


def decoded(tokens: Any, made: Any) -> str:
    return str(made.decode(tokens[0]))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (bytes_tokenizer(eos_token="<end>"), "a total waste\nq0"),
        (bytes_tokenizer(), "a total waste\nq0"),
        (bytes_tokenizer(sep_token="<sep>"), "a total waste<sep>q0"),
        (word_tokenizer(), "<unk> <unk> <unk> </s> <unk>"),
        (tokenizer(), "[CLS] a [UNK] [UNK] [SEP] [UNK] [SEP]"),
    ],
    ids=["newline", "no special token", "separating token", "end of text", "its own"],
)
def test_something_always_stands_between_two_texts(made: Any, said: str) -> None:
    tokens, cut = tokenise(made, PAIR, 64, "d.csv")
    assert (decoded(tokens, made), cut) == (said, 0)


def test_what_the_tokenizer_puts_between_two_texts_is_left_alone() -> None:
    assert separator(tokenizer()).ids == ()
    tokens, _ = tokenise(tokenizer(), PAIR, 64, "d.csv")
    assert list(tokens[0]) == tokenizer()("a total waste", "q0")["input_ids"]


@pytest.mark.parametrize("texts", [("a" * 50, "b" * 50), ("a" * 50, "b"), ("a", "b" * 50), ("", "b"), ("a", "")])
def test_pairs_that_are_cut_keep_their_separator_and_their_length(texts: tuple[str, str]) -> None:
    tokens, cut = tokenise(bytes_tokenizer(), [[texts[0]], [texts[1]]], 16, "d.csv")
    said = decoded(tokens, bytes_tokenizer())
    assert said.count("\n") == 1
    assert said.replace("\n", "").startswith(texts[0][:5])
    assert (len(tokens[0]) == 16) == bool(cut) == (sum(map(len, texts)) > 15)


def test_a_tokenizer_without_anything_to_put_between_is_refused() -> None:
    made = word_tokenizer()
    made.eos_token = None
    with pytest.raises(InputError, match="has nothing to put between two texts"):
        separator(made)


def test_the_separator_is_told(tmp_path: Path) -> None:
    task = {"kind": "text-classification", "dataset": "none.csv", "text": ["a", "b"]}
    settings = study_of(tmp_path, task)
    table = Table({"a": ["x", ""], "b": ["y", "z"], "label": ["0", "1"]}, "d.csv")
    note = kind_of(settings.task, bytes_tokenizer()).read(table, None).note
    assert r"'\n' stands between the two texts, for the tokenizer puts nothing there" in note
    assert "1 of 2 rows have an empty text" in note
    assert "stands between" not in kind_of(settings.task, tokenizer()).read(table, None).note
    table.columns["b"][:] = ["", " "]
    with pytest.raises(InputError, match=r"d.csv: column 'b' is empty everywhere; it must hold texts"):
        kind_of(settings.task, tokenizer()).read(table, None)


LONG = "the film was very good and " * 20_000
"""540,000 characters."""


@pytest.mark.parametrize("side", ["right", "left"])
def test_of_a_long_text_no_more_is_tokenised_than_matters(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tokenizer()
    made.truncation_side = side
    expected = [made(one, truncation=True, max_length=32)["input_ids"] for one in (LONG, "a good film")]
    seen: list[int] = []
    encode = PreTrainedTokenizerFast._encode_plus

    def watched(self: Any, text: Any, *arguments: Any, **options: Any) -> Any:
        seen.extend(len(one) for one in (text if isinstance(text, list) else [text]))
        return encode(self, text, *arguments, **options)

    monkeypatch.setattr(PreTrainedTokenizerFast, "_encode_plus", watched)
    tokens, cut = tokenise(made, [[LONG, "a good film"]], 32, "d.csv")
    assert [list(tokens[i]) for i in range(2)] == expected
    assert (cut, max(seen)) == (1, 100_000)


def test_a_long_text_that_is_none_is_refused_with_its_row() -> None:
    with pytest.raises(
        InputError, match=r"d.csv: row 2 has a text of 300,000 characters, and 100,000 of them make few"
    ):
        tokenise(tokenizer(), [["good", "x" * 300_000]], 32, "d.csv")


def test_rows_are_tokenised_in_portions_with_the_same_result() -> None:
    texts = [f"good film {'was ' * (i % 7)}" for i in range(2_500)]
    tokens, _ = tokenise(tokenizer(), [texts], 32, "d.csv")
    assert np.array_equal(tokens[2_499], tokenizer()(texts[2_499])["input_ids"])
    assert len(tokens) == 2_500
    types = tokenise(tokenizer(), [texts, texts], 32, "d.csv")[0].types
    assert types is not None
    assert types.sum() > 0


def test_a_tokenizer_that_was_used_is_the_same_tokenizer() -> None:
    used = tokenizer()
    before = vocabulary_of(used)
    used(["good film"], truncation=True, max_length=8, padding="max_length")
    assert vocabulary_of(used) == before
    assert vocabulary_of(word_tokenizer()) != before
