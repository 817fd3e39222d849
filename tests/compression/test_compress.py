"""The command on LoRAs that PEFT wrote: what it finds, what it writes, and what it refuses."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertForSequenceClassification
from typer.testing import CliRunner

from msplora_search.adapters.pyramid_file import load_pyramid
from msplora_search.cli import app
from msplora_search.compression.choosing import Choice
from msplora_search.compression.compressing import compress, read_ranks
from msplora_search.compression.lora import Lora, read_lora
from msplora_search.compression.writing import write_point
from msplora_search.errors import InputError
from msplora_search.full.proofs import load_peft
from tests.compression.loras import base, logits, outputs, save_lora
from tests.small import save_model

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def run(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["compress", *words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_pyramid_is_found_again_and_computes_the_same_in_both_forms(tmp_path: Path) -> None:
    lora = save_lora(tmp_path, shared=True, modules_to_save=["classifier"])
    told = run(str(lora), "--to", str(tmp_path / "out"), "--max-error", "1e-5", "--ranks", "0,1,2,4")
    assert told["written"]["ranks"] == "2/1/1"
    assert told["written"]["boundaries"] == [2]
    assert told["written"]["params"] == 2 * 64 * (2 + 2 * 1 + 6 * 1)
    assert told["most_saved"] > 0.5
    before, peft = logits(tmp_path, lora), logits(tmp_path, tmp_path / "out" / "model" / "peft")
    model = base(tmp_path)
    load_pyramid(model, tmp_path / "out" / "model" / "pyramid")
    assert torch.allclose(outputs(model), peft, atol=1e-5)
    assert torch.allclose(before, peft, atol=1e-4)
    assert not torch.allclose(before, outputs(base(tmp_path)), atol=1e-2)
    assert (tmp_path / "out" / "compress.png").is_file()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("/of/my-lora", "my-lora"),
        ("/of/trained/small/model/peft", "small"),
        ("/of/small/adapter", "small"),
        ("/of/my-lora/checkpoint-500", "my-lora"),
        ("/of/my-lora/checkpoints/checkpoint-9/adapter_model", "adapter_model"),
        ("/of/peft-2/PEFT", "peft-2"),
        ("/of/pyramid/../small", "small"),
        ("/model/peft", "adapter"),
    ],
)
def test_a_lora_is_called_after_the_nearest_folder_of_its_own(folder: str, name: str) -> None:
    assert Lora(Path(folder), (), {}, (), None, None, None, False).name == name


def test_figure_and_table_name_the_lora(tmp_path: Path) -> None:
    lora = save_lora(tmp_path).rename(tmp_path / "adapter")
    done = CliRunner().invoke(app, ["compress", str(lora), "--to", str(tmp_path / "out")], catch_exceptions=False)
    assert f"{tmp_path.name}: 3,072 parameters as LoRA" in done.stdout.splitlines()
    assert f"<!-- {tmp_path.name}: compressed -->" in (tmp_path / "out" / "compress.svg").read_text()


def test_random_layers_resist_and_it_is_said(tmp_path: Path) -> None:
    lora = save_lora(tmp_path)
    told = run(str(lora), "--to", str(tmp_path / "out"), "--max-params", "1600", "--ranks", "0,2,4")
    assert told["most_saved"] < 0.05
    assert "resist sharing" in told["verdict"]
    assert told["written"]["params"] <= 1600
    assert told["front"][-1]["error"] < 1e-6


def test_what_is_written_is_as_far_from_the_lora_as_is_said(tmp_path: Path) -> None:
    lora = save_lora(tmp_path)
    found = compress(read_lora(lora), (0, 1, 2))
    parted = [p for p in found.front if p.ranks.mid and p.ranks.layer and (5, 6) in p.groups]
    assert parted  # a group of one layer, where mid and layer level are the same
    write_point(found, parted[-1], tmp_path / "out" / "model")
    whole, near = read_lora(lora), read_lora(tmp_path / "out" / "model" / "peft")
    own, new = ({s.path: s.up @ s.down for s in of.sites} for of in (whole, near))
    lost = sum(float(((own[path] - new[path]) ** 2).sum()) for path in own)
    energy = sum(float((update**2).sum()) for update in own.values())
    assert (lost / energy) ** 0.5 == pytest.approx(parted[-1].error, rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"use_rslora": True},
        {"alpha_pattern": {"layer.1.attention.self.query": 32}},
        {"rank_pattern": {"layer.1.attention.self.query": 2}},
    ],
)
def test_what_scales_or_ranks_otherwise_is_read_as_peft_computes_it(tmp_path: Path, changes: Any) -> None:
    lora = save_lora(tmp_path, **changes)
    run(str(lora), "--to", str(tmp_path / "out"), "--max-error", "1e-5", "--ranks", "4")
    assert torch.allclose(logits(tmp_path, lora), logits(tmp_path, tmp_path / "out" / "model" / "peft"), atol=1e-5)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("peft_type", "LOHA", "peft_type: is 'LOHA'"),
        ("use_dora", True, "use_dora: is True"),
        ("bias", "all", "bias: is 'all'"),
        ("lora_alpha", "x", "'x' is no number"),
    ],
)
def test_another_kind_of_adapter_is_refused(tmp_path: Path, field: str, value: Any, said: str) -> None:
    file = save_lora(tmp_path) / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), field: value}))
    with pytest.raises(InputError, match=said):
        read_lora(file.parent)


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    file = save_lora(tmp_path) / "adapter_model.safetensors"
    save_file({n: t for n, t in load_file(file).items() if "layer.3.attention.self.value" not in n}, file)
    with pytest.raises(InputError, match=r"attention\.self\.value: layer 3 has no update"):
        read_lora(file.parent)


def test_too_strict_a_bound_is_refused(tmp_path: Path) -> None:
    found = compress(read_lora(save_lora(tmp_path)), (0, 1))
    with pytest.raises(InputError, match="--max-params 3: the smallest point has"):
        Choice(max_params=3).picked(found)
    with pytest.raises(InputError, match=r"--max-error 0\.001: the nearest point"):
        Choice(max_error=0.001).picked(found)
    with pytest.raises(InputError, match="from 0 to 4"):
        read_ranks("0,9", 4)


def refused(*words: str) -> str:
    """The error of a command that is wrong."""
    with pytest.raises(InputError) as caught:
        CliRunner().invoke(app, ["compress", *words], catch_exceptions=False)
    return str(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max-error", "nan"], "--max-error nan: from 0 to below 1"),
        (["--max-error", "-1"], "--max-error -1"),
        (["--max-params", "0"], "--max-params 0"),
        (["--max-params", "9", "--max-error", "0.2"], "--max-error and --max-params: one of them"),
        (["--non-inferior", "0.01"], "--non-inferior: needs the task; give --study"),
        (["--non-inferior", "much", "--study", "x"], "--non-inferior much: 0 or more"),
        (["--train", "0.1"], "--train: needs the task; give --study"),
        (["--merge"], "--merge: needs the base model"),
        (["--set", "model=x"], "--set: changes a study"),
        (["--study", "x", "--model", "y"], "--model: the study names the model"),
    ],
)
def test_what_is_asked_for_is_refused_before_the_adapter_is_read(
    tmp_path: Path, words: list[str], said: str
) -> None:
    assert said in refused(str(tmp_path / "no"), "--to", str(tmp_path / "out"), *words)
    assert not list(tmp_path.iterdir())


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lora = save_lora(tmp_path)
    assert "is a file; a folder is right" in refused(str(lora), "--to", str(tmp_path / "file"))


@pytest.mark.parametrize("field", ["alpha_pattern", "rank_pattern", "target_modules", "exclude_modules"])
def test_no_pattern_of_a_foreign_adapter_hangs(tmp_path: Path, field: str) -> None:
    file = save_lora(tmp_path, modules_to_save=["classifier"]) / "adapter_config.json"
    evil = "([a-z.0-9]+)+!"
    value = {evil: 1} if field.endswith("pattern") else evil
    file.write_text(json.dumps({**json.loads(file.read_text()), field: value}))
    model = base(tmp_path)
    began = time.monotonic()
    lora = read_lora(file.parent)
    assert len(lora.sites) == 12
    load_peft(model, file.parent, lora.peft_config())
    assert time.monotonic() - began < 2


def test_on_the_base_model_the_logits_of_all_forms_are_compared(tmp_path: Path) -> None:
    lora = save_lora(tmp_path, modules_to_save=["classifier"], task_type="SEQ_CLS")
    out = tmp_path / "out"
    told = run(str(lora), "--to", str(out), "--model", str(tmp_path / "model"), "--merge", "--max-error", "0.5")
    assert 0 <= told["logits_apart"] < 1e-5
    assert told["logits_error"] > 1e-3
    merged = BertForSequenceClassification.from_pretrained(out / "model" / "merged")
    assert torch.allclose(outputs(merged), logits(tmp_path, out / "model" / "peft"), atol=1e-5)
    assert str(tmp_path) not in (out / "model" / "README.md").read_text()


def test_another_base_model_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    lora = save_lora(tmp_path)
    other = save_model(tmp_path / "other", 3)
    there = sorted(tmp_path.iterdir())
    said = refused(str(lora), "--to", str(tmp_path / "deep" / "out"), "--model", str(other), "--ranks", "4")
    assert "does not fit BertForSequenceClassification" in said
    assert sorted(tmp_path.iterdir()) == there
