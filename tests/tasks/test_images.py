from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings import StudySettings
from msplora_search.tasks.demo import demo_rows
from msplora_search.tasks.image_classification import Images
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.task import Task, prepare
from tests.small import write_jsonl
from tests.tasks.models import save_vit, stripes, study_of


def images(folder: Path, count: int = 240) -> Path:
    """A table of paths beside its images."""
    (folder / "images").mkdir()
    rows = []
    for i, (image, label) in enumerate(stripes(count)):
        image.save(folder / "images" / f"{i}.png")
        rows.append({"image": f"images/{i}.png", "label": label})
    return write_jsonl(folder / "data.jsonl", rows)


def settings_of(folder: Path, dataset: str, **task: Any) -> StudySettings:
    save_vit(folder / "model")
    return study_of(folder, {"kind": "image-classification", "dataset": dataset, **task})


def prepared(settings: StudySettings) -> Task:
    return prepare(settings, load_processor(settings))


def test_pixels_are_those_of_the_models_own_processor(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, str(images(tmp_path)))
    task, processor = prepared(settings), load_processor(settings)
    rows = np.array([3, 0, 5])
    batch = task.collate(task.train, rows)
    for place, i in enumerate(task.train.rows[rows]):
        expected = processor(Image.open(tmp_path / "images" / f"{i}.png"), return_tensors="pt")["pixel_values"][0]
        assert torch.allclose(batch.inputs["pixel_values"][place], expected, atol=1e-6)


def test_a_vision_transformer_learns(tmp_path: Path) -> None:
    bench = Workbench.load(settings_of(tmp_path, str(images(tmp_path))))
    assert bench.task.classes == ("down", "up")
    (_, last) = bench.measure(Pyramid.lora(4, 2, bench.space().targets[0]), 2e-2)
    assert last.metric > 0.9


def test_a_folder_for_each_class_is_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    for i, (image, label) in enumerate(stripes(40)):
        (tmp_path / "set" / label).mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "set" / label / f"{i}.png")
    task = prepared(settings_of(tmp_path, str(tmp_path / "set")))
    assert task.classes == ("down", "up")
    assert len(task.train.corpus.truth) == 40


def read(tmp_path: Path, cells: list[Any]) -> str:
    """The note on a column of images."""
    settings = settings_of(tmp_path, "none.jsonl")
    kind = kind_of(settings.task, load_processor(settings))
    table = Table({"image": cells, "label": ["a", "b"] * (len(cells) // 2)}, str(tmp_path / "data.jsonl"))
    return kind.read(table, None).note


def test_mixed_modes_become_rgb_and_are_told(tmp_path: Path) -> None:
    plain = stripes(1)[0][0]
    cells = [plain, plain.convert("L"), plain.convert("RGBA"), plain.convert("P"), plain.convert("L"), plain]
    assert read(tmp_path, cells) == "2 of mode L, 1 of mode P, 1 of mode RGBA are made RGB"
    assert read(tmp_path, [plain, plain]) == ""
    assert read(tmp_path, [plain.convert("L")] * 2) == "2 of mode L are made RGB"


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "none.jsonl")
    kind = kind_of(settings.task, load_processor(settings))
    shown = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    table = Table({"image": [shown, shown], "label": ["a", "b"]}, "x")
    inputs, _ = kind.collate(kind.read(table, None).examples, np.array([0]), np.array([0]))
    assert torch.equal(inputs["pixel_values"], torch.ones(1, 3, 8, 8))


def test_an_image_that_changed_is_read_anew(tmp_path: Path) -> None:
    data = images(tmp_path)
    settings = settings_of(tmp_path, str(data))
    before = prepared(settings).train.corpus
    assert prepared(settings).train.corpus.fingerprint == before.fingerprint
    Image.new("RGB", (12, 12), "white").save(tmp_path / "images" / "0.png")
    after = prepared(settings).train.corpus
    assert after.fingerprint != before.fingerprint
    assert isinstance(after.examples, Images)
    assert (after.examples.pixels[0] == 255).all()


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (Image.new("F", (8, 8)), "row 2 of column 'image' cannot be read as an image: it has the mode F"),
        ("nothing.png", "row 2 of column 'image' cannot be read as an image: .*nothing.png"),
        (17, "row 2 of column 'image' is 17; it must be an image, or the path of an image file"),
        (None, "row 2 of column 'image' is None"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, cell: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(tmp_path, [stripes(1)[0][0], cell])


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="row 2 of column 'image' cannot be read as an image"):
        read(tmp_path, [stripes(1)[0][0], "broken.png"])


def test_a_broken_file_in_a_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    for i, (image, label) in enumerate(stripes(20)):
        (tmp_path / "set" / label).mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "set" / label / f"{i}.png")
    broken = next((tmp_path / "set" / "up").iterdir())
    broken.write_bytes(broken.read_bytes()[:90])
    with pytest.raises(InputError, match=f"row .* of column 'image' cannot be read as an image: {broken}: "):
        prepared(settings_of(tmp_path, str(tmp_path / "set")))


@pytest.mark.parametrize("way", ["paths", "folder", "parquet"])
def test_every_way_of_reading_turns_a_rotated_jpeg_upright_once(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    exif = Image.Exif()
    exif[0x0112] = 6
    files = []
    for label, colours in (("a", ("red", "blue")), ("b", ("green", "white"))):
        (tmp_path / "set" / label).mkdir(parents=True)
        sideways = Image.new("RGB", (32, 32), colours[0])
        sideways.paste(colours[1], (0, 16, 32, 32))
        files += [tmp_path / "set" / label / f"{i}.jpg" for i in range(12)]
        for file in files[-12:]:
            sideways.save(file, exif=exif, subsampling=0, quality=95)
    rows = [{"image": str(file), "label": file.parent.name} for file in files]
    match way:
        case "paths":
            dataset = write_jsonl(tmp_path / "data.jsonl", rows)
        case "folder":
            dataset = tmp_path / "set"
        case _:
            dataset = tmp_path / "data.parquet"
            features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
            datasets.Dataset.from_list(rows, features).to_parquet(dataset)
    examples = prepared(settings_of(tmp_path, str(dataset))).train.corpus.examples
    assert isinstance(examples, Images)
    upright = examples.pixels[0].astype(int)
    assert np.abs(upright[:, :, :3] - np.array([0, 0, 255])[:, None, None]).max() < 12  # what lay below is left
    assert np.abs(upright[:, :, 5:] - np.array([255, 0, 0])[:, None, None]).max() < 12


def test_the_digits_are_what_is_described() -> None:
    rows = demo_rows("digits")
    assert len(rows) == 1797
    first = rows[0]["image"]
    assert isinstance(first, np.ndarray)
    assert (first.shape, first.dtype, first.max()) == ((8, 8), np.uint8, 239)
    assert sorted({row["label"] for row in rows}, key=int) == list(range(10))  # type: ignore[arg-type]
