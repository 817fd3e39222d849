from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BertModel

from msplora_search import attach, load_pyramid, save_pyramid
from msplora_search.adapters.pyramid_file import CONFIG, TENSORS
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from tests.adapters.models import bert, distilbert, llama, logits, train_a_little, trained, uneven


def config_of(model: nn.Module) -> Any:
    return model.config


def test_a_saved_pyramid_holds_each_adapter_once_and_comes_back(tmp_path: Path) -> None:
    pyramid = Pyramid.geometric(8, 12)
    model = trained(bert(12), pyramid)
    folder = save_pyramid(model, tmp_path / "pyramid", "base")
    size = (folder / TENSORS).stat().st_size
    head = 2 * 32 + 2
    assert size < 4 * (pyramid.count({"query": (32, 32), "value": (32, 32)}) + head) + 10_000
    fresh = bert(12)
    bank = load_pyramid(fresh, folder)
    assert bank.pyramid == pyramid
    assert torch.equal(logits(fresh), logits(model))
    assert {n for n, p in fresh.named_parameters() if p.requires_grad} == {
        n for n, p in model.named_parameters() if p.requires_grad
    }


def test_the_scaling_comes_back_and_a_standard_one_leaves_no_trace(tmp_path: Path) -> None:
    for scaling, written in (("standard", None), ("rank-stabilised", "rank-stabilised")):
        model = trained(bert(6), uneven(6, scaling=scaling))
        folder = save_pyramid(model, tmp_path / scaling, "base")
        assert json.loads((folder / CONFIG).read_text())["pyramid"].get("scaling") == written
        fresh = bert(6)
        assert load_pyramid(fresh, folder).pyramid == uneven(6, scaling=scaling)
        assert torch.equal(logits(fresh), logits(model))


def test_the_names_of_the_classes_come_back(tmp_path: Path) -> None:
    model = trained(bert(4), uneven(4))
    config_of(model).id2label = {0: "bad", 1: "good"}
    config_of(model).problem_type = "single_label_classification"
    folder = save_pyramid(model, tmp_path / "p")
    other = bert(4)
    config_of(other).problem_type = "multi_label_classification"
    load_pyramid(other, folder)
    found = config_of(other)
    assert (found.id2label, found.label2id) == ({0: "bad", 1: "good"}, {"bad": 0, "good": 1})
    assert found.problem_type == "single_label_classification"


def test_a_model_of_tokens_has_no_names_to_bring(tmp_path: Path) -> None:
    folder = save_pyramid(trained(llama(3), uneven(3, ("q_proj",))), tmp_path / "p")
    assert json.loads((folder / CONFIG).read_text())["outputs"] is None
    fresh = llama(3)
    before = config_of(fresh).to_dict()
    load_pyramid(fresh, folder)
    assert config_of(fresh).to_dict() == before


def test_a_head_that_was_not_trained_is_in_the_file_too(tmp_path: Path) -> None:
    model = bert(4)
    train_a_little(attach(model, uneven(4), trainable=[]))
    folder = save_pyramid(model, tmp_path / "p")
    other = bert(4)
    with torch.no_grad():
        other.get_parameter("classifier.weight").fill_(0.5)
    load_pyramid(other, folder)
    assert torch.equal(logits(other), logits(model))
    assert not other.get_parameter("classifier.weight").requires_grad


def test_a_pooler_that_the_checkpoint_lacked_comes_back(tmp_path: Path) -> None:
    model = bert(4)
    head = [p for name, p in model.named_parameters() if "classifier" in name or "pooler" in name]
    train_a_little(attach(model, uneven(4), trainable=head))
    with torch.no_grad():
        model.get_parameter("bert.pooler.dense.weight").mul_(2)
    fresh = bert(4)
    load_pyramid(fresh, save_pyramid(model, tmp_path / "p"))
    assert torch.equal(logits(fresh), logits(model))


