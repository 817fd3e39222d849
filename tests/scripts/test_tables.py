"""Tables of trainings, and searches replayed on them."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from msplora_search.results.records import State
from scripts.replay import Replay, TableBench, replay
from scripts.tables import Table, packed, unpacked
from tests.scripts.small_table import JUDGED, small_table


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(arrays(bool, array_shapes(min_dims=2, max_dims=4, max_side=9)))
def test_bits_come_back(right: np.ndarray) -> None:
    assert np.array_equal(unpacked(packed("x", right), "x"), right)


def test_a_table_comes_back(tmp_path: Path) -> None:
    table = small_table(tmp_path)
    table.losses[0, 0, 0, 1] = np.nan
    table.save(tmp_path / "small.npz")
    back = Table.load(tmp_path / "small.npz")
    for field in fields(Table):
        one, other = getattr(table, field.name), getattr(back, field.name)
        if isinstance(one, np.ndarray):
            assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f"), field.name
        else:
            assert other == one, field.name


def test_the_truth_is_what_a_search_does_not_see(tmp_path: Path) -> None:
    table = small_table(tmp_path)
    unseen = replace(table, validation=table.validation.copy())
    unseen.validation[:, :, 1] = False
    assert np.array_equal(unseen.truth(1), table.truth(1))
    assert not np.array_equal(unseen.truth(0), table.truth(0))
    alone = replace(table, seeds=(0,), validation=table.validation[:, :, :1], judging=table.judging[:, :, :1])
    assert np.array_equal(alone.truth(0), table.judging[:, :, 0].sum(axis=-1) / JUDGED)


def searched(table: Table, folder: Path, sampler: str, rule: str, trials: int = 12, chance: float = 0.2) -> Replay:
    search = {"sampler": sampler, "trials": trials, "seed": 3, "baselines": [], "noise_repeats": 0}
    settings = table.settings(search=search, pruning={"rule": rule, "chance": chance})
    return replay(TableBench(settings, table, 0), folder)


@pytest.mark.parametrize("sampler", ["front", "tpe"])
def test_a_search_sees_nothing_that_it_has_not_trained(tmp_path: Path, sampler: str) -> None:
    """What it did not train, or stopped before, may be anything: it does the same."""
    table = small_table(tmp_path)
    done = searched(table, tmp_path, sampler, "envelope")
    seen = np.zeros(table.validation.shape[:4], dtype=bool)
    for record in done.trained:
        assert record.pyramid is not None
        place = table.place[record.pyramid], table.rates.index(record.learning_rate)
        seen[*place, 0, : len(record.curve)] = True
    other = replace(table, validation=np.where(seen[..., None], table.validation, False), judging=~table.judging)
    again = searched(other, tmp_path, sampler, "envelope")
    told = [[(r.configuration, r.state, [e.metric for e in r.curve]) for r in of.trained] for of in (done, again)]
    assert told[0] == told[1]
    assert not seen.all()


def test_regret_falls_to_nothing_when_all_is_trained(tmp_path: Path) -> None:
    table = small_table(tmp_path)
    done = searched(table, tmp_path, "random", "none", trials=10_000)
    steps, regrets = done.regrets()
    assert len(steps) == len(table.pyramids) * len(table.rates)
    assert steps[-1] == len(steps) * table.steps[-1]
    assert (np.diff(regrets) <= 1e-12).all()
    assert regrets[0] > 0.01
    assert regrets[-1] == pytest.approx(0, abs=1e-12)
    assert all(record.state == State.COMPLETE for record in done.trained)


def test_what_was_stopped_goes_on_where_it_is_worth_more(tmp_path: Path) -> None:
    """Nearly all is stopped at the first rung; what the model finds best of it is trained on, from there."""
    table = small_table(tmp_path)
    done = searched(table, tmp_path, "front", "envelope", trials=16, chance=0.95)
    thawed = [record for record in done.trained if record is not done.last[record.configuration]]
    assert thawed
    assert all(record.state == State.PRUNED for record in thawed)
    assert len(done.last) == 16
    assert any(done.last[record.configuration].state == State.COMPLETE for record in thawed)
    steps, regrets = done.regrets()
    assert steps[-1] == sum(record.steps for record in done.last.values())
    assert (np.diff(steps) > 0).all()
    assert len(regrets) == 16 + len(thawed)
    assert regrets[-1] < regrets[5]
