from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from msplora_search.errors import InputError
from msplora_search.files import install, make_whole, public_name, read_json, set_aside, write_whole


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def fail(_: Path) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_is_replaced_whole_with_the_usual_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "one")
    write_whole(path, "zwölf")
    assert path.read_bytes() == "zwölf".encode()
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert names(tmp_path) == ["a.txt"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").symlink_to(tmp_path / "mine.txt")
    write_whole(tmp_path / "out" / "a.txt", "new")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert (tmp_path / "out" / "a.txt").read_text() == "new"


def test_a_file_that_cannot_be_put_in_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "a.txt", "old")
    monkeypatch.setattr(Path, "replace", lambda self, target: fail(self))
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a.txt", "new")
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "file").write_text(text)


def test_what_is_installed_replaces_its_namesakes_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "model"
    write(tmp_path, **{"model.old": "x", "model.part": "x"})
    target.mkdir()
    write(target, peft="before")
    (target / "peft" / "notes.txt").write_text("mine")
    (target / "data").mkdir()
    install(target, lambda part: write(part, peft="after", pyramid="new"))
    assert (target / "peft" / "file").read_text() == "after"
    assert names(tmp_path) == sorted(
        ["model", "model/data", "model/peft", "model/peft/file", "model/peft/notes.txt", "model/pyramid",
         "model/pyramid/file", "model.old", "model.old/file", "model.part", "model.part/file"]
    )  # fmt: skip


def test_an_installation_that_fails_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "model"
    install(target, lambda part: write(part, peft="before"))
    with pytest.raises(OSError, match="No space"):
        install(target, fail)
    assert names(tmp_path) == ["model", "model/peft", "model/peft/file"]


def test_the_file_that_vouches_for_the_others_is_away_while_they_are_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(part: Path) -> None:
        for name in ("a", "marker", "z"):
            (part / name).write_text(part.name)

    target = tmp_path / "model"
    install(target, fill, last="marker")
    order: list[str] = []
    replace = Path.replace

    def watched(self: Path, to: Path) -> Path:
        order.append(self.name)
        assert not (target / "marker").exists()
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", watched)
    install(target, fill, last="marker")
    assert (sorted(order[:2]), order[2]) == (["a", "z"], "marker")


def test_a_folder_of_our_own_is_replaced_as_a_whole(tmp_path: Path) -> None:
    make_whole(tmp_path / "a", lambda folder: (folder / "one").touch())
    make_whole(tmp_path / "a", lambda folder: (folder / "two").touch())
    assert names(tmp_path) == ["a", "a/two"]
    with pytest.raises(OSError, match="No space"):
        make_whole(tmp_path / "a", fail)
    assert names(tmp_path) == ["a", "a/two"]


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / ".a.msplora-part-x").mkdir()
    (tmp_path / ".ab.msplora-part-x").mkdir()
    make_whole(tmp_path / "a", lambda folder: (folder / "one").touch())
    assert names(tmp_path) == [".ab.msplora-part-x", "a", "a/one"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.json: is damaged \(.*\); run it again") as caught:
        read_json(tmp_path / "x.json", "run it again")
    assert "\n" not in str(caught.value)


def test_what_is_set_aside_replaces_nothing(tmp_path: Path) -> None:
    for text in ("one", "two", "three"):
        (tmp_path / "x").write_text(text)
        set_aside(tmp_path / "x")
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"x.damaged": "one", "x.damaged-2": "two", "x.damaged-3": "three"}


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("org/model", "org/model"),
        ("demo:minilm", "demo:minilm"),
        ("/home/user/models/my-encoder", "my-encoder"),
        ("~nobody/my-encoder/", "my-encoder"),
        ("../models/my-encoder", "my-encoder"),
        ("here/data.csv", "data.csv"),
        ("/", "unnamed"),
        ("\0", "\0"),
        ("x" * 5_000, "x" * 5_000),
    ],
)
def test_a_path_leaves_this_machine_as_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, public: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "data.csv").touch()
    assert public_name(name) == public


def test_the_folder_one_stands_in_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert public_name(".") == tmp_path.name
