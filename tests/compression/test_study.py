"""The command with a study: weighted by activations, judged by the task, proved and delivered."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification
from typer.testing import CliRunner

from msplora_search.adapters.peft_format import PREFIX
from msplora_search.adapters.pyramid_file import load_pyramid
from msplora_search.cli import app
from msplora_search.compression import moments
from msplora_search.compression.choosing import Choice, Judged
from msplora_search.compression.compressing import Compression, Point
from msplora_search.compression.family import families
from msplora_search.compression.ground import ground_of
from msplora_search.compression.levels import Ranks
from msplora_search.compression.lora import read_lora
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.full.delivery import train_and_deliver
from msplora_search.full.proofs import load_peft
from msplora_search.results.records import Examples, Measure
from msplora_search.settings import load_study
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.cache import CACHE_VARIABLE
from tests.program import begin
from tests.small import sentences, study_fields, tokenizer, write_jsonl, write_study

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
PROGRAM = Path(sys.executable).with_name("msplora-search")
TRAINING = {"epochs": 4, "batch_size": 16, "learning_rate": 2e-2}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study, and a LoRA of rank 4 that was trained in full on its task."""
    folder = tmp_path_factory.mktemp("study")
    os.environ[CACHE_VARIABLE] = str(folder / "cache")
    fields = study_fields(folder)
    recipe = Recipe.model_validate(
        {
            "name": "lora", "model": fields["model"], "task": fields["task"], "classes": ["bad", "good"],
            "pyramid": Pyramid.lora(4, 2, ["query", "value"]).to_json(), "training": TRAINING,
        }
    )  # fmt: skip
    train_and_deliver(recipe, folder / "lora")
    write_study(folder, training=TRAINING)
    return folder


@pytest.fixture(autouse=True)
def _cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(home / "cache"))


def words(home: Path, to: Path, *further: str) -> list[str]:
    """A command on the study."""
    adapter = home / "lora" / "model" / "peft"
    return ["compress", str(adapter), "--study", str(home / "study.yaml"), "--to", str(to), *further]


