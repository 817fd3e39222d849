"""An embedding model as it is delivered: by sentence-transformers, by PEFT, and by the code of its card."""

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
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from msplora_search import load_pyramid
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.full.checks import check_study
from msplora_search.full.delivery import train_and_deliver
from msplora_search.full.sentence_files import write_sentence_files
from msplora_search.settings import StudySettings
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.embedding import Embedding
from msplora_search.tasks.full_parts import prepare_full
from msplora_search.tasks.parts import Batch
from msplora_search.tasks.pooling import Pooling, pooling_of
from msplora_search.tasks.processors import load_processor
from tests.tasks.embedded import add_sentence_files, embedding_of, pairs, scored
from tests.tasks.models import NAMES, save_llama

ROOT = Path(__file__).parents[2]
APART = 1e-5
DRIVER = """
import json, re, sys
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

blocks = re.findall(r"^```python\\n(.*?)^```$", open("README.md").read(), re.S | re.M)
assert len(blocks) == 3, len(blocks)
given = json.load(open("given.json"))
found = {"whole": SentenceTransformer("merged").encode(given["texts"], convert_to_tensor=True)}
for i, block in enumerate(blocks):
    assert given["line"] in block, block
    if i == 2:
        assert "msplora_search" not in sys.modules
        sys.path.insert(0, sys.argv[1])  # the last block is the one that needs it
    names = {}
    exec(block.replace(given["line"], f"texts = {given['texts']!r}"), names)
    found[str(i)] = names["embeddings"]
save_file({name: tensor.float().contiguous() for name, tensor in found.items()}, "found.safetensors")
"""


def bert(folder: Path) -> StudySettings:
    return embedding_of(folder, pairs(200))


def normalised(folder: Path) -> StudySettings:
    """On a model whose files for sentence-transformers ask for the first token and a length of 1."""
    bert(folder)
    add_sentence_files(folder / "model", "cls", "Normalize")
    return bert(folder)


def similar(folder: Path) -> StudySettings:
    return embedding_of(folder, scored(200), label="score")


def decoder(folder: Path) -> StudySettings:
    """A decoder whose tokenizer has no padding token."""
    save_llama(folder / "model", chat=False)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "model")
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder / "model")
    rows = [
        {"anchor": f"say {NAMES[i % 4]} {NAMES[i // 4 % 4]} {'please ' * (i % 3)}", "positive":
         f"the colour {NAMES[i % 4]} {NAMES[i // 4 % 4]}"} for i in range(120)
    ]  # fmt: skip
    return embedding_of(folder, rows)


def recipe_of(settings: StudySettings, **training: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "small", "model": settings.model, "task": settings.task.model_dump(mode="json"),
            "pyramid": Pyramid.from_split((2, 1, 1), (0, 1, 2), ["query", "value"]).to_json(),
            "training": {"epochs": 1, "batch_size": 16, "learning_rate": 2e-2, **training},
        }
    )  # fmt: skip


def rows_of(settings: StudySettings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(settings.task.dataset.path).read_text().splitlines()]


