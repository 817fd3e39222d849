from __future__ import annotations

from pathlib import Path

import pytest

from msplora_search.files import make_whole


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    make_whole(tmp_path / "a", lambda folder: (folder / "one").touch())
    make_whole(tmp_path / "a", lambda folder: (folder / "two").touch())
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_the_earlier_folder_comes_back_when_the_new_one_cannot_be_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_whole(tmp_path / "a", lambda folder: (folder / "x").touch())
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "a.part":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="No space"):
        make_whole(tmp_path / "a", lambda folder: (folder / "y").touch())
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "x"]


def test_a_folder_lost_between_two_renames_is_found_again(tmp_path: Path) -> None:
    make_whole(tmp_path / "a.old", lambda folder: (folder / "x").touch())

    def fail(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        make_whole(tmp_path / "a", fail)
    assert (tmp_path / "a" / "x").is_file()
