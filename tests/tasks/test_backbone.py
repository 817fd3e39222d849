from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from msplora_search.errors import InputError
from msplora_search.tasks.backbone import load_tokenizer, model_location
from tests.small import classifier, save_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model")


def test_the_head_is_new_seeded_and_comes_back(folder: Path) -> None:
    one, again = (classifier(folder, 3) for _ in range(2))
    other = classifier(folder, 3, seed=1)
    start = [p.clone() for p in one.head]
    assert [tuple(p.shape) for p in one.head] == [(3, 32), (3,)]
    assert all(torch.equal(p, q) for p, q in zip(one.head, again.head, strict=True))
    assert not torch.equal(one.head[0], other.head[0])
    with torch.no_grad():
        one.head[0].add_(1)
    one.reset_head()
    assert all(torch.equal(p, q) for p, q in zip(one.head, start, strict=True))


def test_weights_that_the_checkpoint_lacks_train_beside_the_head(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: t for name, t in weights.items() if "pooler" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    backbone = classifier(folder, 2)
    assert sum(p.numel() for p in backbone.head) == 32 * 32 + 32 + 2 * 32 + 2


def test_pretrained_weights_are_those_of_the_file(folder: Path) -> None:
    name = "bert.encoder.layer.1.output.dense.weight"
    loaded = classifier(folder, 2).model.get_parameter(name)
    assert torch.equal(loaded, load_file(folder / "model.safetensors")[name])


def test_a_folder_without_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=f"{folder} is no folder with a config.json"):
        model_location(str(folder))


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no weights; it must hold \*.safetensors"):
        model_location(str(folder))


def test_pickled_weights_are_never_read(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    mark = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (mark,))

    torch.save({"x": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="other formats are not read"):
        classifier(folder, 2)
    assert not mark.exists()


def test_code_in_a_model_folder_is_not_run_unless_asked_for(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nclass Own: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config.update(
        model_type="own", auto_map={"AutoConfig": "own.Own", "AutoModelForSequenceClassification": "own.Own"}
    )
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="cannot be loaded"):
        classifier(folder, 2)
    assert not mark.exists()


def test_a_damaged_weight_file_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x10" * 100)
    with pytest.raises(InputError, match="cannot be loaded"):
        classifier(folder, 2)


def test_weights_of_another_architecture_are_refused(folder: Path) -> None:
    save_file({"unrelated": torch.zeros(3)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="most weights of BertForSequenceClassification are missing"):
        classifier(folder, 2)


def test_a_folder_without_tokenizer_is_refused(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(InputError, match="no usable tokenizer"):
        load_tokenizer(str(folder))


def test_an_id_that_cannot_be_reached_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="model nobody/nothing: no usable tokenizer"):
        load_tokenizer("nobody/nothing")
