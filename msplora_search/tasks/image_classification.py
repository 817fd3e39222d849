"""Image classification: a column of images or of paths, or a folder for each class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msplora_search.errors import InputError
from msplora_search.settings.task import DatasetSource, TaskSettings
from msplora_search.tasks.classes import OneClass
from msplora_search.tasks.kind import Content
from msplora_search.tasks.labels import labels_of
from msplora_search.tasks.metrics import Values
from msplora_search.tasks.parts import Examples, Rows
from msplora_search.tasks.reading.images import (
    ImageError,
    Stored,
    file_of,
    how_stored,
    path_of,
    read_image,
    state_of,
)
from msplora_search.tasks.reading.local_files import is_file
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.reading.tables import read_table

READING = 2
"""Part of the cache key: to be raised when pixels are read otherwise."""


@dataclass(frozen=True)
class Images:
    """Pixels of all images as the model's processor resized them, before it scales: (images, 3, height, width)."""

    pixels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """All alike: as many as squares of 16 by 16 pixels, the usual patch."""
        return np.full(len(self.pixels), max(1, self.pixels[0].size // 768), dtype=np.int64)

    def save(self, folder: Path) -> None:
        """Write the array into `folder`."""
        np.save(folder / "pixels.npy", self.pixels)


@dataclass(frozen=True)
class ImageClassification(OneClass):
    """See `kind.Kind`."""

    settings: TaskSettings
    processor: Any
    auto_class: str = "AutoModelForImageClassification"
    peft_type: str | None = None
    reads_one_token: bool = True
    evaluation_tokens: int = 8192

    def cache_key(self, source: DatasetSource) -> list[Any]:
        """Columns, processor, and the image files that a table names: its text stays the same when they change."""
        assert self.settings.image is not None
        files: list[Any] = []
        if is_file(source.path):
            table = read_table(source, [self.settings.image])
            cells = table.column("task.image", self.settings.image)
            files = [_state(table, path) for cell in cells if (path := path_of(cell)) is not None]
        return [READING, self.settings.image, self.settings.label, self.processor.to_json_string(), files]

    def read(self, table: Table, classes: tuple[str, ...] | None) -> Content:
        """Images and labels."""
        assert self.settings.image is not None
        assert self.settings.label is not None
        labels, names = labels_of(table, self.settings.label, classes)
        stored: list[Stored] = []
        pixels: NDArray[np.uint8] | None = None
        for row, cell in enumerate(table.column("task.image", self.settings.image)):
            try:
                picture = read_image(cell, _folder(table))
            except ImageError as error:
                where = f"{table.source}: row {row + 1} of column {self.settings.image!r}"
                raise InputError(f"{where} {error}") from None
            made = self.processor(picture.rgb, do_rescale=False, do_normalize=False, return_tensors="np")
            one = np.asarray(made["pixel_values"][0], dtype=np.uint8)
            if pixels is None:
                pixels = np.empty((table.rows, *one.shape), dtype=np.uint8)
            if one.shape != pixels.shape[1:]:
                raise InputError(
                    f"{table.source}: the image processor gives images of different sizes, {one.shape[1:]} in row "
                    f"{row + 1}; its preprocessor_config.json must fix height and width"
                )
            pixels[row] = one
            stored.append(picture.stored)
        assert pixels is not None
        return Content(Images(pixels), labels, names, how_stored(stored))

    def load(self, folder: Path) -> Examples:
        """Images."""
        return Images(np.load(folder / "pixels.npy", mmap_mode="r"))

    def collate(self, examples: Examples, rows: Rows, truth: Values) -> tuple[dict[str, Tensor], Tensor]:
        """Pixels as the processor scales them, (batch, 3, height, width), and classes (batch,)."""
        assert isinstance(examples, Images)
        pixels = torch.from_numpy(np.ascontiguousarray(examples.pixels[rows])).float()
        if self.processor.do_rescale:
            pixels *= self.processor.rescale_factor
        if self.processor.do_normalize:
            mean, std = (
                torch.tensor(v).view(-1, 1, 1) for v in (self.processor.image_mean, self.processor.image_std)
            )
            pixels = (pixels - mean) / std
        return {"pixel_values": pixels}, torch.from_numpy(truth)


def _folder(table: Table) -> Path:
    """Where the paths in a table begin: beside its file."""
    return Path(table.source).parent


def _state(table: Table, path: str) -> list[Any]:
    """What changes when the image file does; an image that cannot be read is told of when it is read."""
    try:
        found = state_of(path, _folder(table))
    except (OSError, ValueError):
        return [path]
    return [os.path.abspath(file_of(path, _folder(table))), found.st_size, found.st_mtime_ns]
