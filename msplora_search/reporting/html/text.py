"""A report's Markdown as HTML in which nothing foreign acts."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

MEDIA = {".svg": "image/svg+xml", ".png": "image/png"}


def rendered(text: str, pictures: Mapping[str, str]) -> str:
    """The HTML of a Markdown `text` with no tag, link or other picture in it.

    `pictures`: address of each picture that may be shown, by the name that the text has for it.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink", "reference"])
    parser.validateLink = lambda url: url in pictures  # type: ignore[method-assign]

    def picture(tokens: Sequence[Token], place: int, *_: Any) -> str:
        token = tokens[place]
        source = html.escape(pictures[str(token.attrs["src"])])
        return f'<img src="{source}" alt="{html.escape(token.content)}">'

    parser.renderer.rules["image"] = picture  # type: ignore[attr-defined]
    return str(parser.render(text))


def embedded(path: Path) -> str:
    """A picture as an address that holds it; empty where there is none."""
    if not path.is_file():
        return ""
    return f"data:{MEDIA[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
