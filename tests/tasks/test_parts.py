"""Laws of the parts that the rows of a table are divided into, with and without groups."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from msplora_search.errors import InputError
from msplora_search.settings import StudySettings
from msplora_search.tasks.drawing import cut, shuffled, within
from msplora_search.tasks.parts import FEWEST_JUDGING, ProxyRows, proxy_rows, set_aside
from tests.strategies import groups_of_rows

Rows = NDArray[np.int64]


def settings(seed: int = 0, share: float = 0.2, test: str | None = None, **proxy: Any) -> StudySettings:
    return StudySettings.model_validate(
        {
            "name": "parts",
            "model": "none",
            "task": {"dataset": {"path": "data.csv", "test_share": share, "test": test}, "group": "patient"},
            "search": {"seed": seed},
            "proxy": {"train_examples": 60, "validation_examples": 40, **proxy},
        }
    )


def studies() -> st.SearchStrategy[StudySettings]:
    numbers = st.integers(30, 300)
    return st.builds(
        settings,
        seed=st.integers(0, 50),
        share=st.sampled_from([0.0, 0.2, 0.5]),
        test=st.sampled_from([None, "test.csv"]),
        train_examples=numbers,
        validation_examples=numbers,
        judging_examples=st.integers(0, 300),
    )


def parts_of(drawn: ProxyRows) -> list[Rows]:
    return [drawn.train, drawn.validation, drawn.judging, drawn.aside]


def rule_of_0_1(study: StudySettings, rows: int) -> tuple[Rows, Rows, Rows, Rows]:
    """Training, validation and test rows as version 0.1 drew them, and those that were left over."""
    order = np.random.default_rng(2503_21838).permutation(rows)
    test = 0 if study.task.dataset.test else int(study.task.dataset.test_share * rows)
    pool, proxy = order[test:], study.proxy
    share = min(1.0, len(pool) / (proxy.train_examples + proxy.validation_examples))
    train, validation = int(proxy.train_examples * share), int(proxy.validation_examples * share)
    drawn = np.random.default_rng(study.search.seed).permutation(pool)
    return drawn[validation : validation + train], drawn[:validation], order[:test], drawn[validation + train :]


@given(studies(), st.integers(300, 1500))
def test_without_groups_rows_are_drawn_as_ever_and_the_judging_part_follows_them(
    study: StudySettings, rows: int
) -> None:
    train, validation, test, left = rule_of_0_1(study, rows)
    drawn = proxy_rows(study, rows)
    assert np.array_equal(drawn.train, train)
    assert np.array_equal(drawn.validation, validation)
    assert np.array_equal(drawn.aside, test)
    most = min(len(validation), study.proxy.judging_examples)
    assert drawn.judging.tolist() == (left[:most].tolist() if len(left) >= FEWEST_JUDGING else [])


@given(studies(), st.integers(300, 600))
def test_a_group_for_each_row_gives_the_rows_of_no_groups(study: StudySettings, rows: int) -> None:
    alone, grouped = proxy_rows(study, rows), proxy_rows(study, rows, np.arange(rows))
    for one, other in zip(parts_of(alone), parts_of(grouped), strict=True):
        assert np.array_equal(one, other)


@given(studies(), groups_of_rows(smallest=10, largest=200, fewest=8))
def test_parts_share_no_row_and_split_no_group(study: StudySettings, groups: Rows) -> None:
    drawn = proxy_rows(study, len(groups), groups)
    parts = parts_of(drawn)
    for part in parts:
        assert sorted(part) == np.flatnonzero(np.isin(groups, groups[part])).tolist()
    assert all(not set(one) & set(other) for one, other in combinations(parts, 2))
    assert min(len(drawn.train), len(drawn.validation)) >= 2
    assert len(drawn.judging) <= min(len(drawn.validation), study.proxy.judging_examples)
    again = proxy_rows(study, len(groups), groups)
    assert all(np.array_equal(one, other) for one, other in zip(parts, parts_of(again), strict=True))


@given(studies(), groups_of_rows())
def test_the_test_rows_are_the_same_for_every_search_and_leave_two_groups(
    study: StudySettings, groups: Rows
) -> None:
    pool, test = set_aside(study.task, len(groups), groups)
    assert sorted([*pool, *test]) == list(range(len(groups)))
    assert not set(groups[pool]) & set(groups[test])
    assert len(set(groups[pool])) >= min(2, groups.max() + 1)
    if not study.task.dataset.test and int(study.task.dataset.test_share * len(groups)) and groups.max() >= 2:
        assert len(test)


@given(groups_of_rows(), st.integers(0, 200), st.integers(0, 3), st.integers(0, 50))
def test_a_part_of_whole_groups_is_as_near_to_what_is_wanted_as_one_group_more_can_bring_it(
    groups: Rows, wanted: int, spare: int, seed: int
) -> None:
    order = shuffled(np.arange(len(groups)), groups, np.random.default_rng(seed))
    part, rest = cut(order, groups, wanted, spare)
    assert sorted([*part, *rest]) == list(range(len(groups)))
    assert not set(groups[part]) & set(groups[rest])
    sizes, left = np.bincount(groups), sorted(set(groups[rest]))
    assert len(left) >= min(spare, len(sizes))
    if wanted and len(sizes) > spare:
        assert len(part)
    fit = np.sum(sizes <= wanted)
    if len(left) > spare and (not spare or len(sizes) - len(left) < fit / 2):
        assert all(abs(len(part) + sizes[group] - wanted) >= abs(len(part) - wanted) for group in left)
    if len(part) >= 2 * max(wanted, 1):
        assert len(part) - max(sizes[group] for group in set(groups[part])) < 2
    assert wanted or not len(part)


@given(groups_of_rows(), st.integers(0, 200))
def test_at_most_so_many_rows_are_whole_groups_and_no_other_group_would_fit(groups: Rows, most: int) -> None:
    order = shuffled(np.arange(len(groups)), groups, np.random.default_rng(0))
    found = within(order, groups, most)
    assert sorted(found) == np.flatnonzero(np.isin(groups, groups[found])).tolist()
    others = set(groups) - set(groups[found])
    assert len(found) <= most
    assert all(len(found) + np.sum(groups == group) > most for group in others)


def test_groups_come_in_one_piece_and_in_an_order_that_the_seed_gives() -> None:
    groups = np.tile(np.arange(50), 4)
    orders = [groups[shuffled(np.arange(200), groups, np.random.default_rng(seed))] for seed in (0, 0, 1)]
    assert all((np.diff(order) != 0).sum() == 49 for order in orders)
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])


def test_a_group_that_is_larger_than_the_validation_part_is_not_in_it() -> None:
    groups = np.repeat(np.arange(61), [3000, *[10] * 60])
    for seed in range(20):
        drawn = proxy_rows(settings(seed), len(groups), groups)
        assert [len(part) for part in parts_of(drawn)] == [60, 40, 40, 310]


def test_one_group_of_all_rows_is_refused() -> None:
    with pytest.raises(InputError, match=r"data.csv: no part splits a group of column 'patient', which") as caught:
        proxy_rows(settings(), 500, np.zeros(500, dtype=np.int64))
    assert "leaves 500 examples to train on and 0 to validate on" in str(caught.value)
    assert caught.value.field == "task.group"


def test_two_groups_train_and_validate_and_leave_no_test_part() -> None:
    drawn = proxy_rows(settings(), 500, np.repeat(np.arange(2), [300, 200]))
    assert sorted(map(len, parts_of(drawn))) == [0, 0, 200, 300]
    assert len(drawn.aside) == 0


@pytest.mark.parametrize(
    ("rows", "most", "judging", "said"),
    [
        (1000, 2000, 40, "the judging part, which no choice reads, has 40 rows"),
        (375, 2000, 40, "the judging part, which no choice reads, has 40 rows"),
        (1000, 30, 30, "the judging part, which no choice reads, has 30 rows"),
        (373, 2000, 0, "199 rows are left over, too few for a judging part, which needs 200"),
        (126, 2000, 0, "1 row is left over, too few for a judging part, which needs 200"),
        (125, 2000, 0, "no row is left over for a judging part"),
    ],
)
def test_the_judging_part_is_told_and_why_there_is_none(rows: int, most: int, judging: int, said: str) -> None:
    drawn = proxy_rows(settings(judging_examples=most), rows)
    assert len(drawn.judging) == judging
    assert drawn.notes[-1] == said


def test_no_judging_part_is_made_where_none_is_asked_for() -> None:
    drawn = proxy_rows(settings(judging_examples=0), 1000)
    assert len(drawn.judging) == 0
    assert drawn.notes == ("200 of 1,000 rows are set aside for the test of full training",)


def test_notes_tell_the_groups_of_each_part() -> None:
    assert proxy_rows(settings(), 1000, np.repeat(np.arange(200), 5)).notes == (
        "200 of 1,000 rows are set aside for the test of full training (40 groups)",
        "the proxy trains on 60 of the rest (12 groups) and validates on 40 (8 groups)",
        "the judging part, which no choice reads, has 40 rows (8 groups)",
    )


def test_groups_that_are_too_large_for_a_judging_part_are_told() -> None:
    groups = np.repeat(np.arange(7), [100, 100, 20, *[150] * 4])
    for seed in range(20):  # of some, the group of 20 rows is left, which would be a judging part of its own
        study = settings(seed, test="test.csv", train_examples=100, validation_examples=100)
        drawn = proxy_rows(study, len(groups), groups)
        assert len(drawn.judging) == 0
        assert "the groups left over are too large for a judging part of at most" in drawn.notes[-1]
