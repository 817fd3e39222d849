"""Further forms as they are asked for, proven, told of, and left out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from msplora_search.errors import InputError
from msplora_search.full.cards.code import Usage
from msplora_search.full.delivery import train_and_deliver
from msplora_search.full.forms.form import Passage, Source
from msplora_search.settings.document import dump
from msplora_search.settings.recipe import Recipe
from tests.full.test_card import causal, classification, recipe_of
from tests.program import call

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


@dataclass(frozen=True)
class Shifted:
    """A form that is no longer the model."""

    by: float
    name: str = "shifted"

    def require(self, recipe: Recipe) -> None:
        pass

    def write(self, source: Source, folder: Path) -> Tensor:
        folder.mkdir()
        (folder / "model.bin").write_bytes(b"model")
        return source.logits(source.model) + self.by

    def told(self, usage: Usage) -> Passage:
        return Passage("`shifted/` is this:", "print('shifted')")


def test_a_form_of_other_logits_is_not_put_in_its_place(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, classification(tmp_path))
    with pytest.raises(InputError, match=r"the shifted model differs from the trained one by 1.0e-02"):
        train_and_deliver(recipe, tmp_path / "out", further=[Shifted(0.01)])
    assert not (tmp_path / "out" / "model").exists()
    done = train_and_deliver(recipe, tmp_path / "out", further=[Shifted(1e-6)])
    assert done is not None
    assert 5e-7 < done.apart < 5e-6
    assert (done.folder / "shifted" / "model.bin").is_file()
    assert "`shifted/` is this:\n\n```python\nprint('shifted')\n```" in (done.folder / "README.md").read_text()


def test_a_form_that_was_not_asked_for_before_is_made(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, classification(tmp_path))
    assert train_and_deliver(recipe, tmp_path / "out") is not None
    assert not (tmp_path / "out" / "model" / "shifted").exists()
    first = train_and_deliver(recipe, tmp_path / "out", further=[Shifted(0.0)])
    assert (tmp_path / "out" / "model" / "shifted").is_dir()
    stamp = (tmp_path / "out" / "model" / "README.md").stat().st_mtime_ns
    assert train_and_deliver(recipe, tmp_path / "out", further=[Shifted(0.0)]) == first
    assert (tmp_path / "out" / "model" / "README.md").stat().st_mtime_ns == stamp


def card_of(folder: Path, task_of: Any, **changes: Any) -> str:
    recipe = recipe_of(folder, task_of(folder), **changes)
    done = train_and_deliver(recipe, folder / "out")
    assert done is not None
    return (done.folder / "README.md").read_text()


def test_the_card_of_a_language_model_says_how_vllm_serves_it_and_no_other(tmp_path: Path) -> None:
    card = card_of(tmp_path / "a", causal)
    command = "vllm serve model --enable-lora --max-lora-rank 8 --lora-modules adapter=peft"
    assert f"\n```sh\n{command}\n```\n" in card
    assert "vllm" not in card_of(tmp_path / "b", classification).lower()


@pytest.mark.slow
def test_the_command_writes_and_tells_of_all_forms(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, causal(tmp_path))
    (tmp_path / "recipe.yaml").write_text(dump(recipe.model_dump(mode="json", exclude_none=True)))
    words = ("train", "recipe.yaml", "--output", "out", "--merge", "--gguf", "--onnx")
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "(pyramid/, peft/, merged/, gguf/, onnx/, README.md)" in done.stdout
    folder = tmp_path / "out" / "model"
    assert {path.name for path in (folder / "gguf").iterdir()} == {"adapter.gguf"}
    assert {"model.onnx", "config.json", "tokenizer.json"} <= {path.name for path in (folder / "onnx").iterdir()}
    card = (folder / "README.md").read_text()
    assert "llama-server --model base.gguf --lora gguf/adapter.gguf" in card
    assert "onnxruntime.InferenceSession" in card
    files = [path for path in folder.rglob("*") if path.is_file()]
    own = (str(tmp_path), str(Path(__file__).parents[3]))
    assert [p.name for p in files if any(word.encode() in p.read_bytes() for word in own)] == []
    again = call(*words, "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["apart"] <= 1e-4


def test_the_command_refuses_a_form_in_one_line_before_training(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, classification(tmp_path))
    (tmp_path / "recipe.yaml").write_text(dump(recipe.model_dump(mode="json", exclude_none=True)))
    done = call("train", "recipe.yaml", "--output", "out", "--gguf", cwd=tmp_path)
    assert done.returncode == 2
    assert "--gguf: llama.cpp takes adapters of language models" in done.stderr
    assert not (tmp_path / "out").exists()
