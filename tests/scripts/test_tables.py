"""Tables of trainings, and searches replayed on them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from msplora_search.results.records import State
from scripts.replay import Clock, Replay, TableBench, replay
from scripts.tables import Table, drawn_together, luck_of, packed, unpacked
from tests.scripts.small_table import small_table


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(arrays(bool, array_shapes(min_dims=4, max_dims=5, max_side=5)))
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
    blind = replace(alone, validation=~alone.validation)
    assert np.array_equal(alone.truth(0), blind.truth(0))
    judged = table.judging[:, :, 0].mean(axis=-1)
    assert [np.corrcoef(*of)[0, 1] > 0.9 for of in zip(alone.truth(0).T, judged.T, strict=True)] == [True, True]


@pytest.mark.parametrize("sd", [0.0, 0.02])
def test_luck_is_what_seeds_differ_by_beyond_the_examples(sd: float) -> None:
    draw, found = np.random.default_rng(0), list[float]()
    for _ in range(20):
        hard = draw.normal(size=400)
        ability = 0.8 + sd / 0.29 * draw.normal(size=(60, 2, 1))  # an accuracy rises by 0.29 of it there
        found.append(luck_of(hard + 0.5 * draw.normal(size=(60, 2, 400)) < ability))
    assert np.sqrt(np.mean(found)) == pytest.approx(sd, abs=0.004)


def test_of_the_best_of_many_the_luck_is_taken_away() -> None:
    """Half of what they differ by is luck: the best of a hundred is believed to be as good as it is."""
    draw = np.random.default_rng(0)
    sizes = np.sort(draw.integers(100, 10_000, 400))
    bias, error = [], []
    for _ in range(40):
        true = 0.8 + 0.01 * np.log(sizes) + 0.01 * draw.normal(size=400)
        seen = true + 0.01 * draw.normal(size=400)
        believed = drawn_together(seen, np.full(400, 0.01**2), sizes)
        best = believed[-100:].argmax() + 300
        bias.append([believed[best] - true[best], seen[seen[-100:].argmax() + 300] - true[best]])
        error.append([np.mean((believed - true) ** 2), np.mean((seen - true) ** 2)])
    ours, raw = np.mean(bias, axis=0)
    assert abs(ours) < 0.005
    assert raw > 0.01
    assert np.mean(error, axis=0)[0] < 0.6 * np.mean(error, axis=0)[1]


def searched(
    table: Table, folder: Path, sampler: str, rule: str, trials: int = 12, chance: float = 0.2, workers: int = 1
) -> Replay:
    search = {"sampler": sampler, "trials": trials, "seed": 3, "baselines": [], "noise_repeats": 0}
    settings = table.settings(search=search, pruning={"rule": rule, "chance": chance})
    return replay(TableBench(settings, table, 0), folder, workers)


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


def test_several_workers_are_one_search_by_the_clock(tmp_path: Path) -> None:
    """None trains what another does; a training that takes longer ends later; again, it is the same."""
    table = small_table(tmp_path)
    runs = [searched(table, tmp_path, "front", "none", trials=12, workers=3) for _ in range(2)]
    for done in runs:
        trained = [record.configuration for record in done.trained]
        assert len(trained) == len(set(trained)) == 12
    assert [r.configuration for r in runs[0].ended] == [r.configuration for r in runs[1].ended]
    alone = searched(table, tmp_path, "front", "none", trials=12)
    assert [r.configuration for r in runs[0].ended] != [r.configuration for r in alone.ended]


def test_a_clock_lets_the_farthest_behind_go_on() -> None:
    clock, seen = Clock(2), list[tuple[int, int]]()

    def work(worker: int, lengths: list[int]) -> None:
        with clock.working(worker):
            for length in lengths:
                clock.wait(worker, length)
                seen.append((worker, length))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, [0, 1], [[1, 4, 1], [3, 1, 5]]))
    assert seen == [(0, 1), (1, 3), (1, 1), (0, 4), (0, 1), (1, 5)]
