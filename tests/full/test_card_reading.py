"""The card's own code for models that choose, and that find answers, in an empty folder."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from msplora_search import load_pyramid
from msplora_search.full.delivery import train_and_deliver
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.full_parts import prepare_full
from msplora_search.tasks.kind import Settles
from msplora_search.tasks.parts import Batch
from msplora_search.tasks.processors import load_processor
from tests.full.test_card import MOST_APART, recipe_of, strangers
from tests.small import write_jsonl
from tests.tasks.reading_models import answering, choosing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]


def choosing_by_two(folder: Path) -> dict[str, Any]:
    task = choosing(folder)
    rows = [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()]
    write_jsonl(folder / "data.jsonl", [{**row, "passage": "a plot"} for row in rows])
    return {**task, "text": ["passage", "question"]}


def delivered(folder: Path, task: dict[str, Any], **changes: Any) -> Recipe:
    recipe = recipe_of(folder, task, **changes)
    assert train_and_deliver(recipe, folder / "out", with_merged=True) is not None
    config = json.loads((folder / "out" / "model" / "peft" / "adapter_config.json").read_text())
    assert config["task_type"] is None
    return recipe


def tied(folder: Path, recipe: Recipe, row: int) -> tuple[torch.Tensor, np.ndarray]:
    """What the trained model scores for a row, and what is made of it."""
    processor = load_processor(recipe)
    model = load_backbone(recipe, processor, recipe.classes, seed=5).model
    load_pyramid(model, folder / "out" / "model" / "pyramid")
    task = prepare_full(recipe.task, recipe.classes, 0.1, processor).task
    corpus, rows = task.train.corpus, np.array([row])
    batch = Batch(*task.kind.collate(corpus.examples, rows, np.array(corpus.truth[rows])), rows)
    with torch.inference_mode():
        outputs = task.kind.outputs(model.eval(), batch)
        predicted = task.kind.predict(model, batch).numpy()
    if isinstance(task.kind, Settles):
        assert task.kind.settled(corpus.examples, rows, predicted).shape == (1,)
    return outputs, predicted[0]


@pytest.mark.parametrize("task_of", [choosing, choosing_by_two])
def test_the_code_of_the_card_chooses_as_the_trained_model(tmp_path: Path, task_of: Any) -> None:
    recipe = delivered(tmp_path, task_of(tmp_path))
    row = json.loads((tmp_path / "data.jsonl").read_text().splitlines()[0])
    given = {'choices = ["one choice", "another"]': f"choices = {row['choices']!r}"}
    for name, column in zip(("text", "further"), recipe.task.text or (), strict=False):
        given[f"{name} = 'some {column}'"] = f"{name} = {row[column]!r}"
    scores, _ = tied(tmp_path, recipe, 0)
    assert scores.std() > 100 * MOST_APART
    for found in strangers(tmp_path, given):
        assert found["scores"].shape == (1, len(row["choices"]))
        assert (found["scores"][0] - scores).abs().max() <= MOST_APART


def all_answered(folder: Path) -> dict[str, Any]:
    """The answered questions alone."""
    task = answering(folder, 400)
    rows = [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()]
    write_jsonl(folder / "data.jsonl", [row for row in rows if row["answers"]["text"]])
    return task


def some_answered(folder: Path) -> dict[str, Any]:
    return answering(folder, 300)


@pytest.mark.parametrize("task_of", [some_answered, all_answered])
def test_the_code_of_the_card_finds_the_answers_of_the_trained_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], task_of: Any
) -> None:
    # Few steps leave a model that would often say that there is no answer.
    training = {"epochs": 10 if task_of is some_answered else 1, "batch_size": 16, "learning_rate": 1e-2}
    recipe = delivered(tmp_path, task_of(tmp_path), training=training)
    rows = [json.loads(line) for line in (tmp_path / "data.jsonl").read_text().splitlines()]
    card = (tmp_path / "out" / "model" / "README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    shutil.copytree(tmp_path / "model", tmp_path / "out" / "model" / "model")
    monkeypatch.chdir(tmp_path / "out" / "model")
    answered, several = 0, 0
    for row in range(6):
        scores, (start, end) = tied(tmp_path, recipe, row)
        wanted = rows[row]["context"][start:end] if start >= 0 else "no answer"
        for block in blocks:
            code = block.replace("'some question'", repr(rows[row]["question"]))
            code = code.replace("'some context'", repr(rows[row]["context"]))
            found: dict[str, Any] = {}
            capsys.readouterr()
            exec(code, found)
            assert capsys.readouterr().out.strip() == wanted
            real = found["inputs"]["attention_mask"].bool()
            assert (found["scores"][real] - scores).abs().max() <= MOST_APART * max(1.0, float(scores.abs().max()))
        answered, several = answered + (start >= 0), several + (len(real) > 1)
    assert answered if task_of is some_answered else answered == 6
    assert several
