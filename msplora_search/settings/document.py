"""A YAML file that remembers its lines, so that an error can name file, line, field and value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import ValidationError

from msplora_search.errors import InputError
from msplora_search.settings.origins import Origins
from msplora_search.settings.refusals import explain, written
from msplora_search.settings.task import Model
from msplora_search.settings.yaml_reader import DECIMAL, YamlError, parse, read_text
from msplora_search.text import brief, printable, shown

Validated = TypeVar("Validated", bound=Model)


class Document:
    """The content of one YAML file, changed by overrides, with the origin of every value."""

    def __init__(self, data: dict[str, Any], origins: Origins) -> None:
        self.data = data
        self._origins = origins

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `path`. Raises InputError where it is missing, no YAML, or no mapping."""
        source = printable(str(path))
        try:
            found = parse(read_text(path))
        except YamlError as error:
            line = f":{error.line}" if error.line else ""
            raise InputError(f"{source}{line}: {error}") from None
        if not isinstance(found.data, dict):
            holds = "is empty" if found.data is None else f"holds {written(found.data)}"
            raise InputError(f"{source}: {holds}; it must hold fields such as `name: value`")
        origins = {place: f"{source}:{line}" for place, line in found.lines.items()}
        return cls(found.data, Origins(origins, source))

    def get(self, field: str) -> Any:
        """The value of a dotted field; None where it is absent."""
        value: Any = self.data
        for key in field.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def where(self, field: str) -> str:
        """`file:line` of a dotted field, or the override that set it."""
        return str(self._origins.of_field(field))

    def put(self, field: str, value: Any) -> None:
        """Set a dotted field, making the mappings on the way."""
        *parents, last = field.split(".")
        target = self.data
        for key in parents:
            if not isinstance(target.get(key), dict):
                target[key] = {}
            target = target[key]
        target[last] = value

    def override(self, assignment: str) -> None:
        """Apply `a.b=value`; the value is YAML. Raises InputError for another form."""
        said = f"--set {brief(assignment)}"
        field, equals, text = assignment.partition("=")
        if not equals or not all(field.split(".")):
            raise InputError(f"{said}: must have the form field=value, such as search.trials=4")
        try:
            value = parse(text).data
        except YamlError as error:
            raise InputError(f"{said}: the value cannot be read: {error}") from None
        self._require_fields_above(field, said)
        self.put(field, value)
        self._origins = self._origins.with_override(tuple(field.split(".")), said)

    def _require_fields_above(self, field: str, said: str) -> None:
        """Refuse to put a field into a number, a text or a list, which would be lost."""
        parts = field.split(".")
        for end in range(1, len(parts)):
            above = ".".join(parts[:end])
            value = self.get(above)
            if not isinstance(value, dict | None):
                raise InputError(
                    f"{said}: {above} is {written(value)}, which has no field {shown(parts[end])}; "
                    f"set the whole of it, {brief(above)}=..."
                )

    def graft(self, field: str, other: Document) -> None:
        """Replace a field that names another file by that file's content."""
        self.data[field] = other.data
        self._origins = self._origins.grafted(field, other._origins)

    def validate(self, model: type[Validated]) -> Validated:
        """The content as `model`. Raises InputError for what is wrong, in one line."""
        try:
            validated = model.model_validate(self.data)
        except ValidationError as error:
            place, said = explain(error.errors(include_url=False), self.data, model)
            origin = self._origins.of(place)
            raise InputError(f"{origin}: {said}" if origin else said) from None
        validated._origins = self._origins
        return validated


class _Dumper(yaml.SafeDumper):
    """Puts a text in quotes wherever YAML 1.1 or this program's reader would take it for a number."""

    def ignore_aliases(self, data: object) -> bool:
        """Write a list that occurs twice out twice: the reader takes no aliases."""
        return True


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(f"^(?:{DECIMAL.pattern})$"), list("-+.0123456789")
)


def dump(data: Mapping[str, Any]) -> str:
    """YAML text of plain data, in the order given; ASCII, as PyYAML misreads some characters that it writes."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, width=100)
    return text