def run(home: Path, to: Path, *further: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, words(home, to, *further, "--json"), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@torch.no_grad()
def says(model: torch.nn.Module, texts: list[str]) -> list[str]:
    inputs = tokenizer()(texts, padding=True, return_tensors="pt")
    model.eval()
    found: list[int] = model(**inputs).logits.argmax(-1).tolist()
    return [["bad", "good"][i] for i in found]


def test_all_forms_of_a_model_that_was_compressed_say_what_is_told(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = run(home, out, "--max-error", "0.4", "--merge")
    assert told["weights"] == "activations"
    assert told["examples"] == 256
    assert 0 < told["written"]["error"] <= 0.4
    assert told["written"]["params"] < told["lora"]["params"]
    assert told["logits_apart"] < 1e-5
    assert told["test"]["lora"] > 0.75
    model = out / "model"
    rows = sentences(100, seed=7)
    texts = [row["text"] for row in rows]
    merged = AutoModelForSequenceClassification.from_pretrained(model / "merged")
    assert merged.config.id2label == {0: "bad", 1: "good"}
    peft = load_peft(AutoModelForSequenceClassification.from_pretrained(home / "model"), model / "peft")
    shared = AutoModelForSequenceClassification.from_pretrained(home / "model")
    load_pyramid(shared, model / "pyramid")
    answers = says(merged, texts)
    assert answers == says(peft, texts) == says(shared, texts)
    right = np.mean([answer == row["label"] for answer, row in zip(answers, rows, strict=True)])
    assert right == pytest.approx(told["test"]["pyramid"], abs=0.1)
    card = (model / "README.md").read_text()
    assert "Compressed from a LoRA of rank 4" in card
    assert "`bad`" in card
    assert str(home) not in card
    assert [params for params, _ in told["validation"]["front"]] == [p["params"] for p in told["front"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_the_whole_lora_loses_nothing_and_weights_can_be_left_out(home: Path, tmp_path: Path) -> None:
    told = run(home, tmp_path / "out", "--max-error", "1e-5", "--ranks", "0,4", "--examples", "0")
    assert told["weights"] == "identity"
    assert told["logits_error"] < 1e-5
    assert told["test"]["agreement"] == 1.0
    assert told["test"]["lora"] == told["test"]["pyramid"]


def test_some_training_goes_out_from_the_fit(home: Path, tmp_path: Path) -> None:
    changed = ("training.learning_rate=1e-3", "training.optimization=alternating")
    how = ("--max-params", "400", *(word for change in changed for word in ("--set", change)))
    fitted = run(home, tmp_path / "fitted", *how)
    trained = run(home, tmp_path / "trained", *how, "--train", "0.5")
    assert trained["written"] == fitted["written"]
    assert trained["trained"]["epochs"] == 0.5
    file = Path("model") / "pyramid" / "pyramid.safetensors"
    one, other = load_file(tmp_path / "fitted" / file), load_file(tmp_path / "trained" / file)
    adapters = [name for name in one if name.startswith("adapter.")]
    apart = [float((one[name] - other[name]).norm() / one[name].norm()) for name in adapters]
    assert 0 < min(apart) < max(apart) < 0.5  # it moved, and from where the fit is
    cards = [(tmp_path / name / "model" / "README.md").read_text() for name in ("fitted", "trained")]
    assert ["Levels were trained in turn, one a step: global, layer" in card for card in cards] == [False, True]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fitted", "trained"]


def test_each_stage_is_told_while_it_lasts(home: Path, tmp_path: Path) -> None:
    some = ("--examples", "40", "--ranks", "0,2,4", "--max-params", "400", "--train", "0.1")
    done = CliRunner().invoke(app, words(home, tmp_path / "out", *some), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    stages = [line.removesuffix(" ...") for line in lines if line.endswith(" ...")]
    told = json.loads((tmp_path / "out" / "compress.json").read_text())
    front, ranks = told["front"], told["written"]["ranks"]
    assert [s for s in stages if "more closely" not in s] == [
        "reading the adapter", "loading model and data", "collecting activations of 40 training examples",
        "fitting pyramids to 2 layers", f"measuring the LoRA and {len(front)} points on validation rows",
        f"measuring the LoRA on {told['test']['rows']} test rows", f"training {ranks} for 0.1 epochs",
        "comparing logits of LoRA, pyramid, PEFT and merged model",
    ]  # fmt: skip
    at = lines.index(f"measuring the LoRA on {told['test']['rows']} test rows ...")
    for number, (point, line) in enumerate(zip(front, lines[at - len(front) : at], strict=True), start=1):
        assert line.startswith(f"{number} of {len(front)}: {point['ranks']}, {point['params']:,} parameters: acc")


def test_the_metric_chooses(home: Path, tmp_path: Path) -> None:
    told = run(home, tmp_path / "out", "--non-inferior", "100%")
    assert told["written"] == told["front"][0]  # anything goes


def judged(losses: list[float], spread: float) -> tuple[Compression, Judged]:
    """A front whose points lose so much, and as much more or less by the example."""
    front = [Point(Ranks(0, 0, i + 1), ((0, 2),), 10 * (i + 1), 0.5 / (i + 1)) for i in range(len(losses))]
    wave = spread * np.tile([1.0, -1.0], 50)

    def measure(metric: float, influence: Any) -> Measure:
        return Measure(metric, 0.0, Examples(np.zeros(100, dtype=int), influence))

    points = {p: measure(0.9 - loss, wave) for p, loss in zip(front, losses, strict=True)}
    return Compression(None, [], front, []), Judged("accuracy", 100, measure(0.9, 0 * wave), points)  # type: ignore[arg-type]


def test_non_inferior_is_asked_from_the_largest_down_with_its_noise() -> None:
    found, sure = judged([0.001, 0.03, 0.004, 0.0], 0.0)
    assert Choice(non_inferior="0.01").picked(found, sure).params == 30  # the first is below one that fails
    assert Choice(non_inferior="10%").picked(found, sure).params == 10
    _, noisy = judged([0.001, 0.03, 0.004, 0.0], 0.04)  # standard error 0.004
    assert Choice(non_inferior="0.01").picked(found, noisy).params == 40
    with pytest.raises(InputError, match="the most exact point loses"):
        Choice(non_inferior="0.001").picked(found, noisy)


def test_moments_give_the_expected_error_of_what_comes_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "RIDGE", 1e-12)
    lora = read_lora(home / "lora" / "model" / "peft")
    ground = ground_of(load_study(str(home / "study.yaml")), lora)
    original = ground.original()
    family = ground.weighted(original, families(lora), 40)[0]
    levels = family.fitted(Ranks(1, 0, 1), ((0, 2),), 5)
    lost = 0.0
    with torch.no_grad():
        for i, site in enumerate(family.sites):
            parts = [family.factors(level, i, level.rank) for level in (levels.top, levels.layer)]
            left = site.up @ site.down - sum(up @ down for up, down in parts)
            seen: list[torch.Tensor] = []
            hook = original.get_submodule(PREFIX + site.path).register_forward_pre_hook(
                lambda _, inputs, seen=seen: seen.append(inputs[0])
            )
            for batch in ground.batches(ground.parts.task.train, 40):
                ground.parts.task.predict(original, batch)
                seen[-1] = seen[-1][batch.inputs["attention_mask"].bool()]
            hook.remove()
            lost += float((torch.cat(seen).double() @ left.T).square().sum(1).mean())
    assert family.lost(levels) == pytest.approx(lost, rel=1e-4)


def test_a_lora_of_another_head_or_model_is_refused_in_one_line(home: Path, tmp_path: Path) -> None:
    rows = [{**row, "label": f"{row['label']} {i % 2}"} for i, row in enumerate(sentences(300))]
    other = write_jsonl(tmp_path / "four.jsonl", rows)
    with pytest.raises(InputError, match=r"classifier\.bias has shape \(2,\), but .* has \(4,\)"):
        run(home, tmp_path / "out", "--set", f"task.dataset={other}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["four.jsonl"]


def test_forms_that_differ_are_not_put_in_place(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(base: torch.nn.Module, folder: Path, config: Any = None) -> torch.nn.Module:
        if config is None:  # the written form
            file = folder / "adapter_model.safetensors"
            save_file({name: 2 * tensor for name, tensor in load_file(file).items()}, file)
        return load_peft(base, folder, config)

    monkeypatch.setattr("msplora_search.full.proofs.load_peft", damaged)
    with pytest.raises(
        InputError, match=r"the PEFT model differs .* nothing was written, the folder is as it was"
    ):
        run(home, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_and_says_so(home: Path, tmp_path: Path, how: signal.Signals) -> None:
    process = begin(*words(home, tmp_path / "deep" / "out", "--train", "5000"), cwd=tmp_path)
    end = time.monotonic() + 120
    while not list(tmp_path.rglob("checkpoint-*")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + how
    assert err == "stopped; nothing was written, and the same command begins anew\n"
    assert not list(tmp_path.iterdir())
