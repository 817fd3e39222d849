"""Finds, reads and writes study and space files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from msplora_search.errors import InputError, suggest
from msplora_search.settings.document import Document
from msplora_search.settings.models import SpaceSettings, StudySettings

DATA_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


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
        if isinstance(value, str):
            document.put(field, _absolute(value, beside=path.parent))
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


def check_file(path: str) -> StudySettings | SpaceSettings:
    """Read a study or a space file, whichever it is: a study names a model and a task."""
    keys = Document.read(Path(path)).data
    return load_study(path) if {"model", "task", "search", "proxy"} & set(keys) else load_space(path)


def shipped(kind: str) -> dict[str, Path]:
    """The files that come with the program, by name; `kind` is studies or spaces."""
    installed = Path(str(files("msplora_search"))) / "shipped" / kind
    folder = installed if installed.is_dir() else Path(__file__).parents[2] / kind
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(name: str, kind: str, said: str, beside: Path | None = None) -> Path:
    """The file called `name`: a path, beside another file or in the current folder, or a shipped name.

    `said` begins the error where there is none: what names the file, and where.
    """
    for candidate in ([beside / name] if beside else []) + [Path(name).expanduser()]:
        if candidate.is_file():
            return candidate.resolve()
    known = shipped(kind)
    if name in known:
        return known[name]
    raise InputError(f"{said} {name!r}: no such file, and none of that name is shipped; {suggest(name, known)}")


def _absolute(value: str, beside: Path) -> str:
    """A path as an absolute one; a Hugging Face id or demo name as it stands."""
    for candidate in (beside / value, Path(value).expanduser()):
        if candidate.exists():
            return str(candidate.resolve())
    if value.startswith(("./", "../", "/", "~")) or value.endswith(DATA_SUFFIXES):
        return str((beside / Path(value).expanduser()).resolve())
    return value
