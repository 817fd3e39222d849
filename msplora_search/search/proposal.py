"""Turns an Optuna trial into a choice of the space, and a choice into parameters that can be enqueued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
from optuna.distributions import BaseDistribution

from msplora_search.design.choice import Choice
from msplora_search.design.listing import every_choice
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import LogRange, SearchSpace
from msplora_search.design.splits import FreeSplits


@dataclass(frozen=True)
class Proposer:
    """Asks Optuna for the dimensions of a space.

    Ranks and rates are asked for by their place among the choices, which keeps their order. Every dimension is
    asked for in every trial, also those that do not matter, such as the third cut of two groups: so samplers can
    model all trials in one space.
    """

    space: SearchSpace

    @cached_property
    def dimensions(self) -> dict[str, BaseDistribution]:
        """What every trial is asked for, in order; a dimension of one choice is none."""
        space = self.space
        _, choice = next(every_choice(space))
        rate = space.learning_rate.low if isinstance(space.learning_rate, LogRange) else space.learning_rate[0]
        asked = optuna.trial.FixedTrial(self.parameters(choice, rate))
        self.propose(asked)
        return asked.distributions

    def propose(self, trial: optuna.trial.BaseTrial) -> tuple[Choice, float]:
        """The choice and learning rate of `trial`; every choice has the space's shape."""
        space = self.space
        targets = space.targets[_pick(trial, "targets", len(space.targets))]
        alpha = space.alpha[_pick(trial, "alpha", len(space.alpha))]
        if space.listed:
            global_rank, *own = space.listed[_pick(trial, "ranks", len(space.listed))]
            boundaries = self._boundaries(trial)
            mids, layers = ((rank,) * (len(boundaries) - 1) for rank in own)
            choice = Choice(targets, alpha, global_rank, boundaries, mids, layers, space.scaling)
            return choice, self._rate(trial)
        ranks = space.fitting_global_ranks
        global_rank = ranks[_pick(trial, "global_rank", len(ranks))]
        if space.per_group:
            boundaries = self._boundaries(trial)
            groups = len(boundaries) - 1
            mids = self._ranks(trial, "mid_rank", space.mid_rank, groups, space.mid_per_group)
            layers = self._ranks(trial, "layer_rank", space.layer_rank, groups, space.layer_per_group)
        else:
            mids = self._ranks(trial, "mid_rank", space.mid_rank, 1, per_group=False)
            layers = self._ranks(trial, "layer_rank", space.layer_rank, 1, per_group=False)
            mids, layers = space.fit(global_rank, mids, layers)
            boundaries = self._boundaries(trial)
            groups = len(boundaries) - 1
            mids, layers = mids * groups, layers * groups
        mids, layers = space.fit(global_rank, mids, layers)
        choice = Choice(targets, alpha, global_rank, boundaries, mids, layers, space.scaling)
        return choice, self._rate(trial)

    def parameters(self, choice: Choice, learning_rate: float) -> dict[str, Any]:
        """Parameters with which `propose` gives this choice back."""
        space = self.space
        found: dict[str, Any] = {
            "targets": space.targets.index(choice.targets),
            "alpha": space.alpha.index(choice.alpha),
            **self._level_parameters(choice),
            **self._boundary_parameters(choice.boundaries),
        }
        if isinstance(space.learning_rate, LogRange):
            found["learning_rate"] = learning_rate
        else:
            found["learning_rate"] = space.learning_rate.index(learning_rate)
        return found

    def _rate(self, trial: optuna.trial.BaseTrial) -> float:
        match self.space.learning_rate:
            case LogRange(low, high, log):
                return trial.suggest_float("learning_rate", low, high, log=log)
            case choices:
                return choices[_pick(trial, "learning_rate", len(choices))]

    def _ranks(
        self,
        trial: optuna.trial.BaseTrial,
        level: str,
        choices: tuple[int, ...],
        groups: int,
        per_group: bool,
    ) -> tuple[int, ...]:
        if not per_group:
            return (choices[_pick(trial, level, len(choices))],) * groups
        picked = [choices[_pick(trial, f"{level}_{i}", len(choices))] for i in range(1, self.space.max_groups + 1)]
        return tuple(picked[:groups])

    def _level_parameters(self, choice: Choice) -> dict[str, int]:
        space = self.space
        if space.listed:
            return {"ranks": space.listed.index((choice.global_rank, choice.mid_ranks[0], choice.layer_ranks[0]))}
        return {
            "global_rank": space.fitting_global_ranks.index(choice.global_rank),
            **self._rank_parameters("mid_rank", space.mid_rank, choice.mid_ranks, space.mid_per_group),
            **self._rank_parameters("layer_rank", space.layer_rank, choice.layer_ranks, space.layer_per_group),
        }

    def _rank_parameters(
        self, level: str, choices: tuple[int, ...], ranks: tuple[int, ...], per_group: bool
    ) -> dict[str, int]:
        if not per_group:
            return {level: choices.index(ranks[0])}
        padded = (*ranks, *[ranks[-1]] * (self.space.max_groups - len(ranks)))
        return {f"{level}_{i}": choices.index(rank) for i, rank in enumerate(padded, start=1)}

    def _boundaries(self, trial: optuna.trial.BaseTrial) -> tuple[int, ...]:
        splits = self.space.splits
        if not isinstance(splits, FreeSplits):
            return splits[_pick(trial, "split", len(splits))]
        counts = splits.fitting(self.space.layers)
        groups = counts[_pick(trial, "groups", len(counts))]
        last = self.space.layers
        cuts = [trial.suggest_int(f"cut_{i}", 1, last - 1) for i in range(1, self.space.max_groups)]
        return (0, *spread(cuts[: groups - 1], last, splits.min_layers), last)

    def _boundary_parameters(self, boundaries: tuple[int, ...]) -> dict[str, int]:
        splits = self.space.splits
        if not isinstance(splits, FreeSplits):
            return {"split": splits.index(boundaries)}
        inner = boundaries[1:-1]
        unused = (boundaries[-2] or 1,) * (self.space.max_groups - 1 - len(inner))
        groups = splits.fitting(self.space.layers).index(len(boundaries) - 1)
        return {"groups": groups, **{f"cut_{i}": c for i, c in enumerate((*inner, *unused), start=1)}}


def pyramid_of(choice: Choice) -> Pyramid | None:
    """The model that a choice builds; None where every rank is 0."""
    try:
        return choice.pyramid()
    except ValueError:
        return None


def spread(cuts: Sequence[int], layers: int, min_layers: int) -> tuple[int, ...]:
    """The split nearest to `cuts` in which every group has `min_layers` layers.

    Cuts in any order are sorted and pushed apart; a valid split stays as it is, so every split
    can be reached.
    """
    pushed = sorted(cuts)
    for i, cut in enumerate(pushed):
        pushed[i] = max(cut, (pushed[i - 1] if i else 0) + min_layers)
    for i in reversed(range(len(pushed))):
        after = pushed[i + 1] if i + 1 < len(pushed) else layers
        pushed[i] = min(pushed[i], after - min_layers)
    return tuple(pushed)


def _pick(trial: optuna.trial.BaseTrial, name: str, choices: int) -> int:
    """The place of a choice; a dimension of one choice is none."""
    return trial.suggest_int(name, 0, choices - 1) if choices > 1 else 0
