"""Finds, reads and writes study and space files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from importlib.resources import files
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from pydantic import BaseModel

from msplora_search.design.scaling import Scaling
from msplora_search.errors import InputError, suggest
from msplora_search.files import user_path
from msplora_search.settings.document import Document
from msplora_search.settings.models import StudySettings
from msplora_search.settings.origins import Origins
from msplora_search.settings.space import SpaceSettings
from msplora_search.text import shown

DATA_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


PRUNING_OF_0_1 = ("min_peers", "margin_se", "keep_share")
"""Fields that are no longer known."""


def load_study(study: str, overrides: Sequence[str] = ()) -> StudySettings:
    """Read a study by path or shipped name, with overrides such as `search.trials=4`.

    A relative path in it is looked up beside the file, then in the current folder.
    Raises InputError naming file, line, field and value.
    """
    path = find(study, "studies", "study")
    document = Document.read(path)
    for override in overrides:
        if override.startswith("space."):  # reaches into the space, also into one that is named
            _graft_space(document, path.parent)
        document.override(override)
    _graft_space(document, path.parent)
    for field in ("model", "task.dataset", "task.dataset.path", "task.dataset.test"):
        value = document.get(field)
        if isinstance(value, str) and value:  # an empty one is refused, not this folder
            # A folder may be called as a split is, but a test part is no folder.
            document.put(field, _absolute(value, path.parent, files_only=field == "task.dataset.test"))
    earlier = document.get("search.warm_start")
    if isinstance(earlier, list):
        document.put("search.warm_start", [_absolute_path(value, path.parent) for value in earlier])
    return document.validate(StudySettings)


def _graft_space(document: Document, beside: Path) -> None:
    """Replace the name of a space by its content."""
    space = document.get("space")
    if isinstance(space, str):
        path = find(space, "spaces", f"{document.where('space')}: space", beside)
        document.graft("space", Document.read(path))


def load_space(space: str) -> SpaceSettings:
    """Read a space by path or shipped name. Raises InputError naming file, line, field and value."""
    return Document.read(find(space, "spaces", "space")).validate(SpaceSettings)


def stored_settings(data: Any) -> StudySettings:
    """Settings out of a study's storage, where a version of this program put them; later fields have defaults.

    A space that was stored before it could name its scaling has the standard one, whatever the default is now, and
    how version 0.1 stopped trials is dropped.
    Raises InputError where they are damaged, or of a version that knows other fields.
    """
    match data:
        case {"space": Mapping() as space}:
            data = {**data, "space": {"scaling": Scaling.STANDARD.value, **space}}
    match data:
        case {"pruning": Mapping() as pruning}:
            data = {**data, "pruning": {key: value for key, value in pruning.items() if key not in PRUNING_OF_0_1}}
    try:
        return Document(data, Origins()).validate(StudySettings)
    except InputError as error:
        raise InputError(
            f"the settings stored with the study cannot be used: {error} "
            "(were they stored by another version of this program?)"
        ) from None


def check_file(path: str) -> StudySettings | SpaceSettings:
    """Read a study or a space file, whichever its keys are more like, misspelt ones included."""
    keys = [key for key in Document.read(user_path(path)).data if isinstance(key, str)]
    like_study, like_space = (_likeness(keys, kind) for kind in (StudySettings, SpaceSettings))
    return load_study(path) if like_study >= like_space else load_space(path)


def _likeness(keys: Iterable[str], kind: type[BaseModel]) -> float:
    """How much a file's keys are those of a kind of file."""
    return sum(max(SequenceMatcher(None, key, name).ratio() for name in kind.model_fields) ** 4 for key in keys)


def shipped(kind: str) -> dict[str, Path]:
    """The files that come with the program, by name; `kind` is studies or spaces."""
    installed = Path(str(files("msplora_search"))) / "shipped" / kind
    folder = installed if installed.is_dir() else Path(__file__).parents[2] / kind
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(name: str, kind: str, said: str, beside: Path | None = None) -> Path:
    """The file called `name`: a path, beside another file or in the current folder, or a shipped name.

    `said` begins the error where there is none: what names the file, and where.
    """
    places = [user_path(name)]
    if beside:
        places.insert(0, beside / name)
    known = shipped(kind)
    found = next((place for place in places if _is_there(place, S_ISREG)), known.get(name))
    if found:
        return found.resolve()
    if any(_is_there(place, S_ISDIR) for place in places):
        raise InputError(f"{said} {shown(name)}: is a folder; name the file in it")
    if any(_is_there(place, lambda mode: True) for place in places):
        raise InputError(f"{said} {shown(name)}: is a device or a pipe; it must be a text file")
    raise InputError(
        f"{said} {shown(name)}: no such file, and none of that name is shipped; {suggest(name, known)}"
    )


def _is_there(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(path.stat().st_mode)
    except (OSError, ValueError):  # names that no system takes among them
        return False


def _absolute_path(value: Any, beside: Path) -> Any:
    """The same of what is a path in any case; what is none is refused later."""
    is_path = isinstance(value, str) and value
    return os.path.abspath(beside / _absolute(value, beside)) if is_path else value


def _absolute(value: str, beside: Path, files_only: bool = False) -> str:
    """A path as an absolute one, its links as they are; a Hugging Face id, split or demo name as it stands."""
    for candidate in (beside / value, user_path(value)):
        wanted = os.path.isfile if files_only else os.path.exists
        broken_link = os.path.lexists(candidate) and not os.path.exists(candidate)
        if wanted(candidate) or broken_link:
            return os.path.abspath(candidate)
    if value.startswith(("./", "../", "/", "~")) or value.lower().endswith(DATA_SUFFIXES):
        return os.path.abspath(beside / user_path(value))
    return value
