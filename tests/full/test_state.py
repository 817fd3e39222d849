"""What a training keeps on disk: damaged, of another recipe, in other hands, links; and trainings that diverge."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.full.checkpoints import (
    CHECKPOINTS,
    IDENTITY,
    checkpoints,
    forget_run,
    identity,
    require_same_run,
)
from msplora_search.full.delivered import Delivered, read_delivered, results_text
from msplora_search.full.delivery import train_and_deliver
from msplora_search.full.jobs import Job, read, set_damaged_aside
from msplora_search.full.proofs import require_equal
from msplora_search.full.training import is_first_process, train_recipe
from msplora_search.settings.recipe import Recipe, load_recipe
from tests.example import LABELS, evaluation
from tests.full.test_training import recipe_of, write_recipe

DONE = Delivered(Path(), 0.8, (0.7, 0.9), 10, 30, 40, 1e-7)


@pytest.fixture
def delivered(tmp_path: Path) -> tuple[Recipe, Path]:
    """A recipe, and the record of its delivered model."""
    recipe = recipe_of(tmp_path)
    file = tmp_path / "out" / "model" / "results.json"
    file.parent.mkdir(parents=True)
    file.write_text(results_text(recipe, DONE))
    return recipe, file


def test_a_record_is_read_back(delivered: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, file = delivered
    found = read_delivered(recipe, tmp_path / "out")
    assert found is not None
    assert vars(found) == {**vars(DONE), "folder": file.parent}


def test_a_record_of_the_first_version_is_read(delivered: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, file = delivered
    data = json.loads(file.read_text())
    del data["stored_params"]
    file.write_text(json.dumps({**data, "further": 1}))
    found = read_delivered(recipe, tmp_path / "out")
    assert found is not None
    assert found.stored_params == 30


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"recipe": "x"}',
        b'{"recipe": "x", "metric": "y"}',
    ],
)
def test_a_damaged_record_is_told_in_one_line_and_set_aside(
    delivered: tuple[Recipe, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    recipe, file = delivered
    file.write_bytes(content)
    assert read_delivered(recipe, tmp_path / "out") is None
    said = capsys.readouterr().err
    assert re.fullmatch(
        r".*results\.json: is damaged \(.*\); it is set aside, and the model delivered anew "
        r"\(it is now results\.json\.damaged\)\n",
        said,
    )
    assert file.with_name("results.json.damaged").read_bytes() == content
    assert not file.exists()


@pytest.mark.slow
def test_a_model_whose_record_is_damaged_is_delivered_from_its_checkpoints(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, training={"epochs": 1})
    first = train_and_deliver(recipe, tmp_path / "out")
    folder = tmp_path / "out" / "model"
    (folder / "notes.txt").write_text("mine")
    (folder / "results.json").write_text("")
    stamp = [path.stat().st_mtime_ns for path in checkpoints(tmp_path / "out" / CHECKPOINTS)]
    again = train_and_deliver(recipe, tmp_path / "out")
    assert again is not None
    assert first is not None
    assert replace(again, serving=None) == replace(first, serving=None)
    assert [path.stat().st_mtime_ns for path in checkpoints(tmp_path / "out" / CHECKPOINTS)] == stamp
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "results.json.damaged").read_text() == ""


@pytest.mark.parametrize("content", [b"", b"\n", b"\x00" * 64, b"\xff", b"not a sum"])
def test_an_emptied_marker_condemns_no_checkpoints(tmp_path: Path, content: bytes) -> None:
    marker = tmp_path / "out" / CHECKPOINTS / IDENTITY
    marker.parent.mkdir(parents=True)
    marker.write_bytes(content)
    require_same_run(recipe_of(tmp_path), tmp_path / "out")
    marker.write_text(identity(recipe_of(tmp_path, training={"epochs": 7})))
    with pytest.raises(InputError, match="holds checkpoints of another recipe"):
        require_same_run(recipe_of(tmp_path), tmp_path / "out")


def test_only_checkpoints_are_taken_for_such(tmp_path: Path) -> None:
    folder = tmp_path / CHECKPOINTS
    for name in ("checkpoint-9", "checkpoint-10", "checkpoint-best", "mine"):
        (folder / name).mkdir(parents=True)
    (folder / IDENTITY).touch()
    assert [path.name for path in checkpoints(folder)] == ["checkpoint-9", "checkpoint-10"]
    forget_run(tmp_path)
    assert {path.name for path in folder.iterdir()} == {"checkpoint-best", "mine"}
    for name in ("checkpoint-best", "mine"):
        (folder / name).rmdir()
    forget_run(tmp_path)
    assert not folder.exists()


def test_a_link_in_the_output_folder_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / CHECKPOINTS).symlink_to(tmp_path / "disk")  # a link to another disk leads there
    (tmp_path / "disk" / IDENTITY).symlink_to(mine)
    recipe = recipe_of(tmp_path, training={"epochs": 1})
    train_recipe(recipe, tmp_path / "out")
    assert mine.read_text() == "mine"
    assert (tmp_path / "disk" / IDENTITY).read_text().strip() == identity(recipe)
    assert checkpoints(tmp_path / "disk")


def test_a_folder_in_other_hands_is_left_alone(tmp_path: Path) -> None:
    recipe, output = recipe_of(tmp_path), tmp_path / "out"
    output.mkdir()
    with (
        FileLock(output / ".lock", is_singleton=False),
        pytest.raises(InputError, match=r"^--output .*out: another run is at work there"),
    ):
        train_and_deliver(recipe, output)
    assert not (output / CHECKPOINTS).exists()


def test_a_refused_recipe_leaves_no_folder(tmp_path: Path) -> None:
    wrong = recipe_of(tmp_path, classes=["bad", "good", "odd"])
    with pytest.raises(InputError, match="has the classes"):
        train_and_deliver(wrong, tmp_path / "a" / "out")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("name", "value", "first"), [("RANK", "0", True), ("RANK", "1", False), ("PMI_RANK", "3", False)]
)
def test_one_of_several_processes_writes(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, first: bool
) -> None:
    assert is_first_process()
    monkeypatch.setenv(name, value)
    assert is_first_process() == first


def test_training_that_diverges_is_one_line_with_the_place_of_the_rate(tmp_path: Path) -> None:
    path = write_recipe(
        tmp_path, training={"learning_rate": 0.99, "trainer": {"optim": "sgd", "max_grad_norm": 0}}
    )
    poison(tmp_path / "model")
    with pytest.raises(InputError) as caught:
        train_and_deliver(load_recipe(path), tmp_path / "out")
    assert re.match(
        r".*recipe\.yaml:\d+: training diverged: the loss is nan at step 1; lower training\.learning_rate, and "
        r"name another --output or delete .*checkpoints$",
        str(caught.value),
    )
    line = int(str(caught.value).split(":")[1])
    assert "learning_rate" in path.read_text().splitlines()[line - 1]
    assert not (tmp_path / "out" / "model").exists()


def poison(model: Path) -> None:
    """Make a base whose activations are no numbers, as those of one in bf16 that overflows."""
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    weights["bert.encoder.layer.0.output.LayerNorm.weight"].fill_(float("nan"))
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("tied", "other", "said"),
    [
        (float("nan"), 0.0, "the trained model gives logits that are no finite numbers"),
        (0.0, float("nan"), "the PEFT model gives logits that are no finite numbers"),
        (0.0, 1.0, "the PEFT model differs from the trained one by 1.0e\\+00"),
    ],
)
def test_forms_that_disagree_and_forms_without_numbers_are_told_apart(
    tied: float, other: float, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        require_equal(torch.tensor([[tied]]), {"PEFT": torch.tensor([[other]])}, 1e-5)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("pyramid", {"pyramid": Pyramid.geometric(8, 6).to_json()}),
        ("seed", {"training": {"trainer": {"seed": 2}}}),
        ("trainer", {"training": {"trainer": {"optim": "nothing"}}}),
    ],
)
def test_what_does_not_fit_is_told_with_its_line(tmp_path: Path, field: str, changes: dict[str, Any]) -> None:
    path = write_recipe(tmp_path, **changes)
    with pytest.raises(InputError, match=r"recipe\.yaml:\d+: ") as caught:
        train_recipe(load_recipe(path), tmp_path / "out")
    line = int(re.findall(r"recipe\.yaml:(\d+)", str(caught.value))[0])
    assert path.read_text().splitlines()[line - 1].strip().startswith(f"{field}:")


def job_of(folder: Path) -> Job:
    job = Job(0, "one", recipe_of(folder), folder / "job")
    job.folder.mkdir()
    told = {"recipe": identity(job.recipe), "test": evaluation(1.0, 40).to_json(), "labels": LABELS.tolist()}
    job.stored.write_text(json.dumps(told))
    return job


def changed(job: Job, **changes: Any) -> None:
    job.stored.write_text(json.dumps({**json.loads(job.stored.read_text()), **changes}))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda job: job.stored.write_text(""),
        lambda job: job.stored.write_text("{"),
        lambda job: job.stored.write_text("[]"),
        lambda job: job.stored.write_text("3"),
        lambda job: job.stored.write_text("{}"),
        lambda job: job.stored.write_bytes(b"\xff"),
        lambda job: changed(job, labels=[]),
        lambda job: changed(job, labels=["a"] * len(LABELS)),
        lambda job: changed(job, labels=LABELS.tolist()[:-1]),
        lambda job: changed(job, test={}),
        lambda job: changed(job, test=3),
        lambda job: changed(job, test={**evaluation(1.0, 40).to_json(), "predictions": "AAAA"}),
        lambda job: changed(job, test={**evaluation(1.0, 40).to_json(), "metric": "good"}),
        lambda job: changed(job, recipe=None),
    ],
)
def test_a_damaged_result_of_a_confirmation_is_set_aside_to_be_trained_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Job], object]
) -> None:
    job, whole = job_of(tmp_path), job_of_other(tmp_path)
    spoil(job)
    capsys.readouterr()  # what making them has said
    set_damaged_aside([whole, job])
    said = capsys.readouterr().err
    assert re.fullmatch(
        r".*job/test\.json: is damaged \(.*\); it is set aside, and that training done anew "
        r"\(it is now test\.json\.damaged\)\n",
        said,
    )
    assert not job.stored.exists()
    assert read(whole).test.metric == evaluation(1.0, 40).metric


def job_of_other(folder: Path) -> Job:
    shutil.copytree(folder / "job", folder / "other")
    return Job(0, "other", recipe_of(folder), folder / "other")
