"""Tags of words, and several labels a text, from `validate` to what stock libraries load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities
from sklearn.metrics import f1_score as f1_of_labels
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

from msplora_search import load_pyramid
from msplora_search.full.delivery import train_and_deliver
from msplora_search.full.forms.onnx_model import OnnxModel
from msplora_search.settings.document import dump
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.full_parts import prepare_full
from msplora_search.tasks.processors import load_processor
from tests.full.forms.test_onnx import stranger
from tests.full.test_card import MOST_APART, ROWS, recipe_of, strangers
from tests.program import call
from tests.small import write_jsonl
from tests.tasks.models import study_of
from tests.tasks.tagged import TAGS, named, save_encoder

TRAINING = {"epochs": 6, "batch_size": 16, "learning_rate": 1e-2}
SEEN = [tag for tag in TAGS if tag != "I-PER"]
FLAGS = ["loc", "per"]


def tags(folder: Path) -> dict[str, Any]:
    return {"kind": "token-classification", "max_length": 24}


def labels(folder: Path) -> dict[str, Any]:
    return {"kind": "multi-label", "labels": FLAGS, "metric": "macro-f1", "max_length": 24}


def write_study(folder: Path, task: dict[str, Any]) -> Path:
    """A study on sentences with names, with a test part of its own."""
    save_encoder(folder / "model")
    data = str(write_jsonl(folder / "data.jsonl", named(300)))
    test = str(write_jsonl(folder / "test.jsonl", named(60, seed=1)))
    task = {**task, "dataset": {"path": data, "test": test}}
    settings = study_of(folder, task, training=TRAINING, proxy={"learning_rate": 1e-2})
    study = folder / "study.yaml"
    study.write_text(dump(settings.model_dump(mode="json", exclude_none=True)))
    return study


def tagged(merged: Path, rows: list[dict[str, Any]]) -> float:
    """The f1 of spans of a whole model, by transformers and seqeval alone."""
    model = AutoModelForTokenClassification.from_pretrained(merged).eval()
    tokenizer = AutoTokenizer.from_pretrained(merged)
    found = []
    for row in rows:
        inputs = tokenizer(
            row["tokens"], is_split_into_words=True, return_tensors="pt", truncation=True, max_length=24
        )
        with torch.inference_mode():
            best = model(**inputs).logits[0].argmax(dim=-1).tolist()
        places = inputs.word_ids(0)
        firsts = [places.index(word) for word in range(len(row["tokens"])) if word in places]
        own = [model.config.id2label[best[place]] for place in firsts]
        found.append([*own, *["O"] * (len(row["tokens"]) - len(own))])
    return float(f1_score([row["tags"] for row in rows], found))


def labelled(merged: Path, rows: list[dict[str, Any]]) -> float:
    """The macro f1 of a whole model, by transformers and scikit-learn alone."""
    model = AutoModelForSequenceClassification.from_pretrained(merged).eval()
    assert model.config.problem_type == "multi_label_classification"
    tokenizer = AutoTokenizer.from_pretrained(merged)
    texts = [row["text"] for row in rows]
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")
    with torch.inference_mode():
        called = model(**inputs).logits.sigmoid() > 0.5
    truth = np.array([[row[name] for name in FLAGS] for row in rows])
    return float(f1_of_labels(truth, called.numpy(), average="macro"))


@pytest.mark.parametrize(
    ("task_of", "by_others", "peft_type"), [(tags, tagged, "TOKEN_CLS"), (labels, labelled, "SEQ_CLS")]
)
def test_a_study_goes_from_its_file_to_a_model_that_others_load(
    tmp_path: Path, task_of: Any, by_others: Any, peft_type: str
) -> None:
    study = write_study(tmp_path, task_of(tmp_path))

    def ran(*words: object) -> str:
        done = call(*words, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr + done.stdout
        return done.stdout

    metric = "macro-f1" if task_of is labels else "f1"
    assert "300 rows are read" in ran("validate", study)
    assert f" {metric} " in ran("run", study, "--output", "out").split("Front of small")[1].splitlines()[1]
    report = (tmp_path / "out" / "report" / "report.md").read_text()
    shutil.rmtree(tmp_path / "out" / "report")
    ran("report", "out")
    assert (tmp_path / "out" / "report" / "report.md").read_text() == report
    front = json.loads((tmp_path / "out" / "report" / "front.json").read_text())
    assert front["metric"] == metric
    assert all(0 < point["metric_se"] < 0.2 for point in front["front"])
    ran("export", "out", "--pick", "best", "--to", "recipe")
    ran("train", "recipe", "--output", "trained", "--merge")
    model = tmp_path / "trained" / "model"
    done = json.loads((model / "results.json").read_text())
    assert done["metric"] > 0.7
    assert done["interval"][0] < done["metric"] < done["interval"][1]
    assert done["metric"] == pytest.approx(by_others(model / "merged", named(60, seed=1)), abs=1e-6)
    assert json.loads((model / "peft" / "adapter_config.json").read_text())["task_type"] == peft_type
    assert metric in ran("confirm", "out", "--seeds", 1)


def test_a_stock_pipeline_finds_the_names(tmp_path: Path) -> None:
    save_encoder(tmp_path / "model")
    data = str(write_jsonl(tmp_path / "data.jsonl", named(300)))
    task = {"kind": "token-classification", "dataset": data, "max_length": 24}
    recipe = recipe_of(tmp_path, task, classes=SEEN, training={**TRAINING, "epochs": 10})
    assert train_and_deliver(recipe, tmp_path / "out", with_merged=True) is not None
    merged = str(tmp_path / "out" / "model" / "merged")
    find = pipeline("token-classification", model=merged, tokenizer=merged, aggregation_strategy="first")
    rows, right = named(60, seed=2), 0
    for row, found in zip(rows, find([row["text"] for row in rows]), strict=True):
        own = [(one["entity_group"], row["text"][one["start"] : one["end"]]) for one in found]
        spans = [
            (kind, " ".join(row["tokens"][first : last + 1])) for kind, first, last in get_entities(row["tags"])
        ]
        right += own == spans
    assert right > 40


def delivered(folder: Path, task_of: Any, **named_: Any) -> tuple[Any, dict[str, str]]:
    """A recipe of 100 sentences, delivered, and lines of its card's code with ones that take the first of them."""
    save_encoder(folder / "model")
    rows = named(100)
    data = str(write_jsonl(folder / "data.jsonl", rows))
    classes = SEEN if task_of is tags else FLAGS
    recipe = recipe_of(folder, {**task_of(folder), "dataset": data}, classes=classes)
    done = train_and_deliver(recipe, folder / "out", **named_)
    assert done is not None
    assert done.apart < 1e-5
    if task_of is tags:
        return recipe, {'[["some", "words"]]': repr([row["tokens"] for row in rows[:ROWS]])}
    return recipe, {"texts = ['some text']": f"texts = {[row['text'] for row in rows[:ROWS]]!r}"}


