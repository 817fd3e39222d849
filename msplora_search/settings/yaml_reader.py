"""Reads the YAML that this program's files are written in: plain data, within bounds, nothing in two meanings.

A bare word is a number where it is written in plain decimal digits (`4`, `-0.5`, `1e-3`), true, false or null
where it is one of these words, and text in all other cases. What other readers of YAML take for a switch or a
number in another notation (`yes`, `off`, `010`, `0x10`, `1_000`, `1:30`, `.inf`) is refused rather than
guessed at. Anchors, aliases and tags are not read.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from msplora_search.errors import InputError
from msplora_search.settings.origins import Place
from msplora_search.text import brief, printable, shown

MOST_BYTES = 1_000_000
"""Of a file."""
MOST_VALUES = 20_000
"""Of a file: numbers, texts, lists and mappings, and the names of fields."""
MOST_DEPTH = 20
"""Of lists and mappings inside each other."""
MOST_CHARACTERS = 10_000
"""Of one text."""
MOST_DIGITS = 40
"""Of one number, with sign and exponent."""

WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
DECIMAL = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
NO_TEXT = re.compile("[\x00\ud800-\udfff]")


class YamlError(ValueError):
    """What cannot be read, in one line, and on which line of the text it stands (1 is the first)."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line


@dataclass
class Parsed:
    """Plain data of dicts, lists, texts, numbers, true, false and null, and the line of every value in them."""

    data: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    values: int = 0
    """How many there are, for the bound on them."""


def read_text(path: Path) -> str:
    """The text of a file in UTF-8. Raises InputError where it cannot be read or is too large."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise InputError(f"{path}: is a folder or a device; it must be a text file")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"{path}: is larger than {MOST_BYTES:,} bytes; settings take a fraction of that")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: is not in UTF-8; save the file as UTF-8") from None


def parse(text: str) -> Parsed:
    """The content of a YAML text. Raises YamlError."""
    found = Parsed()
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        events: Iterator[yaml.Event] = iter(loader.get_event, None)
        event = next(events)
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = next(events)
        if not isinstance(event, yaml.StreamEndEvent):  # there is a document
            found.data = _value(event, events, (), found)
            next(events)
            if not isinstance(event := next(events), yaml.StreamEndEvent):
                raise _refusal("a second document begins here (---); a file holds one", event)
    except yaml.YAMLError as error:
        raise _syntax(error, text) from None
    except (ValueError, OverflowError) as error:  # from PyYAML, on escapes beyond Unicode and the like
        line = loader.line + 1 if loader else None
        raise error if isinstance(error, YamlError) else YamlError(f"no valid YAML: {error}", line) from None
    return found


def _value(event: yaml.Event, events: Iterator[yaml.Event], place: Place, found: Parsed) -> Any:
    _require_bounds(event, place, found)
    match event:
        case yaml.ScalarEvent():
            return _scalar(event, _said(place))
        case yaml.SequenceStartEvent():
            items: list[Any] = []
            while not isinstance(event := next(events), yaml.SequenceEndEvent):
                inside = (*place, len(items))
                found.lines[inside] = _line(event)
                items.append(_value(event, events, inside, found))
            return items
        case _:
            fields: dict[str, Any] = {}
            while not isinstance(event := next(events), yaml.MappingEndEvent):
                key = _key(event, place, found)
                if key in fields:
                    raise _refusal(f"no valid YAML: the key {shown(key)} stands twice", event)
                inside = (*place, key)
                found.lines[inside] = _line(event)
                fields[key] = _value(next(events), events, inside, found)
            return fields


def _require_bounds(event: yaml.Event, place: Place, found: Parsed) -> None:
    found.values += 1
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
        raise _refusal("anchors and aliases such as &name and *name are not read; write the value out", event)
    if (tag := getattr(event, "tag", None)) is not None:
        raise _refusal(f"tags such as {shown(tag)} are not read; write the value alone", event)
    if found.values > MOST_VALUES:
        raise _refusal(f"the file holds more than {MOST_VALUES:,} values; settings take a fraction of that", event)
    if len(place) > MOST_DEPTH:
        raise _refusal(
            f"lists or mappings lie more than {MOST_DEPTH} deep in each other; no field needs that", event
        )


def _key(event: yaml.Event, place: Place, found: Parsed) -> str:
    """The name of a field."""
    if not isinstance(event, yaml.ScalarEvent):
        raise _refusal("a list, a mapping or an alias stands for the name of a field; it must be a word", event)
    _require_bounds(event, place, found)
    said = f"the name of a field{f' in {_said(place)}' if place else ''}"
    key = _scalar(event, said)
    if key == "<<" and event.style is None:
        raise _refusal("merge keys (<<) are not read; write the fields out", event)
    if not isinstance(key, str):
        raise _refusal(
            f"{said} is {event.value or 'empty'}; it must be a word, in quotes where it looks so", event
        )
    return key


def _scalar(event: yaml.ScalarEvent, said: str) -> Any:
    text: str = event.value
    if len(text) > MOST_CHARACTERS:
        what = f"{said} is a text of {len(text):,} characters"
        raise _refusal(f"{what}; it should have at most {MOST_CHARACTERS:,}", event)
    if NO_TEXT.search(text):
        raise _refusal(f"{said} is {shown(text)}; it must not hold NUL or half a surrogate pair", event)
    if event.style is not None:  # in quotes, or a block
        return text
    if text in WORDS:
        return WORDS[text]
    if DECIMAL.fullmatch(text):
        return _number(text, said, event)
    match _resolved(text):
        case "bool":
            raise _refusal(
                f"{said} is {text}; write true or false, or put it in quotes where the word is meant", event
            )
        case "int" | "float":
            raise _refusal(
                f"{said} is {brief(text)}; a number should be finite and in plain decimal digits, "
                "and text that looks like one in quotes",
                event,
            )
    return text


def _number(text: str, said: str, event: yaml.ScalarEvent) -> int | float:
    if len(text) > MOST_DIGITS:
        what = f"{said} is a number of {len(text):,} characters"
        raise _refusal(
            f"{what}; it should have at most {MOST_DIGITS}, and text that looks like one in quotes", event
        )
    number = int(text) if INTEGER.fullmatch(text) else float(text)
    if abs(number) == float("inf"):
        raise _refusal(
            f"{said} is {text}; a number should be finite, and text that looks like one in quotes", event
        )
    return number


def _resolved(text: str) -> str | None:
    """What YAML 1.1, which many programs read, takes a bare word for: bool, int, float, ... or nothing."""
    patterns = yaml.SafeLoader.yaml_implicit_resolvers.get(text[0], [])
    return next((tag.rpartition(":")[2] for tag, pattern in patterns if pattern.match(text)), None)


def _said(place: Place) -> str:
    return brief(".".join(map(str, place))) or "the value"


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _refusal(message: str, event: yaml.Event) -> YamlError:
    return YamlError(message, _line(event))


def _syntax(error: yaml.YAMLError, text: str) -> YamlError:
    """PyYAML's complaint in one line."""
    match error:
        case yaml.reader.ReaderError():
            line = text.count("\n", 0, error.position) + 1
            return YamlError(
                f"holds the character {chr(error.character)!r}, which is no text; save the file as UTF-8", line
            )
        case yaml.MarkedYAMLError(problem=str(problem), problem_mark=mark):
            tabs = "; indent with spaces" if r"'\t'" in problem else ""
            return YamlError(f"no valid YAML: {printable(problem)}{tabs}", mark.line + 1 if mark else None)
    return YamlError(f"no valid YAML: {' '.join(str(error).split())}", None)
