"""A study whose metrics are made up, and all else is the program's own: for what is measured around trainings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from msplora_search.design.costs import Costs
from msplora_search.design.pyramid import Pyramid
from msplora_search.design.space import SearchSpace
from msplora_search.proxy.shelf import Shelf
from msplora_search.results.records import Evaluation, Measure, State, TrialRecord
from msplora_search.search.baselines import planned_baselines
from msplora_search.search.model.candidates import Candidates, Ground
from msplora_search.search.model.features import Features
from msplora_search.search.part import quiet_optuna
from msplora_search.search.proposal import Proposer
from msplora_search.search.repeats import noise_repeats
from msplora_search.search.store.address import default_url
from msplora_search.search.store.attributes import IN_SPACE, REPEAT, store_plan, store_progress
from msplora_search.search.store.facts import part_told
from msplora_search.search.store.identity import Crew, this_worker
from msplora_search.search.store.sameness import FACTS, open_study
from msplora_search.search.store.storage import opened
from msplora_search.search.telling import tell_values
from msplora_search.settings import StudySettings, load_study
from msplora_search.tasks.judge import Judge
from msplora_search.tasks.metrics import metric

LAYERS, UNIT, EXAMPLES, HEAD = 12, 2 * 2 * 384, 2000, 770
RUNGS, STEPS = (0.33, 0.67, 1.0), 189
STUDY = (
    "name=machinery", "space=pyramid", "space.learning_rate=[1e-3, 2e-3, 4e-3]", "search.trials=1000000",
    f"proxy.rungs={list(RUNGS)}",
)  # fmt: skip
STOPPED = 0.4
"""Share of the trials that fill a study which were stopped, half of them at the first rung."""
LUCKS = 8
"""Different outcomes of one ability; a search looks at each trial's own."""
JUDGE = Judge(metric("accuracy"), np.ones(EXAMPLES, dtype=np.int64))


@dataclass(frozen=True)
class MadeUpTask:
    """Of which all examples are of one class."""

    chance: float = 0.5
    judges: tuple[Judge, Judge | None] = (JUDGE, JUDGE)


@dataclass(frozen=True)
class MadeUpBench:
    """A bench whose metrics rise with size and with the steps, and are noisy."""

    settings: StudySettings
    draw: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    task: MadeUpTask = MadeUpTask()
    steps: int = STEPS
    head_params: int = HEAD
    pool: dict[tuple[float, int, int], Measure] = field(default_factory=dict)

    @property
    def early(self) -> int:
        """Examples that are looked at before the end."""
        return min(EXAMPLES, self.settings.proxy.early_examples)

    @cached_property
    def difficulty(self) -> Any:
        """Of each example: what one training gets wrong, others mostly do."""
        return np.random.default_rng(1).normal(size=EXAMPLES)

    def space(self) -> SearchSpace:
        """Of 12 layers."""
        return self.settings.space.for_depth(LAYERS, self.settings.proxy.learning_rate)

    def adapter_params(self, pyramid: Pyramid) -> int:
        """In closed form."""
        return UNIT * pyramid.rank_units

    def costs(self, pyramid: Pyramid) -> Costs:
        """Of which parameters alone are known."""
        return Costs(self.adapter_params(pyramid))

    def measure(
        self, pyramid: Pyramid, learning_rate: float, seed: int | None = None, shelf: Shelf | None = None
    ) -> Iterator[Evaluation]:
        """One rung after another."""
        size = math.log(self.adapter_params(pyramid) / 1e4)
        ability = 1.0 + 0.03 * size + 0.05 * math.log(learning_rate / 2e-3) + 0.04 * self.draw.normal()
        for rung in RUNGS:
            measured = self.made_up(ability - 0.3 * (1 - rung), EXAMPLES if rung == 1.0 else self.early)
            judged = self.made_up(ability) if rung == 1.0 else None
            yield Evaluation(
                **vars(measured), rung=rung, step=round(rung * STEPS), loss=0.5 - 0.1 * rung, judged=judged
            )

    def made_up(self, ability: float, examples: int = EXAMPLES) -> Measure:
        """Measured on examples of which all trainings find the same ones hard, but for some luck."""
        place = round(ability, 2), int(self.draw.integers(LUCKS)), examples
        if place not in self.pool:
            right = self.difficulty[:examples] + 0.5 * self.draw.normal(size=examples) < ability
            self.pool[place] = JUDGE.measure(right.astype(np.int64))
        return self.pool[place]


