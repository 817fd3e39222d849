"""Reads all trials of a study at once: the same trials as Optuna's storage reads, without an object for each cell.

Optuna makes an object of every row of six tables, and parses a distribution twice for each parameter of each
trial; of 5,000 trials that takes longer, and more memory, than all that a report does with them.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from typing import Any

import sqlalchemy
from optuna.distributions import json_to_distribution
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy.orm import Session

Cells = tuple[Any, ...]


def all_trials(session: Session, study_id: int) -> list[FrozenTrial]:
    """Every trial of a study by number. What does not change is shared between them: distributions."""
    value_of = models.TrialValueModel.stored_repr_to_value
    step_of = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
    distribution_of = functools.cache(json_to_distribution)
    read = functools.partial(_by_trial, session, study_id)
    params = read(models.TrialParamModel, ("param_name", "param_value", "distribution_json"), "param_id")
    values = read(models.TrialValueModel, ("value", "value_type"), "objective")
    steps = read(models.TrialIntermediateValueModel, ("step", "intermediate_value", "intermediate_value_type"))
    user = read(models.TrialUserAttributeModel, ("key", "value_json"))
    system = read(models.TrialSystemAttributeModel, ("key", "value_json"))
    trials = session.query(models.TrialModel).filter(models.TrialModel.study_id == study_id)

    def frozen(trial: Any) -> FrozenTrial:
        number = trial.trial_id
        drawn = [(name, value, distribution_of(text)) for name, value, text in params.pop(number, ())]
        return FrozenTrial(
            number=trial.number,
            state=trial.state,
            value=None,
            values=[value_of(*cells) for cells in values.pop(number, ())] or None,
            datetime_start=trial.datetime_start,
            datetime_complete=trial.datetime_complete,
            params={name: distribution.to_external_repr(value) for name, value, distribution in drawn},
            distributions={name: distribution for name, _, distribution in drawn},
            user_attrs={key: json.loads(text) for key, text in user.pop(number, ())},
            system_attrs={key: json.loads(text) for key, text in system.pop(number, ())},
            intermediate_values={step: step_of(*cells) for step, *cells in steps.pop(number, ())},
            trial_id=number,
        )

    return [frozen(trial) for trial in trials.order_by(models.TrialModel.trial_id)]


def _by_trial(
    session: Session, study_id: int, kind: Any, columns: tuple[str, ...], order: str | None = None
) -> dict[int, list[Cells]]:
    """Cells of the rows of a table, by trial."""
    asked = (
        sqlalchemy.select(kind.trial_id, *(getattr(kind, name) for name in columns))
        .join(models.TrialModel, models.TrialModel.trial_id == kind.trial_id)
        .where(models.TrialModel.study_id == study_id)
        .order_by(*([] if order is None else [getattr(kind, order)]))
    )
    found: dict[int, list[Cells]] = defaultdict(list)
    for trial, *cells in session.execute(asked):
        found[trial].append(tuple(cells))
    return found