def test_saving_again_replaces_the_whole(tmp_path: Path) -> None:
    model = trained(bert(4), uneven(4))
    save_pyramid(model, tmp_path / "p")
    train_a_little(model.get_submodule("pyramid_bank"), seed=9)  # type: ignore[arg-type]
    save_pyramid(model, tmp_path / "p")
    fresh = bert(4)
    load_pyramid(fresh, tmp_path / "p")
    assert torch.equal(logits(fresh), logits(model))
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_saving_touches_no_file_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "p"
    mine = [folder / "notes.txt", folder / "adapter_model.safetensors", tmp_path / "p.old", tmp_path / "p.part"]
    folder.mkdir()
    for path in mine:
        path.write_text("mine")
    model = trained(bert(4), uneven(4))
    save_pyramid(model, folder)
    monkeypatch.chdir(folder)
    save_pyramid(model, ".")
    assert [path.read_text() for path in mine] == ["mine"] * 4
    assert {p.name for p in folder.iterdir()} == {"notes.txt", "adapter_model.safetensors", CONFIG, TENSORS}
    assert {p.name for p in tmp_path.iterdir()} == {"p", "p.old", "p.part"}


def test_a_link_to_a_folder_leads_there_and_one_at_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk" / "real").mkdir(parents=True)
    (tmp_path / "mine.json").write_text("mine")
    (tmp_path / "disk" / "real" / CONFIG).symlink_to(tmp_path / "mine.json")
    (tmp_path / "p").symlink_to(tmp_path / "disk" / "real")
    save_pyramid(trained(bert(4), uneven(4)), tmp_path / "p")
    load_pyramid(bert(4), tmp_path / "disk" / "real")
    assert (tmp_path / "mine.json").read_text() == "mine"
    assert (tmp_path / "p").is_symlink()


def test_a_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("mine")
    with pytest.raises(InputError, match=r"p: cannot be written: File exists$"):
        save_pyramid(trained(bert(4), uneven(4)), tmp_path / "p")
    assert (tmp_path / "p").read_text() == "mine"


@pytest.mark.parametrize("base", [None, "folder"])
def test_the_base_is_named_without_its_path(tmp_path: Path, base: str | None) -> None:
    model = trained(bert(4), uneven(4))
    config_of(model)._name_or_path = str(tmp_path / "my-encoder")
    folder = save_pyramid(model, tmp_path / "p", str(tmp_path / "my-encoder") if base else None)
    assert json.loads((folder / CONFIG).read_text())["base_model"] == "my-encoder"
    save_pyramid(model, tmp_path / "p", "org/encoder")
    assert json.loads((folder / CONFIG).read_text())["base_model"] == "org/encoder"


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], object], keep_checksum: bool = False) -> None:
    """Change the tensors of a saved pyramid, and its checksum with them."""
    tensors = load_file(folder / TENSORS)
    change(tensors)
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / TENSORS)
    if not keep_checksum:
        retell(folder, sha256=hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest())


def retell(folder: Path, **changes: object) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))


def without_head(folder: Path) -> None:
    rewrite(folder, lambda t: [t.pop(f"beside.classifier.{name}") for name in ("weight", "bias")])
    retell(folder, trained_beside=[])


