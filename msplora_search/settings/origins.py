"""Where the values of a file stand, for messages on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

Place = tuple[str | int, ...]


@dataclass(frozen=True, eq=False)
class Origins:
    """`file:line`, or an override such as `--set search.trials=4`, by the place of a value."""

    known: Mapping[Place, str] = field(default_factory=dict)
    source: str | None = None
    """The file."""

    def of(self, place: Place) -> str | None:
        """Where the value at `place` came from; for an absent one, where its surroundings came from."""
        ends = range(len(place), 0, -1)
        return next((self.known[place[:end]] for end in ends if place[:end] in self.known), self.source)

    def of_field(self, name: str) -> str | None:
        """The same for a dotted name, in which items of lists have numbers: `space.targets.0`."""
        parts = name.split(".")
        names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((self._named[name] for name in names if name in self._named), self.source)

    @cached_property
    def _named(self) -> dict[str, str]:
        return {".".join(map(str, place)): origin for place, origin in self.known.items()}

    def with_override(self, place: Place, origin: str) -> Origins:
        """The same where `place`, and all in it, comes from `origin`."""
        kept = {old: known for old, known in self.known.items() if old[: len(place)] != place}
        return Origins({**kept, place: origin}, self.source)

    def grafted(self, field: str, other: Origins) -> Origins:
        """The same where what `field` holds stands in another file."""
        return Origins(
            {**self.known, **{(field, *place): origin for place, origin in other.known.items()}}, self.source
        )

    def __eq__(self, other: object) -> bool:
        """Where values stand says nothing of what they are: settings are equal whatever file they came from."""
        return isinstance(other, Origins)

    __hash__ = None  # type: ignore[assignment]
