from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, BertForSequenceClassification

from msplora_search import attach, detach
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings import StudySettings
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.fit import fitting_kinds
from msplora_search.tasks.processors import context_of, load_tokenizer, model_location
from tests.small import classifier, save_model, sentences, tokenizer, write_jsonl
from tests.tasks.models import requests, save_llama, study_of, word_tokenizer


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


@pytest.mark.parametrize("lacks", ["classifier", "pooler", "nothing"])
def test_a_head_for_another_seed_is_drawn_as_loading_draws_it_and_leaves_no_trace(
    folder: Path, lacks: str
) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: t for name, t in weights.items() if lacks not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    backbone, before = classifier(folder, 2), torch.get_rng_state()
    model = {name: t.clone() for name, t in backbone.model.state_dict().items()}
    for seed in (1, 7):
        backbone.reset_head(seed)
        assert torch.equal(torch.get_rng_state(), before)
        loaded = classifier(folder, 2, seed).initial_head
        torch.set_rng_state(before)
        assert all(torch.equal(p, q) for p, q in zip(backbone.head, loaded, strict=True))
        changed = any(not torch.equal(p, q) for p, q in zip(backbone.head, backbone.initial_head, strict=True))
        assert changed == (lacks != "nothing")
    backbone.reset_head()
    after = backbone.model.state_dict()
    assert all(torch.equal(t, after[name]) for name, t in model.items())
    assert all(p.requires_grad for p in backbone.head)


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
    with pytest.raises(InputError, match=r"code of its own, which is run only .* trust_remote_code: true"):
        classifier(folder, 2)
    with pytest.raises(InputError, match="trust_remote_code: true"):
        load_tokenizer(str(folder))
    assert not mark.exists()


