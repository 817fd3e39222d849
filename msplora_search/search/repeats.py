"""Further trainings of one configuration, with other seeds: which are due. Pure functions of what was measured.

Some are there to tell the noise of training, which enters every figure of a report: those of two baselines,
early. Others decide the front, once the proposals are spent: those of contenders, of which the data say neither
that they are on the true front nor that they are not. Each goes to the contender that is the most undecided, and
what it said counts before the next is chosen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Self

from msplora_search.design.pyramid import Pyramid
from msplora_search.results.records import State, TrialRecord
from msplora_search.results.training_noise import pooled_noise
from msplora_search.search.baselines import Baseline
from msplora_search.search.points import Point
from msplora_search.settings.models import SearchSettings

UNDECIDED = (0.2, 0.8)
"""Of the probability of being on the front, both ends included."""


@dataclass(frozen=True)
class Repeat:
    """One more training of a configuration."""

    of: int
    """The trial that it repeats: the search's own training of the configuration."""
    seed: int
    baseline: str | None
    pyramid: Pyramid
    learning_rate: float
    contest: bool
    """Whether it is to decide the front; it tells the noise of training otherwise."""

    @classmethod
    def again(cls, record: TrialRecord, seed: int, contest: bool) -> Self:
        """Of a trial that was trained to the end."""
        assert record.pyramid is not None
        return cls(record.number, seed, record.baseline, record.pyramid, record.learning_rate, contest)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "pyramid": self.pyramid.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `to_json` wrote. Raises LookupError, TypeError or ValueError for anything else."""
        return cls(
            of=int(data["of"]),
            seed=int(data["seed"]),
            baseline=data["baseline"],
            pyramid=Pyramid.from_json(data["pyramid"]),
            learning_rate=float(data["learning_rate"]),
            contest=bool(data["contest"]),
        )


def repeated_baselines(baselines: Sequence[Baseline]) -> tuple[str, ...]:
    """Names of the baselines that tell the noise of training: the paper's and the smallest LoRA, where planned."""
    names = list(dict.fromkeys(baseline.name for baseline in baselines))
    ladder = [name for name in names if name != "paper"]
    return tuple(name for name in names if name in ("paper", *ladder[:1]))


def planned_repeats(baselines: Sequence[Baseline], search: SearchSettings) -> int:
    """How many there will be at most."""
    return search.noise_repeats * len(repeated_baselines(baselines)) + search.repeats


def noise_repeats(
    records: Sequence[TrialRecord], baselines: Sequence[Baseline], search: SearchSettings
) -> list[Repeat]:
    """Those that are due and not begun: of each such baseline, once all its rates have ended, the best.

    `records`: of the study, each trial that was planned; one that failed is not due again.
    """
    begun = {(record.configuration, record.seed) for record in records if record.seed != search.seed}
    seeds = range(search.seed + 1, search.seed + 1 + search.noise_repeats)
    found = (_best(name, baselines, records) for name in repeated_baselines(baselines))
    return [
        Repeat.again(best, seed, contest=False)
        for best in found
        if best is not None
        for seed in seeds
        if (best.configuration, seed) not in begun
    ]


def training_variance(records: Sequence[TrialRecord], rung: float) -> float:
    """Of the metric at a rung over seeds, by the configurations that were trained again; 0 where none was."""
    own = {record.number: record for record in records}
    trainings = defaultdict[int, list[TrialRecord]](list)
    for record in records:
        if record.repeat_of in own and record.state == State.COMPLETE:
            trainings[record.repeat_of].append(record)
    measured = [
        [at for record in (own[number], *again) for at in record.curve if at.rung == rung]
        for number, again in trainings.items()
    ]
    noise = pooled_noise(measured)
    return noise.variance if noise else 0.0


def undecided(points: Sequence[Point]) -> list[Point]:
    """The contenders."""
    low, high = UNDECIDED
    return [point for point in points if low <= point.front_probability <= high]


def next_contest(points: Sequence[Point], records: Sequence[TrialRecord], seed: int) -> Repeat | None:
    """The training that decides most: of the contender nearest to 0.5, of equals the one with the fewest seeds.

    Those whose repeat is being trained by another worker, or failed, come last. `seed`: the search's; the lowest
    above it is taken with which nobody has begun the configuration. None where all is decided.
    """
    trying = Counter(r.configuration for r in records if r.state in (State.RUNNING, State.FAILED))
    contenders = sorted(
        undecided(points),
        key=lambda point: (
            trying[point.record.configuration],
            round(abs(point.front_probability - 0.5), 9),
            len(point.trainings),
            point.record.number,
        ),
    )
    if not contenders:
        return None
    chosen = contenders[0].record
    begun = {record.seed for record in records if record.configuration == chosen.configuration}
    return Repeat.again(chosen, next(s for s in count(seed + 1) if s not in begun), contest=True)


def _best(name: str, baselines: Sequence[Baseline], records: Sequence[TrialRecord]) -> TrialRecord | None:
    """A baseline's best rate by the search's own seed; None while one is missing, or where none was completed."""
    planned = {(b.pyramid, b.learning_rate) for b in baselines if b.name == name}
    ended = [r for r in records if r.baseline == name and r.repeat_of is None and r.state != State.RUNNING]
    if not planned <= {record.configuration for record in ended}:
        return None
    complete = [record for record in ended if record.state == State.COMPLETE]
    return max(complete, key=lambda record: (record.final.metric, -record.number), default=None)