def settings_for(sampler: str) -> StudySettings:
    """The study; a sampler is no matter of its results."""
    return load_study("quickstart", [*STUDY, f"search.sampler={sampler}"])


def fill(folder: Path, trials: int) -> None:
    """A study of so many trials, in the program's form: baselines, their repeats, and random configurations."""
    bench, part = MadeUpBench(settings_for("random")), Path(f"{folder}.part")
    part.mkdir(parents=True)
    proposer, worker = Proposer(bench.space()), this_worker(Crew.of_this_call(None))
    ground = Ground(proposer.space, bench.adapter_params, Features.of(proposer.space.targets))
    with quiet_optuna(), opened(default_url(part)) as storage:
        study = open_study(bench.settings, storage)
        study.set_user_attr(FACTS, facts(bench, proposer.space, ground))
        for ended, parameters, attributes in ended_trials(bench, proposer, ground, trials):
            trial = optuna.trial.create_trial(
                values=[0.0, 0.0],
                params=parameters,
                distributions={name: proposer.dimensions[name] for name in parameters},
                user_attrs=attributes,
            )
            store_plan(trial, ended, worker)
            store_progress(trial, ended)
            trial.values = list(tell_values(trial, ended, bench.task.chance))
            study.add_trial(trial)
    part.rename(folder)


def ended_trials(
    bench: MadeUpBench, proposer: Proposer, ground: Ground, trials: int
) -> Iterator[tuple[TrialRecord, dict[str, Any], dict[str, Any]]]:
    """So many, each with its parameters and the attributes that it is enqueued with."""
    search, candidates = bench.settings.search, Candidates.of(ground)
    baselines = planned_baselines(proposer.space, search)
    own = [record(i, b.pyramid, b.learning_rate, bench, b.name) for i, b in enumerate(baselines)]
    for one in own:
        yield one, {}, {"baseline": one.baseline, IN_SPACE: False}
    number = len(own)
    for repeat in noise_repeats(own, baselines, search):
        again = record(number, repeat.pyramid, repeat.learning_rate, bench, repeat.baseline)
        attributes = {REPEAT: repeat.to_json(), IN_SPACE: False}
        yield replace(again, seed=repeat.seed, repeat_of=repeat.of), {}, attributes
        number += 1
    left = trials - number
    for place in bench.draw.choice(len(candidates.costs), left, replace=False):
        choice, rate = candidates.proposals[place]
        parameters = proposer.parameters(choice, rate)
        inside = {name: value for name, value in parameters.items() if name in proposer.dimensions}
        yield record(number, choice.pyramid(), rate, bench), inside, {}
        number += 1


def record(
    number: int, pyramid: Pyramid, rate: float, bench: MadeUpBench, baseline: str | None = None
) -> TrialRecord:
    """A trial as it ended."""
    luck, curve, params = bench.draw.random(), tuple(bench.measure(pyramid, rate)), bench.adapter_params(pyramid)
    whole = TrialRecord(
        number=number, state=State.COMPLETE, baseline=baseline, pyramid=pyramid, learning_rate=rate,
        adapter_params=params, trainable_params=params + HEAD, curve=curve, steps=STEPS, planned_steps=STEPS,
        seconds=60.0,
    )  # fmt: skip
    if baseline is not None or luck > STOPPED:
        return whole
    reached = curve[: 1 if luck < STOPPED / 2 else 2]
    why = f"its chance to enter the front is 2% at rung {reached[-1].rung:g}"
    return replace(whole, state=State.PRUNED, curve=reached, steps=reached[-1].step, reason=why)


def facts(bench: MadeUpBench, space: SearchSpace, ground: Ground) -> dict[str, Any]:
    """What a report needs beside the trials."""
    return {
        "settings": bench.settings.model_dump(mode="json"),
        **part_told(JUDGE),
        "judging": part_told(JUDGE),
        "classes": ["negative", "positive"],
        "train_examples": 2000,
        "validation_examples": EXAMPLES,
        "layers": LAYERS,
        "configurations": space.size,
        "pyramids": space.pyramids,
        "proxy_steps": STEPS,
        "head_params": HEAD,
        "lora_units": {" ".join(targets): UNIT * LAYERS for targets in space.targets},
        "reference_point": {"metric": 0.5, "log10_adapter_params": math.log10(UNIT * space.max_rank_units)},
    }