def test_attention_code_of_the_hub_is_not_fetched_unless_asked_for(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attn_implementation": "kernels-community/flash"}))
    with pytest.raises(
        InputError, match="attention code of the hub, 'kernels-community/flash', which is run only"
    ):
        classifier(folder, 2)


def test_a_damaged_weight_file_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x10" * 100)
    with pytest.raises(InputError, match="cannot be loaded"):
        classifier(folder, 2)


def test_weights_of_another_architecture_are_refused(folder: Path) -> None:
    save_file({"unrelated": torch.zeros(3)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="most weights of BertForSequenceClassification are missing"):
        classifier(folder, 2)


def test_weights_of_other_sizes_than_the_config_says_are_refused(folder: Path) -> None:
    """They would be drawn anew, and trained as if they were a head."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 40}))
    with pytest.raises(
        InputError, match=r"word_embeddings.weight is \(22, 32\) in its safetensors, but \(40, 32\) by its config"
    ):
        classifier(folder, 2)


def test_a_tokenizer_larger_than_the_embedding_is_refused(folder: Path) -> None:
    larger = tokenizer()
    larger.add_tokens(["one", "more"])
    larger.save_pretrained(folder)
    with pytest.raises(InputError, match="its tokenizer has 24 tokens, but its embedding 22 rows; take the"):
        classifier(folder, 2, own=larger)


def test_a_padding_token_outside_the_embedding_is_refused(folder: Path) -> None:
    padded = tokenizer()
    padded.add_special_tokens({"pad_token": "<new>"})
    with pytest.raises(
        InputError, match=r"padding token '<new>' is number 22, but its embedding has 22 rows; .*embeddings\(23\)"
    ):
        classifier(folder, 2, own=padded)


def test_an_embedding_larger_than_the_tokenizer_is_fine(tmp_path: Path) -> None:
    wide = save_model(tmp_path / "model")
    model = BertForSequenceClassification.from_pretrained(wide)
    model.resize_token_embeddings(64)
    model.save_pretrained(wide)
    assert classifier(wide, 2).model.get_input_embeddings().num_embeddings == 64  # type: ignore[operator]


def test_a_folder_without_tokenizer_is_refused(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(InputError, match="no usable tokenizer"):
        load_tokenizer(str(folder))


def test_an_id_that_cannot_be_reached_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"model nobody/nothing: no usable config.json: We couldn't connect"):
        load_tokenizer("nobody/nothing")


# What a model can do


def kinds_of(name: str) -> list[str]:
    return fitting_kinds(AutoConfig.for_model(name))


OF_TEXTS = ("text-classification", "text-regression")
WITH_HEADS = ("token-classification", "multi-label")


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        ("bert", [*OF_TEXTS, *WITH_HEADS, "multiple-choice", "extractive-qa", "embedding"]),
        ("llama", [*OF_TEXTS, "causal-lm", "preference", *WITH_HEADS, "embedding"]),
        ("gpt2", [*OF_TEXTS, "causal-lm", "preference", *WITH_HEADS, "extractive-qa", "embedding"]),
        ("t5", [*OF_TEXTS, "seq2seq-lm", *WITH_HEADS, "extractive-qa"]),
        ("vit", ["image-classification"]),
        ("clip", ["image-classification"]),
    ],
)
def test_every_architecture_has_its_kinds_of_tasks(model: str, kinds: list[str]) -> None:
    assert kinds_of(model) == kinds


@pytest.mark.parametrize("kind", ["causal-lm", "preference", "seq2seq-lm", "image-classification"])
def test_a_task_that_the_model_cannot_do_names_those_it_can(folder: Path, kind: str) -> None:
    settings = study_of(folder.parent, {"kind": kind, "dataset": "none.jsonl"})
    with pytest.raises(
        InputError,
        match=rf"task.kind is {kind}, which .* \(bert\) cannot do; it can do text-classification, text-reg",
    ):
        load_backbone(settings, tokenizer(), ())


def test_a_decoder_without_its_weights_is_refused(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    kept = {name: t for name, t in weights.items() if "lm_head" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    settings = study_of(tmp_path, {"kind": "causal-lm", "dataset": "none.jsonl"})
    with pytest.raises(InputError, match=r"weights such as lm_head.weight of LlamaForCausalLM are missing"):
        load_backbone(settings, word_tokenizer(), ())


def test_positions_that_begin_behind_the_padding_are_no_context() -> None:
    assert context_of(AutoConfig.for_model("roberta", max_position_embeddings=514, pad_token_id=1)) == 512
    assert context_of(AutoConfig.for_model("bert")) == 512
    assert context_of(AutoConfig.for_model("t5")) > 10**6


# How it is held


def llama_study(folder: Path, **changes: Any) -> StudySettings:
    save_llama(folder / "model")
    data = write_jsonl(folder / "data.jsonl", requests(200))
    task = {"kind": "causal-lm", "dataset": str(data), "max_length": 24}
    return study_of(folder, task, **changes)


def curve_of(settings: StudySettings) -> list[float]:
    bench = Workbench.load(settings)
    pyramid = Pyramid.lora(4, bench.layers, bench.space().targets[0])
    return [evaluation.metric for evaluation in bench.measure(pyramid, 2e-2)]


def test_activations_computed_again_change_nothing(tmp_path: Path) -> None:
    again = llama_study(tmp_path, backbone={"gradient_checkpointing": True})
    bench = Workbench.load(again)
    layer: Any = bench.backbone.model.get_submodule("model.layers.0")
    assert layer.gradient_checkpointing
    calls = []
    layer.self_attn.register_forward_hook(lambda *_: calls.append(bench.backbone.model.training))
    bench.task.loss(bench.backbone.model.train(), bench.batches.training[0]).backward()  # type: ignore[no-untyped-call]
    assert len(calls) == 2
    assert curve_of(again) == pytest.approx(curve_of(llama_study(tmp_path)), rel=1e-5)


def test_activations_computed_again_bring_no_dropout(tmp_path: Path) -> None:
    save_model(tmp_path / "model")
    data = write_jsonl(tmp_path / "data.jsonl", sentences(300))
    task = {"kind": "text-classification", "dataset": str(data)}
    plain = study_of(tmp_path, task)
    again = study_of(tmp_path, task, backbone={"gradient_checkpointing": True})
    assert curve_of(again) == pytest.approx(curve_of(plain), abs=1e-5)


def test_a_device_map_places_the_layers(tmp_path: Path) -> None:
    mapped = llama_study(tmp_path, backbone={"device_map": "auto"})
    assert curve_of(mapped) == curve_of(llama_study(tmp_path))


def test_a_base_in_bf16_has_adapters_and_head_in_fp32(tmp_path: Path) -> None:
    save_model(tmp_path / "model")
    data = write_jsonl(tmp_path / "data.jsonl", sentences(300))
    task = {"kind": "text-classification", "dataset": str(data)}
    settings = study_of(tmp_path, task, backbone={"dtype": "bf16"}, proxy={"precision": "bf16"})
    bench = Workbench.load(settings)
    assert {p.dtype for p in bench.backbone.head} == {torch.float32}
    head = {id(p) for p in bench.backbone.head}
    assert {p.dtype for p in bench.backbone.model.parameters() if id(p) not in head} == {torch.bfloat16}
    bank = attach(bench.backbone.model, Pyramid.lora(4, 2, ["query"]))
    assert {p.dtype for p in bank.parameters()} == {torch.float32}
    detach(bench.backbone.model)
    assert curve_of(settings)[-1] == pytest.approx(curve_of(study_of(tmp_path, task))[-1], abs=0.1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_quantisation_without_a_cuda_device_is_refused(tmp_path: Path, bits: str) -> None:
    settings = llama_study(tmp_path, backbone={"quantization": bits})
    with pytest.raises(InputError, match=f"backbone.quantization is {bits}; it needs a CUDA device"):
        Workbench.load(settings)


def test_trials_share_one_base(tmp_path: Path) -> None:
    bench = Workbench.load(llama_study(tmp_path))
    before = {name: p.data_ptr() for name, p in bench.backbone.model.named_parameters()}
    for rank in (1, 2):
        pyramid = Pyramid.lora(rank, bench.layers, bench.space().targets[0])
        measuring = bench.measure(pyramid, 2e-2)
        next(measuring)
        adapted = {n.replace(".base.", "."): p for n, p in bench.backbone.model.named_parameters()}
        assert all(adapted[name].data_ptr() == place for name, place in before.items())
        measuring.close()  # type: ignore[attr-defined]
    assert {name: p.data_ptr() for name, p in bench.backbone.model.named_parameters()} == before


def test_a_decoder_without_a_padding_token_classifies_by_its_last_token(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "model")
    tokenizer = word_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    data = write_jsonl(tmp_path / "data.jsonl", sentences(300))
    settings = study_of(tmp_path, {"kind": "text-classification", "dataset": str(data)})
    bench = Workbench.load(settings)
    assert bench.backbone.model.config.pad_token_id == 2  # type: ignore[union-attr]
    batch = bench.task.collate(bench.task.train, np.arange(8))
    model = bench.backbone.model.eval()
    with torch.no_grad():
        together = model(**batch.inputs).logits
        for i in range(8):
            alone = bench.task.collate(bench.task.train, np.array([i]))
            assert torch.allclose(model(**alone.inputs).logits[0], together[i], atol=1e-5)


def test_the_outputs_are_called_what_the_data_call_them(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.update(id2label={"0": "POSITIVE", "1": "NEGATIVE"}, label2id={"POSITIVE": 0, "NEGATIVE": 1})
    (folder / "config.json").write_text(json.dumps({**config, "problem_type": "multi_label_classification"}))
    for task, classes, names, problem in (
        ({"kind": "text-classification"}, ("bad", "good"), ["bad", "good"], "single_label_classification"),
        ({"kind": "text-classification"}, ("a", "b", "c"), ["a", "b", "c"], "single_label_classification"),
        ({"kind": "text-regression", "label": "stars"}, (), ["stars"], "regression"),
    ):
        settings = study_of(folder.parent, {**task, "dataset": "none.jsonl"}, model=str(folder))
        found: Any = load_backbone(settings, tokenizer(), classes).model.config
        assert found.id2label == dict(enumerate(names))
        assert found.label2id == {name: i for i, name in enumerate(names)}
        assert (found.problem_type, found.num_labels) == (problem, len(names))
