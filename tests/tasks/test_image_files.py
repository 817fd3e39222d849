"""What `read_image` makes of files: the right pixels, or one line that says which file, and why not."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from msplora_search.tasks.reading.images import (
    EXIF_BROKEN,
    MOST_PIXELS,
    SEVERAL,
    ImageError,
    Stored,
    how_stored,
    read_image,
)

Pixels = NDArray[np.uint8]
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: np.rot90,
}
"""What the EXIF standard says of each orientation, on stored pixels: (height, width, 3)."""
LOSSLESS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}),
]  # fmt: skip


def squares() -> Pixels:
    """Squares of 16 by 16 pixels, each of its own colour: (48, 32, 3). JPEG keeps them nearly as they are."""
    small = np.random.default_rng(0).integers(0, 255, (3, 2, 3)).astype(np.uint8)
    return np.kron(small, np.ones((16, 16, 1), np.uint8))


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(("form", "options"), [*LOSSLESS, ("JPEG", {"subsampling": 0, "quality": 95})])
def test_every_orientation_is_turned_upright(
    tmp_path: Path, form: str, options: dict[str, Any], orientation: int
) -> None:
    Image.fromarray(squares()).save(tmp_path / "x", form, exif=oriented(orientation), **options)
    found = np.asarray(read_image("x", tmp_path).rgb, dtype=int)
    assert np.abs(found - UPRIGHT[orientation](squares())).max() <= (8 if form == "JPEG" else 0)


def test_an_image_in_memory_is_turned_upright_once(tmp_path: Path) -> None:
    Image.fromarray(squares()).save(tmp_path / "x.png", exif=oriented(6))
    with Image.open(tmp_path / "x.png") as image:
        once = read_image(image, tmp_path).rgb
    assert np.array_equal(np.asarray(once), UPRIGHT[6](squares()))
    assert np.array_equal(np.asarray(read_image(once, tmp_path).rgb), np.asarray(once))


def test_exif_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    Image.fromarray(squares()).save(tmp_path / "x.png", exif=b"Exif\x00\x00no such thing at all")
    assert read_image("x.png", tmp_path).stored == Stored("RGB", None, (EXIF_BROKEN,))


def test_exif_with_an_odd_tag_turns_the_image_all_the_same(tmp_path: Path) -> None:
    tags = [(0x0112, 3, 1, b"\x06\0\0\0"), (0xA005, 7, 2, b"ab\0\0")]
    entries = struct.pack("<H", 2) + b"".join(struct.pack("<HHI", *tag[:3]) + tag[3] for tag in tags)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + entries + b"\0\0\0\0"
    Image.fromarray(squares()).save(tmp_path / "x.jpg", exif=exif, subsampling=0, quality=95)
    found = np.asarray(read_image("x.jpg", tmp_path).rgb, dtype=int)
    assert np.abs(found - UPRIGHT[6](squares())).max() <= 8


@pytest.mark.parametrize("name", ["x.png", "x.tiff", "x.pgm"])
def test_sixteen_bits_of_grey_keep_the_upper_eight(tmp_path: Path, name: str) -> None:
    values = np.array([[0, 255, 256, 4095], [32767, 32768, 65279, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / name)
    picture = read_image(name, tmp_path)
    assert np.array_equal(np.asarray(picture.rgb)[:, :, 0], values >> 8)
    assert picture.stored.brightest == 65535


def test_sixteen_bits_are_turned_upright_too(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) << 8
    Image.fromarray(values).save(tmp_path / "x.png", exif=oriented(6))
    found = np.asarray(read_image("x.png", tmp_path).rgb)[:, :, 0]
    assert np.array_equal(found, np.rot90(values >> 8, -1))


def png(width: int, height: int, bits: int, colour: int, data: bytes, further: bytes = b"") -> bytes:
    """A PNG with any header, and any data; Pillow writes no 16 bits in colour, and no bombs."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), further, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_sixteen_bits_of_colour_are_read_as_those_of_grey(tmp_path: Path) -> None:
    values = np.array([[[1000, 255, 65535], [4095, 0, 32768]]], dtype=">u2")
    (tmp_path / "x.png").write_bytes(png(2, 1, 16, 2, b"\0" + values.tobytes()))
    assert np.array_equal(np.asarray(read_image("x.png", tmp_path).rgb), values >> 8)


def test_what_is_transparent_in_sixteen_bits_is_white(tmp_path: Path) -> None:
    values = np.array([[1000, 2000]], dtype=">u2")
    clear = chunk(b"tRNS", struct.pack(">H", 1000))
    (tmp_path / "x.png").write_bytes(png(2, 1, 16, 0, b"\0" + values.tobytes(), clear))
    assert np.asarray(read_image("x.png", tmp_path).rgb)[0, :, 0].tolist() == [255, 2000 >> 8]


def test_a_palette_with_transparency_is_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putdata([0, 1])
    image.save(tmp_path / "x.png", transparency=bytes([0, 255]))
    picture = read_image("x.png", tmp_path)
    assert picture.stored.mode == "P"
    assert np.asarray(picture.rgb).tolist() == [[[255, 255, 255], [10, 20, 30]]]


