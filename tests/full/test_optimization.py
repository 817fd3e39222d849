"""Full training of levels one after another, or in turn, and what is recorded of how they go together."""

from __future__ import annotations

import json
import os
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback

from msplora_search.adapters.bank import attach, bank_of
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.full.checkpoints import identity
from msplora_search.full.trainers.arguments import planned_steps, training_arguments
from msplora_search.full.trainers.pyramid_trainer import PyramidTrainer
from msplora_search.full.trainers.recording import FILE, moments
from msplora_search.full.trainers.trained_part import PartDataset, TrainedPart, collate, measured
from msplora_search.full.training import train_recipe, whole_batches
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.cache import CACHE_VARIABLE
from msplora_search.tasks.full_parts import prepare_full
from msplora_search.tasks.processors import load_processor
from tests.full.test_training import call, losses, recipe_of, write_recipe
from tests.program import PROGRAM

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
QV = ("query", "value")
THREE = Pyramid.from_split((2, 2, 1), (0, 1, 2), QV)
WAYS = ("joint", "staged", "alternating")
STEPS = 44


def recipe_that(folder: Path, way: str, pyramid: Pyramid = THREE, **training: Any) -> Recipe:
    """Two epochs of 22 steps, each written down."""
    further = {"logging_steps": 1, **training.pop("trainer", {})}
    training = {"epochs": 2, "optimization": way, "trainer": further, **training}
    return recipe_of(folder, pyramid=pyramid.to_json(), training=training)


