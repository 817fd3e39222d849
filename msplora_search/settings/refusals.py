"""Says in one line what pydantic found wrong with the content of a file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from msplora_search.errors import suggest
from msplora_search.settings.origins import Place
from msplora_search.text import brief, printable, shown

KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text; put it in quotes where the text looks like something else",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of fields",
    "model_type": "a mapping of fields",
}
"""What would be right, by pydantic's type of error."""


def explain(
    problems: Sequence[ErrorDetails], data: Mapping[str, Any], model: type[BaseModel]
) -> tuple[Place, str]:
    """The place of the problem that is worth telling, and one line on it."""
    # A misspelt key often causes the other complaints.
    problem = max(problems, key=lambda found: found["type"] == "extra_forbidden")
    place = _place(problem, data)
    return place, _wording(problem, place, model)


def written(value: object) -> str:
    """A value as a file has it, short."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
    return shown(value)


def _place(problem: ErrorDetails, data: Mapping[str, Any]) -> Place:
    """Where in the data the problem is: pydantic's location without its names of union branches."""
    value: Any = data
    place: list[str | int] = []
    for part in problem["loc"]:
        if isinstance(value, list) and isinstance(part, int):
            inside = part < len(value)
        else:
            inside = isinstance(value, Mapping) and part in value
        if inside:
            place.append(part)
            value = value[part]
    match problem:
        case {"type": "missing", "loc": (*_, last)}:
            place.append(last)
        case {"type": "misfit", "ctx": {"field": str(field)}}:
            place += field.split(".")
    return tuple(place)


def _wording(problem: ErrorDetails, place: Place, model: type[BaseModel]) -> str:
    field = brief(".".join(map(str, place))) or "the whole"
    match problem["type"]:
        case "extra_forbidden":
            name = str(place[-1])
            return f"{field} is no known field; {suggest(name, _fields_at(model, place[:-1]))}"
        case "missing":
            return f"{field} is missing; it is required"
        case "misfit":
            return f"{field} {printable(problem['msg'])}"
        case "value_error":
            return f"{field}: {printable(str(problem['ctx']['error']))}"
        case known if known in KINDS:
            return f"{field} is {written(problem['input'])}; it should be {KINDS[known]}"
    said = re.sub(r"^(Input|Value|String|Tuple|List)( should)", r"it\2", problem["msg"])
    said = said.removesuffix(" after validation, not 0").replace(" after validation", "")
    return f"{field} is {written(problem['input'])}; {printable(said)}"


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
