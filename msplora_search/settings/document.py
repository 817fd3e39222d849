"""A YAML file that remembers its lines, so that an error can name file, line, field and value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from msplora_search.errors import InputError, suggest
from msplora_search.settings.origins import Origins, Place
from msplora_search.settings.task import Model

Validated = TypeVar("Validated", bound=Model)


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-3 is a number, and a key that stands twice is an error."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark)
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


class Document:
    """The content of one YAML file, changed by overrides, with the origin of every value."""

    def __init__(self, data: dict[str, Any], origins: Origins) -> None:
        self.data = data
        self._origins = origins

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `path`. Raises InputError where it is missing, no YAML, or no mapping."""
        try:
            text = path.read_text(encoding="utf-8")
            data = yaml.load(text, Loader=_Loader)
            node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            raise InputError(f"{path}{line}: no valid YAML: {getattr(error, 'problem', error)}") from None
        if not isinstance(data, dict) or node is None:
            raise InputError(f"{path}: holds {data!r}; it must hold fields such as `name: value`")
        return cls(data, Origins(dict(_lines(node, (), str(path))), str(path)))

    def get(self, field: str) -> Any:
        """The value of a dotted field; None where it is absent."""
        value: Any = self.data
        for key in field.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def where(self, field: str) -> str:
        """`file:line` of a dotted field, or the override that set it."""
        return str(self._origins.of(tuple(field.split("."))))

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
        field, equals, text = assignment.partition("=")
        if not equals or not all(field.split(".")):
            raise InputError(f"--set {assignment}: must have the form field=value, such as search.trials=4")
        try:
            value = yaml.load(text, Loader=_Loader)
        except yaml.YAMLError:
            raise InputError(f"--set {assignment}: {text!r} is no valid YAML value") from None
        self.put(field, value)
        self._origins = self._origins.with_override(tuple(field.split(".")), f"--set {assignment}")

    def graft(self, field: str, other: Document) -> None:
        """Replace a field that names another file by that file's content."""
        self.data[field] = other.data
        self._origins = self._origins.grafted(field, other._origins)

    def validate(self, model: type[Validated]) -> Validated:
        """The content as `model`. Raises InputError for what is wrong, in one line."""
        try:
            validated = model.model_validate(self.data)
        except ValidationError as error:
            raise InputError(self._explain(error.errors(include_url=False), model)) from None
        validated._origins = self._origins
        return validated

    def _explain(self, problems: list[ErrorDetails], model: type[BaseModel]) -> str:
        placed = {self._place(problem): problem for problem in problems}
        # A misspelt key often causes the other complaints; else the deepest branch of a union was meant.
        place, problem = max(placed.items(), key=lambda item: (item[1]["type"] == "extra_forbidden", len(item[0])))
        return f"{self._origins.of(place)}: {_wording(problem, place, model)}"

    def _place(self, problem: ErrorDetails) -> Place:
        """Where in the data the problem is: pydantic's location without its names of union branches."""
        value: Any = self.data
        place: list[str | int] = []
        for part in problem["loc"]:
            if isinstance(value, list) and isinstance(part, int):
                inside = part < len(value)
            else:
                inside = isinstance(value, Mapping) and part in value
            if inside:
                place.append(part)
                value = value[part]
        return (*place, problem["loc"][-1]) if problem["type"] == "missing" else tuple(place)


def dump(data: Mapping[str, Any]) -> str:
    """YAML text of plain data, in the order given; ASCII, as PyYAML misreads some characters that it writes."""
    text: str = yaml.safe_dump(dict(data), sort_keys=False, width=100)
    return text


def _lines(node: yaml.Node, place: Place, source: str) -> Iterator[tuple[Place, str]]:
    """`file:line` of every value of a composed YAML tree."""
    children: list[tuple[str | int, yaml.Node, yaml.Node]] = []
    match node:
        case yaml.MappingNode():
            children = [(key.value, key, value) for key, value in node.value]
        case yaml.SequenceNode():
            children = [(i, item, item) for i, item in enumerate(node.value)]
    for key, marked, child in children:
        yield (*place, key), f"{source}:{marked.start_mark.line + 1}"
        yield from _lines(child, (*place, key), source)


def _wording(problem: ErrorDetails, place: Place, model: type[BaseModel]) -> str:
    field = ".".join(map(str, place)) or "the file"
    match problem["type"]:
        case "extra_forbidden":
            return f"{field} is no known field; {suggest(str(place[-1]), _fields_at(model, place[:-1]))}"
        case "missing":
            return f"{field} is missing; it is required"
        case "value_error":
            return f"{field}: {problem['ctx']['error']}"
        case _:
            said = problem["msg"].replace("Input should", "it should")
            said = re.sub(r"valid dictionary( or instance of \w+)?", "mapping of fields", said)
            return f"{field} is {problem['input']!r}; {said[0].lower()}{said[1:]}"


def _fields_at(model: type[BaseModel], place: Place) -> set[str]:
    """Names of the fields that may stand at `place`."""
    models = [model]
    for part in place:
        if isinstance(part, str):
            fields = [m.model_fields[part] for m in models if part in m.model_fields]
            models = [found for field in fields for found in _models_in(field.annotation)]
    return {name for found in models for name in found.model_fields}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]
