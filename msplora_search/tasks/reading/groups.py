"""Rows that belong together: a column whose equal values are one group."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msplora_search.errors import InputError
from msplora_search.files import user_path
from msplora_search.tasks.reading.cells import class_names
from msplora_search.tasks.reading.table import Table
from msplora_search.text import printable, shown

FIELD = "task.group"
OF_IMAGE_FOLDERS = {"image", "label"}
"""The columns that a folder with a folder for each class has."""


def save_groups(table: Table, name: str, folder: Path) -> str:
    """Write which rows of the column `name` belong together into `folder`, and return a note on them.

    Cells are equal where they would be one class, see `cells.class_of`. Raises InputError where there is no such
    column, and naming the row of a cell that is empty or could be no class.
    """
    if name not in table.columns and set(table.names) == OF_IMAGE_FOLDERS and user_path(table.source).is_dir():
        raise InputError(
            f"{printable(table.source)}: {FIELD} is {shown(name)}, but a folder of images has no such column; "
            "give a table with paths of the images and that column",
            FIELD,
        )
    values = class_names(table, name, FIELD, "text, a whole number or true/false")
    index = {value: i for i, value in enumerate(dict.fromkeys(values))}
    digests = [int.from_bytes(blake2b(value.encode(), digest_size=8).digest()) for value in index]
    np.save(folder / "groups.npy", np.array([index[value] for value in values], dtype=np.int64))
    np.save(folder / "group_keys.npy", np.array(digests, dtype=np.uint64))
    return f"{len(index):,} groups of equal {shown(name)}"


def load_groups(folder: Path) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Map what `save_groups` wrote into memory: index of each row's group (rows,), digest of its value (groups,).

    Groups are counted as they appear; two tables hold the same group where the digests are equal.
    """
    return np.load(folder / "groups.npy", mmap_mode="r"), np.load(folder / "group_keys.npy", mmap_mode="r")
