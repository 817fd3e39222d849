"""LoRAs of every kind of task: with the study, and on the base model alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from msplora_search.adapters.bank import attach, bank_of
from msplora_search.adapters.peft_format import to_peft
from msplora_search.cli import app
from msplora_search.design.pyramid import Pyramid
from msplora_search.settings import StudySettings
from msplora_search.settings.document import dump
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.processors import load_processor
from tests.end_to_end.test_kinds import causal, pictures, preference, regression, seq2seq
from tests.tasks.models import study_of
from tests.tasks.reading_models import answering, choosing

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def save_adapter(settings: StudySettings, folder: Path, target: str, layers: int) -> Path:
    """A LoRA of rank 2 with random factors, on the model of the settings, by the code that delivers models."""
    processor = load_processor(settings)
    classes = ["x", "y"] if settings.task.kind == "image-classification" else []
    backbone = load_backbone(settings, processor, classes)
    bank = attach(backbone.model, Pyramid.lora(2, layers, [target]), trainable=backbone.head)
    draw = torch.Generator().manual_seed(0)
    for parameter in bank_of(backbone.model).parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw) * 0.1
    assert bank.count()
    to_peft(backbone.model).save(folder / "lora", None, kind_of(settings.task, processor).peft_type)
    return folder / "lora"


def run(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["compress", *words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize(
    ("task_of", "target", "layers"),
    [
        (seq2seq, "encoder:q", 3),
        (causal, "query", 2),
        (preference, "query", 2),
        (regression, "query", 2),
        (pictures, "query", 2),
        (choosing, "query", 2),
        (answering, "query", 2),
    ],
)
def test_every_kind_is_compressed_proved_and_judged(
    tmp_path: Path, task_of: Any, target: str, layers: int
) -> None:
    settings = study_of(tmp_path, task_of(tmp_path))
    study = tmp_path / "study.yaml"
    study.write_text(dump(settings.model_dump(mode="json", exclude_none=True)))
    lora = save_adapter(settings, tmp_path, target, layers)
    bound = ("--max-error", "0.9")
    told = run(str(lora), "--to", str(tmp_path / "a"), "--study", str(study), "--merge", *bound)
    assert told["logits_apart"] < 1e-4
    assert told["logits_error"] > 0
    assert told["metric"] == settings.task.metric_label
    assert (tmp_path / "a" / "model" / "merged" / "model.safetensors").is_file()
    whole = run(str(lora), "--to", str(tmp_path / "b"), "--model", settings.model, "--max-error", "1e-5")
    assert whole["logits_error"] < 1e-4
    assert whole["logits_apart"] < 1e-4
