"""Each setting in words: what it is, what may be written, and what it is where a study says nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from msplora_search.errors import InputError, suggest
from msplora_search.settings.background import BACKGROUND
from msplora_search.settings.models import StudySettings
from msplora_search.text import brief

Schema = Mapping[str, Any]
"""JSON schema, as pydantic writes it."""
ENDLESS = 10**15
"""A bound from here on is there for the machine alone."""
REQUIRED = object()
"""The default of a field that a study must have."""


@dataclass(frozen=True)
class Explanation:
    """Of a field, or of a section with fields of its own."""

    name: str
    """Dotted, such as `search.trials`; empty for the whole of a study."""
    text: str
    background: tuple[str, ...]
    """What stands behind it, in paragraphs; most fields need none."""
    takes: str
    """What may be written."""
    default: object
    """As a file has it; `REQUIRED` where there is none."""
    fields: tuple[str, ...] = ()
    """Dotted names of what it consists of."""

    @property
    def unless(self) -> str:
        """What it is where a study says nothing, for people."""
        if self.default is REQUIRED:
            return "a study must have it"
        if self.default is None:
            return "none by default"
        return f"{_plain(self.default)} by default"


def explained(name: str = "") -> Explanation:
    """A field or section of a study by its dotted name. Raises InputError with the nearest name for another."""
    place, schema, default = list[str](), _study(), REQUIRED
    for part in filter(None, name.split(".")):
        known = _properties(schema)
        if part not in known:
            said = ".".join([*place, part])
            there = suggest(part, list(known)) if known else f"{'.'.join(place)} has no fields"
            raise InputError(f"{brief(said)} is no known field; {there}")
        required = part in _resolved(schema).get("required", ())
        place.append(part)
        schema = known[part]
        default = REQUIRED if required else schema.get("default")
    text = schema.get("description") or _resolved(schema).get("description", "")
    fields = tuple(".".join([*place, field]) for field in _properties(schema))
    dotted = ".".join(place)
    further = tuple(" ".join(part.split()) for part in BACKGROUND.get(dotted, "").split("\n\n") if part.strip())
    return Explanation(dotted, " ".join(text.split()), further, _takes(schema), default, fields)


@cache
def _study() -> Schema:
    return StudySettings.model_json_schema()


def _resolved(schema: Schema) -> Schema:
    """Of a section the schema of its fields, behind references and what else may stand there."""
    while "$ref" in schema:
        schema = _study()["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _properties(schema: Schema) -> Mapping[str, Schema]:
    found: Mapping[str, Schema] = _resolved(schema).get("properties", {})
    return found


def _takes(schema: Schema) -> str:
    """What a value may be, in words."""
    schema = _resolved(schema)
    match schema:
        case {"takes": str(said)}:
            pass
        case {"enum": [*values]}:
            said = _either([_plain(value) for value in values])
        case {"const": value}:
            said = _plain(value)
        case {"anyOf": [*branches]} | {"oneOf": [*branches]}:
            said = _either([_takes(branch) for branch in branches if branch.get("type") != "null"])
        case {"type": "array"}:
            said = _list(schema)
        case {"properties": fields}:
            said = f"{{{', '.join(fields)}}}"
        case _:
            said = KINDS[schema["type"]] + _bounds(schema)
    return said


def _list(schema: Schema) -> str:
    if items := schema.get("prefixItems"):
        return f"a list of {len(items)}, each {_takes(items[0])}"
    most = f"at most {schema['maxItems']:,}, " if "maxItems" in schema else ""
    return f"a list of {most}each {_takes(schema['items'])}"


KINDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "object": "a mapping",
}


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    said = [
        f"{word} {_number(value)}"
        for word, value in (("from", low), ("above", above), ("to", high), ("below", below))
        if value is not None and value < ENDLESS
    ]
    return f" {' and '.join(said)}".replace(" and to ", " to ") if said else ""


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"


def _either(words: list[str]) -> str:
    *most, last = dict.fromkeys(words)
    return f"{', '.join(most)} or {last}" if most else last


def _plain(value: object) -> str:
    """As a study file has it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) and value else json.dumps(value)