def adapters(trained: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in bank_of(trained.backbone.model).state().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The adapters before the first step and after each."""
    found: list[dict[str, Tensor]] = []

    class Watch(TrainerCallback):
        def on_train_begin(self, *_: Any, model: Any = None, **__: Any) -> None:
            found.append({n: t.clone() for n, t in bank_of(model.model).state().items()})

        on_step_end = on_train_begin

    made = PyramidTrainer.__init__

    def watched(self: Any, *given: Any, callbacks: Any = (), **named: Any) -> None:
        made(self, *given, callbacks=[*callbacks, Watch()], **named)

    monkeypatch.setattr(PyramidTrainer, "__init__", watched)
    return found


def levels_moved(found: list[dict[str, Tensor]]) -> list[set[str]]:
    return [
        {name.split(".")[0] for name in now if not torch.equal(now[name], before[name])}
        for before, now in pairwise(found)
    ]


def test_stages_leave_the_other_levels_as_they_are(tmp_path: Path, seen: list[dict[str, Tensor]]) -> None:
    train_recipe(recipe_that(tmp_path, "staged"), tmp_path / "out", quiet=True)
    first, *moved = levels_moved(seen)
    assert first == set()  # the Trainer's warm-up begins at 0
    assert moved == [{"global"}] * 14 + [{"mid"}] * 15 + [{"layer"}] * 14


def test_levels_that_alternate_move_one_a_step(tmp_path: Path, seen: list[dict[str, Tensor]]) -> None:
    recipe = recipe_that(tmp_path, "alternating", trainer={"gradient_accumulation_steps": 2})
    train_recipe(recipe, tmp_path / "out", quiet=True)
    assert levels_moved(seen)[1:] == ([{"mid"}, {"layer"}, {"global"}] * STEPS)[: STEPS - 1]


def test_of_one_level_all_ways_are_one(tmp_path: Path) -> None:
    lora = Pyramid.lora(2, 2, QV)
    joint, *others = (
        adapters(train_recipe(recipe_that(tmp_path, way, lora), tmp_path / way, quiet=True)) for way in WAYS
    )
    assert all(equal(other, joint) for other in others)


def test_joint_training_is_that_of_a_plain_trainer(tmp_path: Path) -> None:
    recipe = recipe_that(tmp_path, "joint", interference=5)
    ours = adapters(train_recipe(recipe, tmp_path / "ours", quiet=True))
    processor = load_processor(recipe)
    parts = prepare_full(recipe.task, recipe.classes, 0.1, processor)
    backbone = load_backbone(recipe, processor, recipe.classes, recipe.training.seed)
    bank = attach(backbone.model, recipe.built(), seed=recipe.training.seed, trainable=backbone.head)
    trainer = Trainer(
        model=TrainedPart(backbone.model, parts.task),
        args=training_arguments(recipe, tmp_path / "theirs"),
        data_collator=lambda examples: collate(parts.task, examples),
        train_dataset=PartDataset(whole_batches(parts.task.train, 16)),
        eval_dataset=PartDataset(parts.task.validation),
        compute_metrics=lambda found: {"accuracy": measured(parts.task, parts.task.validation, found).metric},
    )
    trainer.train()
    assert equal(ours, bank.state())


@pytest.mark.parametrize("way", WAYS)
def test_what_was_stopped_goes_on_as_if_it_had_not_been(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped within the second epoch, after more was recorded than the checkpoint holds."""
    recipe = recipe_that(tmp_path, way, interference=11)
    whole = adapters(train_recipe(recipe, tmp_path / "whole", quiet=True))
    forward, calls = TrainedPart.forward, []

    @wraps(forward)  # the Trainer looks at what it takes
    def stopping(self: TrainedPart, *given: Any, **named: Any) -> Any:
        calls.append(self.training)
        if sum(calls) == 34:
            raise KeyboardInterrupt
        return forward(self, *given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(TrainedPart, "forward", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_recipe(recipe, tmp_path / "stopped", quiet=True)
    record = tmp_path / "stopped" / FILE
    kept = record.read_text()
    record.write_text(kept + '{"step": 34, "st')  # as one that is killed leaves it
    assert len(kept.splitlines()) == 8
    assert equal(adapters(train_recipe(recipe, tmp_path / "stopped", quiet=True)), whole)
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    assert record.read_text() == (tmp_path / "whole" / FILE).read_text()


def test_what_is_recorded_is_evenly_spaced_and_of_every_layer(tmp_path: Path) -> None:
    train_recipe(recipe_that(tmp_path, "alternating", interference=5), tmp_path / "out", quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "out" / FILE).read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 12, 23, 33, 44]
    assert {line["steps"] for line in lines} == {STEPS}
    for line in lines:  # also of the levels that the step did not train
        assert set(line["cosines"]) == {"global mid", "global layer", "mid layer"}
        assert all(-1 <= cosine <= 1 for layers in line["cosines"].values() for cosine in layers)
        assert {len(layers) for layers in line["cosines"].values()} == {2}


def test_of_one_level_nothing_is_recorded(tmp_path: Path) -> None:
    lora = Pyramid.lora(2, 2, QV)
    train_recipe(recipe_that(tmp_path, "joint", lora, interference=5), tmp_path / "out", quiet=True)
    assert not (tmp_path / "out" / FILE).exists()


@pytest.mark.parametrize(
    ("count", "steps", "expected"),
    [(0, 9, set()), (1, 9, {0}), (2, 9, {0, 8}), (3, 9, {0, 4, 8}), (20, 3, {0, 1, 2})],
)
def test_moments_are_evenly_spaced(count: int, steps: int, expected: set[int]) -> None:
    assert moments(count, steps) == expected


@pytest.mark.parametrize(("epochs", "trainer"), [(2, {}), (1.5, {}), (0.3, {}), (2, {"max_steps": 7})])
def test_steps_are_those_that_the_trainer_takes(
    tmp_path: Path, epochs: float, trainer: dict[str, Any], seen: list[dict[str, Tensor]]
) -> None:
    recipe = recipe_that(tmp_path, "staged", epochs=epochs, trainer=trainer)
    train_recipe(recipe, tmp_path / "out", quiet=True)
    assert planned_steps(recipe, training_arguments(recipe, tmp_path), 352) == len(seen) - 1


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"trainer": {"max_steps": 2}}, "staged training of 3 levels needs as many steps, and there are 2"),
        ({"trainer": {"fsdp": "full_shard"}}, "trainer.fsdp keeps gradients where optimization staged cannot"),
        ({"trainer": {"optim": "galore_adamw_layerwise"}}, "training.trainer.optim keeps gradients where"),
    ],
)  # fmt: skip
def test_what_turns_cannot_be_taken_in_is_refused(tmp_path: Path, training: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        train_recipe(recipe_that(tmp_path, "staged", **training), tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_a_stage_is_not_cut_short(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="would end before every level had its stage"):
        recipe_that(tmp_path, "staged", early_stopping=2)
    recipe_that(tmp_path, "alternating", early_stopping=2)
    with pytest.raises(ValueError, match="Input should be 'joint', 'staged' or 'alternating'"):
        recipe_that(tmp_path, "jointly")


def test_a_recipe_that_says_nothing_of_it_is_the_one_that_it_was(tmp_path: Path) -> None:
    plain, joint = recipe_of(tmp_path), recipe_of(tmp_path, training={"optimization": "joint", "interference": 0})
    assert identity(plain) == identity(joint)
    others = [{"optimization": "staged"}, {"optimization": "alternating"}, {"interference": 5}]
    assert len({identity(recipe_of(tmp_path, training=training)) for training in others}) == 3
    known = {
        "name": "a", "model": "m", "task": {"kind": "text-classification", "dataset": "d.jsonl"},
        "classes": ["a", "b"], "pyramid": Pyramid.lora(2, 2, ("query",)).to_json(),
    }  # fmt: skip
    assert identity(Recipe.model_validate(known)).startswith("ca3f01e08cee44e3fdf6")  # before there were these


@pytest.mark.slow
def test_two_processes_take_the_turns_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    training = {"epochs": 1, "optimization": "alternating", "interference": 6, "trainer": {"logging_steps": 2}}
    recipe = write_recipe(tmp_path, pyramid=THREE.to_json(), training=training)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    one = call(PROGRAM, "train", recipe, "--output", tmp_path / "one")
    words = ["--nproc_per_node", "2", "--master_port", str(28_000 + os.getpid() % 900)]
    two = call(PROGRAM.with_name("torchrun"), *words, PROGRAM, "train", recipe, "--output", tmp_path / "two")
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    of_one, of_two = (
        [json.loads(line) for line in (tmp_path / name / FILE).read_text().splitlines()] for name in ("one", "two")
    )
    assert [line["step"] for line in of_two] == [line["step"] for line in of_one] == [1, 5, 9, 14, 18, 22]
    for ours, theirs in zip(of_one, of_two, strict=True):
        for pair, layers in ours["cosines"].items():
            assert theirs["cosines"][pair] == pytest.approx(layers, abs=1e-3)