def ours(recipe: Recipe, pyramid: Path, count: int) -> Tensor:
    """Embeddings of the first anchors and their positives by the trained pyramid, (2 * count, width)."""
    processor = load_processor(recipe)
    model = load_backbone(recipe, processor, (), seed=5).model.eval()
    load_pyramid(model, pyramid)
    task = prepare_full(recipe.task, (), 0.1, processor).task
    corpus = task.train.corpus
    places = np.arange(count)
    inputs, targets = task.kind.collate(corpus.examples, places, np.array(corpus.truth[places]))
    with torch.inference_mode():
        return task.kind.outputs(model, Batch(inputs, targets, places)).transpose(0, 1).flatten(0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("study_of", [bert, normalised, similar, decoder])
def test_all_forms_embed_as_the_trained_model(tmp_path: Path, study_of: Any) -> None:
    """By sentence-transformers, and by the three blocks of the card's code."""
    settings = study_of(tmp_path)
    recipe = recipe_of(settings)
    done = train_and_deliver(recipe, tmp_path / "out", with_merged=True)
    assert done is not None
    assert done.apart <= APART * 10
    rows = rows_of(settings)[:12]
    texts = [row[name] for name in ("anchor", "positive") for row in rows]
    place = tmp_path / "elsewhere"
    shutil.copytree(done.folder, place)
    shutil.copytree(tmp_path / "model", place / "model")
    line = "texts = ['some anchor', 'some positive']"
    (place / "given.json").write_text(json.dumps({"texts": texts, "line": line}))
    (place / "driver.py").write_text(DRIVER)
    ran = subprocess.run(
        [sys.executable, "-I", "driver.py", str(ROOT)], cwd=place, capture_output=True, text=True, check=False,
        env={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "newly initialized" not in ran.stderr
    tied, found = ours(recipe, done.folder / "pyramid", 12), load_file(place / "found.safetensors")
    assert tied.shape == (24, 32)
    assert tied.std(dim=0).min() > 100 * APART
    for name, embeddings in found.items():
        assert (embeddings - tied).abs().max() <= APART * max(1.0, float(tied.abs().max())), name
    if study_of is normalised:
        assert torch.allclose(tied.norm(dim=1), torch.ones(24))
    peft = json.loads((done.folder / "peft" / "adapter_config.json").read_text())
    assert (peft["task_type"], peft["modules_to_save"]) == ("FEATURE_EXTRACTION", None)
    card = (done.folder / "README.md").read_text()
    assert "The embeddings of all forms differ" in card
    assert str(tmp_path) not in card


@pytest.mark.slow
def test_sentence_transformers_loads_an_adapter_whose_base_it_can_reach(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    settings = bert(tmp_path)
    recipe = recipe_of(settings)
    done = train_and_deliver(recipe, tmp_path / "out")
    assert done is not None
    peft = done.folder / "peft"
    assert not (peft / "modules.json").exists()  # a folder of this machine is no base for others
    config = json.loads((peft / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(tmp_path / "model")
    (peft / "adapter_config.json").write_text(json.dumps(config))
    write_sentence_files(peft, Pooling("mean"), 32, 16)
    rows = rows_of(settings)[:12]
    found = SentenceTransformer(str(peft)).encode([row["anchor"] for row in rows], convert_to_tensor=True)
    assert (found - ours(recipe, done.folder / "pyramid", 12)[:12]).abs().max() <= APART * 10


@pytest.mark.parametrize("pooling", [Pooling("mean"), Pooling("cls", True), Pooling("last")])
def test_what_is_written_is_read_back(tmp_path: Path, pooling: Pooling) -> None:
    write_sentence_files(tmp_path, pooling, 32, 16)
    assert pooling_of("auto", str(tmp_path)) == pooling


def test_a_batch_of_negatives_comes_in_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = bert(tmp_path)
    for training, said in (
        ({"batch_size": 1}, "must be at least 2"),
        ({"trainer": {"gradient_accumulation_steps": 2}}, "would each see a part"),
    ):
        with pytest.raises(InputError, match=said):
            train_and_deliver(recipe_of(settings, **training), tmp_path / "out")
    monkeypatch.setenv("WORLD_SIZE", "2")
    changed = settings.training.model_copy(update={"batch_size": 16})
    (problem,) = check_study(settings.model_copy(update={"training": changed})).problems
    assert "training.batch_size: the examples of a batch are one another's negatives, and 2 processes" in problem


def test_pairs_with_a_score_may_come_in_pieces(tmp_path: Path) -> None:
    recipe = recipe_of(similar(tmp_path), trainer={"gradient_accumulation_steps": 2})
    done = train_and_deliver(recipe, tmp_path / "out")
    assert done is not None
    assert -1 <= done.metric <= 1
    assert isinstance(prepare_full(recipe.task, (), 0.1, load_processor(recipe)).task.kind, Embedding)
