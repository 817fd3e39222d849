"""Each kind of model on real data: what the offline studies train, for a few steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from msplora_search.design.pyramid import Pyramid
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings import load_study
from msplora_search.tasks.demo import demo_rows

pytestmark = pytest.mark.slow


def bench_of(study: str, **proxy: Any) -> Workbench:
    overrides = [f"proxy.{name}={value}" for name, value in {"rungs": "[1.0]", **proxy}.items()]
    return Workbench.load(load_study(study, overrides))


def last_of(bench: Workbench) -> Any:
    (found,) = bench.measure(
        Pyramid.geometric(8, bench.layers, targets=bench.space().targets[0]), bench.settings.proxy.learning_rate
    )
    return found


def test_a_decoder_of_thirty_layers_learns_to_answer() -> None:
    bench = bench_of("offline_instruct", train_examples=80, validation_examples=32)
    every, papers = bench.space().targets
    assert (bench.layers, len(every), papers) == (30, 7, ("q_proj", "v_proj"))
    batch = bench.task.collate(bench.task.validation, np.arange(32))
    with bench.precision.evaluation():
        bare = float(bench.task.loss(bench.backbone.model.eval(), batch))
    assert last_of(bench).metric > -bare


def test_a_deep_encoder_learns_sentiment() -> None:
    bench = bench_of("offline_newspaper", train_examples=320, validation_examples=160, epochs=1)
    assert (bench.layers, bench.space().targets) == (12, (("q", "v"),))
    assert bench.task.classes == ("negative", "neutral", "positive")
    assert last_of(bench).loss < np.log(3)


def test_a_vision_transformer_trained_on_one_set_of_digits_reads_another() -> None:
    bench = bench_of("offline_images", epochs=3)
    assert (bench.layers, bench.space().targets) == (6, (("q_proj", "v_proj"),))
    assert last_of(bench).metric > 0.7


def test_pairs_are_a_question_and_its_passage() -> None:
    bench = bench_of("offline_pairs", train_examples=64, validation_examples=64, epochs=1)
    assert bench.task.classes == ("no", "yes")
    assert "texts are cut to 96 tokens" in bench.task.note
    assert last_of(bench).loss > 0


def rows_of(name: str) -> list[dict[str, Any]]:
    """Demo rows whose cells may be of any form."""
    return [dict(row) for row in demo_rows(name)]


def test_demo_data_are_what_is_described() -> None:
    counts = {"newspaper": 5190, "boolq": 12_697, "word-problems": 2305, "made-preferences": 2305, "mnist": 5000}
    counts |= {"commonsense": 1215, "social": 1954, "disfluent": 1000, "made-notices": 4000}
    for name, count in counts.items():
        assert len(demo_rows(name)) == count
    problem = demo_rows("word-problems")[0]
    assert set(problem) == {"passage", "question", "answer"}
    made = demo_rows("made-preferences")
    assert made[0] == {**made[0], "chosen": "9 apples", "rejected": "12 dollars"}
    assert not [row for row in made if row["chosen"] == row["rejected"]]
    assert {str(row["label"]) for row in demo_rows("boolq")} == {"yes", "no"}
    assert {len(list(row["choices"])) for row in rows_of("social")} == {3}
    assert rows_of("commonsense")[0]["choices"][0] == "bank"
    assert sum(not row["answers"]["text"] for row in rows_of("disfluent")) == 245
    for row in [*rows_of("disfluent"), *rows_of("made-notices")]:
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert row["context"][start : start + len(text)] == text
    image = demo_rows("mnist")[0]["image"]
    assert isinstance(image, np.ndarray)
    assert image.shape == (28, 28)