A_SITE = "adapter.global.0.attention.self.query.32x32.A"
BASE_WEIGHT = "beside.bert.encoder.layer.0.attention.self.query.weight"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / TENSORS).write_bytes((f / TENSORS).read_bytes()[:500]), f"{TENSORS}: is damaged"),
        (lambda f: (f / TENSORS).write_bytes(b""), f"{TENSORS}: is damaged"),
        (lambda f: (f / CONFIG).write_text("{"), f"{CONFIG}: is damaged"),
        (lambda f: (f / CONFIG).write_text("[" * 100_000), f"{CONFIG}: is damaged"),
        (lambda f: (f / CONFIG).write_bytes(b"\xff"), f"{CONFIG}: is damaged"),
        (lambda f: (f / CONFIG).write_text("{}"), "is no pyramid of format 2"),
        (lambda f: retell(f, format=3), "is no pyramid of format 2"),
        (lambda f: retell(f, pyramid=[]), f"{CONFIG}: "),
        (lambda f: retell(f, trained_beside=3), "trained_beside is no list of names"),
        (lambda f: retell(f, outputs={"names": [1]}), "outputs are no list of names"),
        (lambda f: (f / TENSORS).unlink(), f"{TENSORS}: no such file"),
        (lambda f: (f / CONFIG).unlink(), f"{CONFIG}: no such file"),
        (lambda f: rewrite(f, lambda t: t[A_SITE].mul_(2), keep_checksum=True), "checksum"),
        (lambda f: rewrite(f, lambda t: t[A_SITE].fill_(float("nan"))), "no finite number"),
        (lambda f: rewrite(f, lambda t: t["beside.classifier.bias"].fill_(float("inf"))), "no finite number"),
        (
            lambda f: rewrite(f, lambda t: t.update({"beside.classifier.bias": torch.ones(2, dtype=torch.int64)})),
            "no finite number",
        ),
        (lambda f: rewrite(f, lambda t: t.pop("beside.classifier.weight")), "it lacks classifier.weight"),
        (
            without_head,
            "lacks classifier.weight, which BertForSequenceClassification has in its head",
        ),
        (
            lambda f: rewrite(f, lambda t: t.update({BASE_WEIGHT: torch.ones(32, 32)})),
            "would replace a weight of the base",
        ),
        (
            lambda f: rewrite(f, lambda t: t.update({"beside.bert.embeddings.LayerNorm.weight": torch.ones(32)})),
            "would replace a weight of the base",
        ),
        (lambda f: rewrite(f, lambda t: t.pop(A_SITE)), "numbers of adapters, where its pyramid has"),
        (
            lambda f: rewrite(f, lambda t: t.update({A_SITE + "x": t.pop(A_SITE)})),
            "the adapter state is of another pyramid",
        ),
    ],
)
def test_a_damaged_folder_is_refused_and_the_model_stays(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    folder = save_pyramid(trained(bert(4), uneven(4)), tmp_path / "p")
    spoil(folder)
    fresh = bert(4)
    before, flags, config = (
        logits(fresh),
        [p.requires_grad for p in fresh.parameters()],
        config_of(fresh).to_dict(),
    )
    with pytest.raises(InputError, match=said) as caught:
        load_pyramid(fresh, folder)
    assert "\n" not in str(caught.value)
    assert torch.equal(logits(fresh), before)
    assert [p.requires_grad for p in fresh.parameters()] == flags
    assert config_of(fresh).to_dict() == config
    assert not hasattr(fresh, "pyramid_bank")


def test_what_the_caller_names_may_be_replaced(tmp_path: Path) -> None:
    model = bert(4)
    norms = [p for name, p in model.named_parameters() if "LayerNorm" in name or "classifier" in name]
    train_a_little(attach(model, uneven(4), trainable=norms))
    with torch.no_grad():
        model.get_parameter("bert.embeddings.LayerNorm.weight").mul_(2)
    folder = save_pyramid(model, tmp_path / "p")
    fresh = bert(4)
    with pytest.raises(InputError, match="would replace a weight of the base"):
        load_pyramid(fresh, folder)
    load_pyramid(fresh, folder, trainable=[p for name, p in fresh.named_parameters() if "LayerNorm" in name])
    assert torch.equal(logits(fresh), logits(model))


def test_a_file_of_the_first_format_is_read(tmp_path: Path) -> None:
    model = trained(bert(4), uneven(4))
    folder = save_pyramid(model, tmp_path / "p")
    config = json.loads((folder / CONFIG).read_text())
    old = {name: config[name] for name in ("base_model", "pyramid", "stack", "trained_beside")}
    (folder / CONFIG).write_text(json.dumps({"format": 1, **old}))
    fresh = bert(4)
    load_pyramid(fresh, folder)
    assert torch.equal(logits(fresh), logits(model))


def bare() -> nn.Module:
    return BertModel(config_of(bert(4)))


@pytest.mark.parametrize("make", [lambda: bert(5), lambda: distilbert(4), lambda: bert(4, labels=3), bare])
def test_another_architecture_is_refused_and_stays(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    folder = save_pyramid(trained(bert(4), uneven(4)), tmp_path / "p")
    other = make()
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(InputError, match=r"pyramid\.(json|safetensors): .*(fit|has shape|lacks pre_classifier)"):
        load_pyramid(other, folder)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())
    assert not hasattr(other, "pyramid_bank")


def test_a_bare_base_has_no_head_to_give_to_a_classifier(tmp_path: Path) -> None:
    base = bare()
    train_a_little(attach(base, uneven(4)))
    folder = save_pyramid(base, tmp_path / "p")
    with pytest.raises(InputError, match=r"lacks classifier\.weight, which BertForSequenceClassification has"):
        load_pyramid(bert(4), folder)


def test_a_full_disk_leaves_the_earlier_pyramid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained(bert(4), uneven(4))
    folder = save_pyramid(model, tmp_path / "p")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("msplora_search.adapters.pyramid_file.save_file", full)
    with pytest.raises(InputError, match="No space left on device"):
        save_pyramid(model, folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["p"]