def tied_scores(folder: Path, recipe: Any) -> torch.Tensor:
    """What the trained model gives for these sentences."""
    processor = load_processor(recipe)
    model = load_backbone(recipe, processor, recipe.classes, seed=5).model
    load_pyramid(model, folder / "out" / "model" / "pyramid")
    task = prepare_full(recipe.task, recipe.classes, 0.1, processor).task
    corpus = task.train.corpus
    inputs, _ = task.kind.collate(corpus.examples, np.arange(ROWS), np.array(corpus.truth[:ROWS]))
    with torch.inference_mode():
        tied: torch.Tensor = model.eval()(**inputs).logits
    assert tied.shape[-1] == len(recipe.classes)
    assert tied.std() > 100 * MOST_APART
    return tied


@pytest.mark.slow
@pytest.mark.parametrize("task_of", [tags, labels])
def test_the_code_of_the_card_scores_as_the_trained_model(tmp_path: Path, task_of: Any) -> None:
    recipe, given = delivered(tmp_path, task_of, with_merged=True)
    tied = tied_scores(tmp_path, recipe)
    for one in strangers(tmp_path, given):
        assert (one["scores"] - tied).abs().max() <= MOST_APART


@pytest.mark.slow
@pytest.mark.parametrize("task_of", [tags, labels])
def test_onnxruntime_scores_as_the_trained_model(tmp_path: Path, task_of: Any) -> None:
    recipe, given = delivered(tmp_path, task_of, further=[OnnxModel()])
    found = stranger(tmp_path, given)["scores"]
    assert np.abs(found - tied_scores(tmp_path, recipe).numpy()).max() <= MOST_APART
