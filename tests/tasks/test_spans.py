"""Spans are those of seqeval, in its default mode, for every sequence of tags."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities

from msplora_search.tasks.metrics import Values
from msplora_search.tasks.spans import Tags, is_span_tag
from msplora_search.tasks.tallies import SpanF1

TYPES = ("PER", "LOC", "geo-loc", "-", "_", "")
NAMES = ("O", *"BIES", *(f"{letter}-{kind}" for letter in "BIES" for kind in TYPES))
KNOWN = Tags.of(NAMES)
PAIRS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=9)
ALIKE = st.lists(st.sampled_from((*NAMES[:7], "E-PER", "I-PER")).map(lambda tag: (tag, tag)), max_size=9)
SENTENCES = st.lists(PAIRS | ALIKE, min_size=1, max_size=6)


def flat(sentences: list[list[str]]) -> tuple[Values, Values]:
    """Tags as indices, and of which sentence each is."""
    tags = [NAMES.index(tag) for sentence in sentences for tag in sentence]
    return np.array(tags, dtype=np.int64), np.repeat(np.arange(len(sentences)), [len(s) for s in sentences])


@given(sentences=SENTENCES)
def test_spans_are_where_seqeval_finds_them(sentences: list[list[tuple[str, str]]]) -> None:
    for sentence in sentences:
        tags = [tag for tag, _ in sentence]
        spans = KNOWN.spans(*flat([tags]))
        named = [(first, last) for _, first, last in get_entities(tags)]
        assert [(first, last) for first, last, _ in spans.tolist()] == named
        kinds = [kind for kind, _, _ in get_entities(tags)]
        same = [[a == b for b in kinds] for a in kinds]
        assert (spans[:, 2][:, None] == spans[:, 2][None, :]).tolist() == same


@given(sentences=SENTENCES)
def test_the_f1_of_counted_spans_is_seqevals(sentences: list[list[tuple[str, str]]]) -> None:
    true = [[tag for tag, _ in sentence] for sentence in sentences]
    called = [[tag for _, tag in sentence] for sentence in sentences]
    (wanted, of), (found, _) = flat(true), flat(called)
    counts = KNOWN.found(wanted, found, of, len(sentences))
    each = np.array([len(get_entities(tags)) for tags in true], dtype=np.float64)
    assert counts[:, 1].tolist() == [len(get_entities(tags)) for tags in called]
    assert SpanF1().score(each, counts) == pytest.approx(f1_score(true, called, zero_division=0))


@pytest.mark.parametrize("name", NAMES)
def test_these_are_tags_of_spans(name: str) -> None:
    assert is_span_tag(name)


@pytest.mark.parametrize("name", ["NN", "0", "o", "L-PER", "U-PER", "O-PER", "PER-B", "BPER", "b-per", "", "-PER"])
def test_these_are_none(name: str) -> None:
    assert not is_span_tag(name)
