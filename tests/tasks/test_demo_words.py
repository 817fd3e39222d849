"""Demo data with tags, and with several labels a text."""

from __future__ import annotations

from collections import Counter

import pytest

from msplora_search.tasks.demo import demo_rows
from msplora_search.tasks.demo.mixtures import TEXTS, mixtures
from msplora_search.tasks.spans import is_span_tag

FEELINGS = ("positive", "neutral", "negative")


def test_a_made_text_has_the_labels_of_its_sentences_and_no_sentence_is_in_two() -> None:
    sentences = [(f"source{i % 2}", FEELINGS[i % 3], f"s{i}") for i in range(2 * TEXTS)]
    rows = mixtures(sentences)
    assert len(rows) == TEXTS
    assert rows == mixtures(sentences)
    known = {text: {source, feeling} - {"neutral"} for source, feeling, text in sentences}
    used = [text for row in rows for text in str(row["text"]).split()]
    assert len(used) == len(set(used))
    for row in rows:
        assert row["labels"] == sorted(set().union(*(known[text] for text in str(row["text"]).split())))
    sizes = Counter(len(str(row["text"]).split()) for row in rows)
    assert set(sizes) == {1, 2}


@pytest.mark.slow
def test_tweets_have_a_tag_a_word() -> None:
    rows = demo_rows("tweets")
    assert len(rows) == 2394
    tags = Counter(tag for row in rows for tag in row["tags"])  # type: ignore[attr-defined]
    assert sum(count for tag, count in tags.items() if tag.startswith("B-")) == 1496
    assert len({tag[2:] for tag in tags} - {""}) == 10
    assert all(is_span_tag(tag) for tag in tags)
    for row in rows:
        words, own, names = row["tokens"], row["tags"], row["names"]
        assert len(words) == len(own) == len(names)  # type: ignore[arg-type]
        assert row["types"] == sorted({tag[2:] for tag in own if tag != "O"})  # type: ignore[attr-defined]
        assert names == [tag[0] for tag in own]  # type: ignore[attr-defined]


@pytest.mark.slow
def test_mixtures_hold_every_label_often() -> None:
    rows = demo_rows("made-mixtures")
    counts = Counter(label for row in rows for label in row["labels"])  # type: ignore[attr-defined]
    assert set(counts) == {"film", "editorial", "positive", "negative"}
    assert min(counts.values()) > len(rows) / 3
