"""Opens images out of data: listed formats only, within bounds, upright, in RGB, and never a program."""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from msplora_search.text import brief, shown

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""No other format is tried: to show an EPS file, for one, Pillow starts ghostscript."""
MOST_PIXELS = 89_478_485
"""Pillow's own bound, above which it warns: a quarter of a gigabyte in RGB."""
EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
"""Modes of Pillow that can be made RGB without losing what the image shows."""
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
TURNS: dict[Any, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image of an EXIF orientation upright; Pillow turns against the clock."""
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
ANIMATED = ("GIF", "PNG", "WEBP", "TIFF")
SEVERAL = "of several frames, of which the first is read"
EXIF_BROKEN = "with EXIF data that cannot be read, and taken as upright"


class ImageError(ValueError):
    """A cell whose image cannot be read; the text goes on from `row 2 of column 'image'`."""


@dataclass(frozen=True)
class Stored:
    """How an image was stored: Pillow's name for its mode, and what else there is to tell."""

    mode: str
    brightest: int | None = None
    """The highest value of a pixel where these have 16 bits, of which the upper 8 are read."""
    remarks: tuple[str, ...] = ()
    """Such as `SEVERAL`."""


@dataclass(frozen=True)
class Picture:
    """An image in RGB, upright, white where it was transparent, and how it was stored."""

    rgb: Image.Image
    stored: Stored


def read_image(cell: Any, folder: Path) -> Picture:
    """The image of a cell: an image, an array, the bytes of a file, a path, or `datasets`' mapping of these.

    A path is taken from `folder`, or from where the program runs. Raises ImageError.
    """
    path = path_of(cell)
    match cell:
        case _ if path is not None:
            file = file_of(path, folder)
            with _naming(path if ADDRESS.match(path) else str(file)):
                state_of(path, folder)
                with file.open("rb") as opened:
                    return _of_file(opened)
        case Image.Image():
            with _naming(""):
                return _picture(cell)
        case np.ndarray():
            with _naming(""):
                return _picture(Image.fromarray(cell))
        case bytes():
            with _naming(""):
                return _of_file(BytesIO(cell))
        case {"bytes": bytes(content)}:
            with _naming(str(cell.get("path") or "")):
                return _of_file(BytesIO(content))
    raise ImageError(f"is {shown(cell)}; it must be an image, or the path of an image file")


def path_of(cell: Any) -> str | None:
    """The path that a cell gives; None where it holds the image itself, or none."""
    match cell:
        case str():
            return cell
        case {"bytes": None, "path": str(path)}:
            return path
    return None


def file_of(path: str, folder: Path) -> Path:
    """Where a path leads from `folder`, or else from where the program runs, `~` being the user's home."""
    beside, here = os.path.join(folder, path), os.path.abspath(os.path.expanduser(path))
    return Path(here if os.path.exists(here) and not os.path.exists(beside) else beside)


def state_of(path: str, folder: Path) -> os.stat_result:
    """Size and times of the regular file that `file_of` finds, which is not opened.

    Raises OSError or ValueError for anything else: an address, a folder, a pipe, a loop of links.
    """
    if ADDRESS.match(path):
        raise ValueError("it is an address; images are read from files only, so download it and give its path")
    found = file_of(path, folder).stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is a folder" if stat.S_ISDIR(found.st_mode) else "it is no regular file")
    return found


def how_stored(images: Sequence[Stored]) -> str:
    """A note on what was changed in reading; empty where nothing was."""
    modes = Counter(image.mode for image in images if image.mode != "RGB")
    made = ", ".join(f"{count:,} of mode {mode}" for mode, count in sorted(modes.items()))
    notes = [f"{made} are made RGB"] if made else []
    if wide := [image.brightest for image in images if image.brightest is not None]:
        notes.append(
            f"{len(wide):,} of 16 bits keep the upper 8 (the brightest of their pixels is {max(wide):,} of 65,535)"
        )
    remarks = Counter(remark for image in images for remark in image.remarks)
    return "; ".join([*notes, *(f"{count:,} {remark}" for remark, count in sorted(remarks.items()))])


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put the file's name before whatever reading it fails with, and let no warning out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except Exception as error:  # a damaged file makes Pillow raise whatever it stumbles over
        said = f"{brief(name, 200)}: {_why(error)}" if name else _why(error)
        raise ImageError(f"cannot be read as an image: {said}") from None


def _why(error: Exception) -> str:
    match error:
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            return f"it has more than {MOST_PIXELS:,} pixels"
        case OSError(strerror=str(reason)):
            return reason
        case _:
            return brief(str(error), 300) or type(error).__name__


def _of_file(file: IO[bytes]) -> Picture:
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(_what_it_is(file)) from None
    with image:
        if image.width * image.height > MOST_PIXELS:
            raise Image.DecompressionBombError
        several = image.format in ANIMATED and getattr(image, "is_animated", False)
        image.load()
        return _picture(image, [SEVERAL] if several else [])


def _what_it_is(file: IO[bytes]) -> str:
    """What is wrong with a file in none of the formats."""
    file.seek(0)
    start = file.read(1000).lstrip()
    one = "must be one of " + ", ".join(FORMATS)
    if start.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        return f"EPS is not read; it {one}"
    if b"<svg" in start.lower():
        return f"SVG is not read; it {one}"
    return f"it is empty or damaged, or in another format; it {one}"


def _picture(image: Image.Image, remarks: Sequence[str] = ()) -> Picture:
    wide = image.mode in SIXTEEN_BIT or (image.mode == "I" and image.format == "PPM")
    if image.mode not in EIGHT_BIT and not wide:
        raise ValueError(f"it has the mode {image.mode}; it must have 8 or 16 bits a channel, such as RGB or L")
    if 0 in image.size:
        raise ValueError("it has no pixels")
    upright, known = _upright(image)
    remarks = [*remarks, *([] if known else [EXIF_BROKEN])]
    brightest = int(np.asarray(image).max()) if wide else None
    rgb = _rgb(_upper_eight(upright) if wide else upright)
    bare = Image.fromarray(np.asarray(rgb))  # without EXIF data, by which a processor would turn it again
    return Picture(bare, Stored(image.mode, brightest, tuple(remarks)))


def _upright(image: Image.Image) -> tuple[Image.Image, bool]:
    """The image as it is to be looked at, and whether its EXIF data could be read.

    `ImageOps.exif_transpose` writes the EXIF data anew too, and fails where any tag of it is odd.
    """
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # Pillow raises whatever it stumbles over
        return image, False
    return (image if turn is None else image.transpose(turn)), True


def _upper_eight(image: Image.Image) -> Image.Image:
    """The upper 8 of 16 bits of grey, which is what Pillow itself keeps of 16 bits in colour."""
    values = np.asarray(image)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values = np.where(values == transparent, 0xFFFF, values)
    return Image.fromarray((values >> 8).astype(np.uint8))


def _rgb(image: Image.Image) -> Image.Image:
    """The image in RGB, on white where it is transparent."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    over = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
