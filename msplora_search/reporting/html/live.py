"""What a page that is served has beside the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Live:
    """Whether the search goes on, and which page this is."""

    state: str
    """A sentence, for people."""
    version: str
    """Changes with what the page shows; of letters and digits."""
    last: bool = False
    """Whether no other page follows."""
