from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.proxy.workbench import Workbench
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.task import prepare
from tests.small import BAD, GOOD, save_model, sentences, write_jsonl
from tests.tasks.models import study_of


def rated(count: int) -> list[dict[str, Any]]:
    """Sentences with the number of good words less that of bad ones."""
    rows = sentences(count)
    for row in rows:
        words = row["text"].split()
        row["label"] = sum(w in GOOD for w in words) - sum(w in BAD for w in words) + 0.5
    return rows


def study(folder: Path, metric: str = "pearson", rows: list[dict[str, Any]] | None = None) -> Any:
    save_model(folder / "model")
    data = write_jsonl(folder / "data.jsonl", rows or rated(400))
    return study_of(folder, {"kind": "text-regression", "dataset": str(data), "metric": metric})


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_numbers_are_learned(tmp_path: Path, metric: str) -> None:
    bench = Workbench.load(study(tmp_path, metric))
    assert bench.task.chance == 0.0
    assert [tuple(p.shape) for p in bench.backbone.head] == [(1, 32), (1,)]
    (_, last) = bench.measure(Pyramid.lora(4, bench.layers, bench.space().targets[0]), 2e-2)
    assert last.metric > 0.5
    assert 0 < last.metric_se < 0.3
    truth = bench.task.validation.truth
    assert np.corrcoef(truth, last.predictions)[0, 1] == pytest.approx(last.metric, abs=0.2)
    assert last.influence.mean() == pytest.approx(0, abs=1e-9)


def test_large_numbers_are_learned_as_small_ones_are(tmp_path: Path) -> None:
    rows = rated(400)
    small = Workbench.load(study(tmp_path, rows=rows))
    pyramid = Pyramid.lora(4, small.layers, small.space().targets[0])
    expected = list(small.measure(pyramid, 2e-2))[-1].metric
    for row in rows:
        row["label"] = 2000 + 7 * row["label"]
    large = list(Workbench.load(study(tmp_path, rows=rows)).measure(pyramid, 2e-2))[-1]
    assert large.metric == pytest.approx(expected, abs=1e-3)
    assert abs(large.predictions.mean() - 2000) < 20


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("much", "row 3 of label column 'label' is 'much'; it must be a number"),
        (None, "row 3 .* is nan|row 3 .* is None"),
    ],
)
def test_what_is_no_number_is_named(tmp_path: Path, cell: Any, said: str) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "a good film", "label": str(i) if cell == "much" else i} for i in range(30)
    ]
    rows[2]["label"] = cell
    settings = study(tmp_path, rows=rows)
    with pytest.raises(InputError, match=said):
        prepare(settings, load_processor(settings))


def test_a_constant_is_refused(tmp_path: Path) -> None:
    settings = study(tmp_path, rows=[{"text": "a good film", "label": 2}] * 30)
    with pytest.raises(InputError, match="label column 'label' is 2 everywhere"):
        prepare(settings, load_processor(settings))
