"""The choices of a space, found in a model."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from msplora_search.adapters.anatomy import Anatomy, AnatomyError, dissect
from msplora_search.design.space import SearchSpace
from msplora_search.errors import InputError
from msplora_search.settings.models import StudySettings
from msplora_search.text import printable, shown

Anatomies = Mapping[tuple[str, ...], Anatomy]
"""By the targets of a pyramid, for every choice of targets of the space, in its order."""


def dissect_choices(settings: StudySettings, model: nn.Module) -> Anatomies:
    """Find every choice of targets; works on models of the meta device too.

    Raises InputError where a target matches nothing, or the choices lie in stacks of different depths.
    """
    found: dict[tuple[str, ...], Anatomy] = {}
    for targets in settings.space.targets:
        try:
            anatomy = dissect(model, targets)
            found.setdefault(tuple(sorted(anatomy.targets)), anatomy)
        except AnatomyError as error:
            told = f"space.targets {shown(list(targets))} on model {printable(settings.model)}: {error}"
            raise InputError(told, "space.targets") from None
    depths = {anatomy.layers for anatomy in found.values()}
    if len(depths) > 1:
        raise InputError(
            f"space.targets: the choices lie in stacks of different depths {sorted(depths)}", "space.targets"
        )
    return found


def space_in(settings: StudySettings, anatomies: Anatomies) -> SearchSpace:
    """The search space for the depth that was found. Raises InputError where nothing fits it."""
    layers = next(iter(anatomies.values())).layers
    targets = tuple(anatomy.targets for anatomy in anatomies.values())
    most_groups = min(anatomy.most_groups for anatomy in anatomies.values())
    try:
        return settings.space.for_depth(layers, settings.proxy.learning_rate, targets, most_groups)
    except ValueError as error:
        field = "space.shape" if "shape" in str(error) else "space.groups"
        raise InputError(f"space: {error} (model {printable(settings.model)})", field) from None
