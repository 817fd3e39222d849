"""What the outputs of a task head are called: `id2label`, `label2id` and `problem_type` of a model's config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

PROBLEMS = ("single_label_classification", "multi_label_classification", "regression")


@dataclass(frozen=True)
class Outputs:
    """The names of a head's outputs, in their order, and what kind of problem they answer."""

    names: tuple[str, ...]
    problem: str | None = None
    """One of transformers' `problem_type`s."""

    @classmethod
    def of(cls, model: nn.Module) -> Outputs | None:
        """Those of a model; None where its config has no such names."""
        config = getattr(model, "config", None)
        known = getattr(config, "id2label", None)
        if not isinstance(known, dict) or sorted(known) != list(range(len(known))):
            return None
        return cls(tuple(str(known[i]) for i in range(len(known))), getattr(config, "problem_type", None))

    @classmethod
    def of_classes(cls, classes: tuple[str, ...]) -> Outputs:
        """Those of a head that scores classes, of which one is right."""
        return cls(classes, "single_label_classification")

    @classmethod
    def of_labels(cls, labels: tuple[str, ...]) -> Outputs:
        """Those of a head that scores labels, of which any number is right."""
        return cls(labels, "multi_label_classification")

    @classmethod
    def of_number(cls, name: str) -> Outputs:
        """The one of a head that gives a number."""
        return cls((name,), "regression")

    @staticmethod
    def is_one(data: object) -> bool:
        """Whether `data` has the form that `to_json` gives."""
        if not isinstance(data, dict) or data.get("problem") not in (None, *PROBLEMS):
            return False
        names = data.get("names")
        return isinstance(names, list) and all(isinstance(name, str) for name in names)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Outputs:
        """Read what `to_json` wrote."""
        return cls(tuple(data["names"]), data.get("problem"))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"names": list(self.names), "problem": self.problem}

    def fields(self) -> dict[str, Any]:
        """As fields of a config of transformers."""
        return {
            "id2label": dict(enumerate(self.names)),
            "label2id": {name: i for i, name in enumerate(self.names)},
            "problem_type": self.problem,
        }

    def name(self, model: nn.Module) -> None:
        """Give a model's config these names."""
        config = getattr(model, "config", None)
        for field, value in self.fields().items() if config is not None else ():
            setattr(config, field, value)