def test_a_jpeg_in_cmyk_shows_its_colours(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK").save(tmp_path / "x.jpg", quality=95)
    picture = read_image("x.jpg", tmp_path)
    assert picture.stored.mode == "CMYK"
    assert np.abs(np.asarray(picture.rgb, dtype=int) - (255, 0, 0)).max() < 8


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_of_several_frames_is_read(tmp_path: Path, form: str) -> None:
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    first.save(
        tmp_path / "x",
        form,
        save_all=True,
        append_images=[second],
        **({"lossless": True} if form == "WEBP" else {}),
    )
    picture = read_image("x", tmp_path)
    assert picture.stored.remarks == (SEVERAL,)
    assert np.array_equal(np.asarray(picture.rgb), np.asarray(first))


def test_bytes_and_mappings_of_datasets_are_images(tmp_path: Path) -> None:
    Image.fromarray(squares()).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    for cell in (content, {"bytes": content, "path": None}, {"bytes": None, "path": str(tmp_path / "x.png")}):
        assert np.array_equal(np.asarray(read_image(cell, tmp_path / "elsewhere").rgb), squares())


def test_notes_count_what_was_changed() -> None:
    stored = [Stored("RGB"), Stored("L"), Stored("I;16", 4095), Stored("I;16", 300), Stored("P", None, (SEVERAL,))]
    assert how_stored(stored) == (
        "2 of mode I;16, 1 of mode L, 1 of mode P are made RGB; "
        "2 of 16 bits keep the upper 8 (the brightest of their pixels is 4,095 of 65,535); "
        "1 of several frames, of which the first is read"
    )
    assert how_stored([Stored("RGB")] * 3) == ""


def pipe(path: Path) -> None:
    os.mkfifo(path)


def loop(path: Path) -> None:
    path.symlink_to(path)


def large(width: int, height: int) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(png(width, height, 8, 0, b""))


def eps(path: Path) -> None:
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n")


def floating(path: Path) -> None:
    Image.new("F", (4, 4)).save(path, "TIFF")


def cut(form: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(path, form)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return make


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda _: None, "x: No such file"),
    "empty": (lambda p: p.touch(), "x: it is empty or damaged, or in another format; it must be one of JPEG, PNG"),
    "text": (lambda p: p.write_text("no image"), "x: it is empty or damaged, or in another format"),
    "folder": (lambda p: p.mkdir(), "x: it is a folder"),
    "pipe": (pipe, "x: it is no regular file"),
    "device": (lambda p: p.symlink_to("/dev/zero"), "x: it is no regular file"),
    "loop": (loop, "x: Too many levels of symbolic links"),
    "bomb": (large(30_000, 30_000), f"x: it has more than {MOST_PIXELS:,} pixels"),
    "small bomb": (large(12_000, 9_000), f"x: it has more than {MOST_PIXELS:,} pixels"),
    "eps": (eps, "x: EPS is not read; it must be one of JPEG"),
    "svg": (lambda p: p.write_text("<?xml version='1.0'?><svg xmlns='a'/>"), "x: SVG is not read"),
    "floats": (floating, "x: it has the mode F; it must have 8 or 16 bits a channel"),
    **{f"cut {form}": (cut(form), "x: ") for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_not_read_is_named_in_one_line(
    tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make, said = REFUSED[case]
    make(tmp_path / "x")
    with pytest.raises(ImageError) as caught:
        read_image("x", tmp_path)
    assert str(caught.value).startswith(f"cannot be read as an image: {tmp_path}/{said}")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a\0b.png", r"a\x00b.png: embedded null byte"),
        (
            "https://example.org/x.png",
            "https://example.org/x.png: it is an address; images are read from files only",
        ),
        ("a" * 300 + ".png", ".png: File name too long"),
        ("~nobody-here/x.png", "~nobody-here/x.png: No such file or directory"),
        ("\x1b[31m.png", r"\x1b[31m.png: No such file or directory"),
        ("", ": it is a folder"),
    ],
)
def test_a_path_that_leads_nowhere_is_named_in_one_line(tmp_path: Path, path: str, said: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(path, tmp_path)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "cell", [17, None, 1.5, ["x.png"], {"a": 1}, np.zeros((2, 2, 5), np.uint8), np.zeros((0, 0))]
)
def test_a_cell_that_is_no_image_is_shown(tmp_path: Path, cell: Any) -> None:
    with pytest.raises(ImageError, match=r"must be an image, or the path of|cannot be read as an image: "):
        read_image(cell, tmp_path)


@pytest.mark.parametrize("name", ["x.eps", "x.png", "x"])
def test_no_file_starts_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ghostscript.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    eps(tmp_path / name)
    with pytest.raises(ImageError, match="EPS is not read"):
        read_image(name, tmp_path)
    assert not (tmp_path / "started").exists()
    with Image.open(tmp_path / name) as image, suppress(OSError):
        image.load()  # what Pillow does by itself
    assert (tmp_path / "started").exists()
