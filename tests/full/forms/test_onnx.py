"""The ONNX form: run by onnxruntime, by the code of the card, on other sizes than it was traced with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from msplora_search import load_pyramid
from msplora_search.errors import InputError
from msplora_search.full.delivery import train_and_deliver
from msplora_search.full.forms.onnx_model import OnnxModel, Session, export
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.full_parts import prepare_full
from msplora_search.tasks.processors import load_processor
from tests.full.test_card import (
    MOST_APART,
    ROWS,
    causal,
    classification,
    decoder,
    first_texts,
    pairs,
    pictures,
    recipe_of,
    regression,
    seq2seq,
)

DRIVER = """
import json, re, sys
import numpy as np

blocks = re.findall(r"^```python\\n(.*?)^```$", open("README.md").read(), re.S | re.M)
block = next(block for block in blocks if "onnx" in block)
for line, value in json.load(open("given.json")).items():
    assert line in block, line
    block = block.replace(line, value)
found = {}
assert "torch" not in block
exec(block, found)
assert "peft" not in sys.modules
np.savez("found.npz", **{name: found[name] for name in ("scores", "generated") if name in found})
"""


def stranger(folder: Path, given: dict[str, str]) -> Any:
    """What the card's code for onnxruntime finds where nothing else lies."""
    place = folder / "elsewhere"
    place.mkdir()
    shutil.copytree(folder / "out" / "model" / "onnx", place / "onnx")
    shutil.copy(folder / "out" / "model" / "README.md", place)
    (place / "given.json").write_text(json.dumps(given))
    (place / "driver.py").write_text(DRIVER)
    done = subprocess.run(
        [sys.executable, "-I", "driver.py"], cwd=place, capture_output=True, text=True, check=False,
        env={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.load(place / "found.npz")


def tied_model(folder: Path, recipe: Any) -> Any:
    model = load_backbone(recipe, load_processor(recipe), recipe.classes, seed=5).model
    load_pyramid(model, folder / "out" / "model" / "pyramid")
    return model.eval()


@pytest.mark.parametrize(
    "task_of",
    [classification, *(pytest.param(f, marks=pytest.mark.slow) for f in (pairs, decoder, regression, pictures))],
)
def test_onnxruntime_scores_as_the_trained_model(tmp_path: Path, task_of: Any) -> None:
    recipe = recipe_of(tmp_path, task_of(tmp_path))
    done = train_and_deliver(recipe, tmp_path / "out", further=[OnnxModel()])
    assert done is not None
    assert done.apart < 1e-5
    if task_of is pictures:
        paths = [str(tmp_path / "images" / f"{i}.png") for i in range(ROWS)]
        given = {'images = [Image.new("RGB", (64, 64), "white")]': f"images = [Image.open(p) for p in {paths!r}]"}
    else:
        given = first_texts(tmp_path, recipe)
    scores = stranger(tmp_path, given)["scores"]
    task = prepare_full(recipe.task, recipe.classes, 0.1, load_processor(recipe)).task
    corpus = task.train.corpus
    inputs, _ = task.kind.collate(corpus.examples, np.arange(ROWS), np.array(corpus.truth[:ROWS]))
    with torch.inference_mode():
        tied = tied_model(tmp_path, recipe)(**inputs).logits.numpy()
    assert tied.std() > 100 * MOST_APART
    assert np.abs(scores - tied).max() <= MOST_APART


@pytest.mark.slow
def test_onnxruntime_answers_as_the_trained_decoder(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, causal(tmp_path))
    done = train_and_deliver(recipe, tmp_path / "out", further=[OnnxModel()])
    assert done is not None
    row = json.loads((tmp_path / "data.jsonl").read_text().splitlines()[0])
    found = stranger(tmp_path, {'"some prompt"': repr(row["prompt"])})["generated"]
    examples: Any = prepare_full(recipe.task, (), 0.1, load_processor(recipe)).task.train.corpus.examples
    ids = torch.from_numpy(examples.tokens[0][: examples.starts[0]].astype(np.int64))[None]
    with torch.inference_mode():
        generated = tied_model(tmp_path, recipe).generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=64, do_sample=False
        )
    assert found.tolist() == generated.tolist()


def padded(rows: int, tokens: int) -> dict[str, Tensor]:
    """Texts of falling lengths."""
    ids = torch.randint(3, 15, (rows, tokens), generator=torch.Generator().manual_seed(rows * tokens))
    mask = (torch.arange(tokens) < (tokens - torch.arange(rows)).clamp_min(1)[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


@pytest.mark.slow
@pytest.mark.parametrize("task_of", [classification, causal])
def test_numbers_of_examples_and_tokens_are_free(tmp_path: Path, task_of: Any) -> None:
    recipe = recipe_of(tmp_path, task_of(tmp_path))
    model = load_backbone(recipe, load_processor(recipe), recipe.classes).model.eval()
    export(model, padded(1, 6), tmp_path / "model.onnx")
    session = Session(tmp_path / "model.onnx")
    for rows, tokens in ((1, 1), (1, 9), (2, 6), (5, 3), (7, 16)):
        inputs = padded(rows, tokens)
        with torch.no_grad():
            wanted = model(**inputs).logits
        assert (session(**inputs).logits - wanted).abs().max() <= 1e-5 * max(1.0, float(wanted.abs().max()))


def test_what_has_no_onnx_form_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form = OnnxModel()
    recipe = recipe_of(tmp_path / "a", classification(tmp_path / "a"))
    form.require(recipe)
    with pytest.raises(InputError, match=r"--onnx: models of text-classification.*task.kind is seq2seq-lm"):
        form.require(recipe_of(tmp_path / "b", seq2seq(tmp_path / "b")))
    held = recipe.backbone.model_copy(update={"quantization": "nf4"})
    with pytest.raises(InputError, match=r"--onnx: nf4 weights cannot be merged"):
        form.require(recipe.model_copy(update={"backbone": held}))
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"onnxscript is not installed; pip install \"msplora-search\[onnx\]"):
        form.require(recipe)


def test_a_model_that_cannot_be_traced_is_told_of_in_one_line(tmp_path: Path) -> None:
    class Jumping(torch.nn.Module):
        def forward(self, input_ids: Tensor) -> Any:
            return input_ids if int(input_ids.sum()) > 3 else -input_ids

    with pytest.raises(InputError, match=r"^--onnx: Jumping cannot be written as ONNX: .+; leave it out$"):
        export(Jumping(), {"input_ids": torch.ones(2, 4).long()}, tmp_path / "model.onnx")
