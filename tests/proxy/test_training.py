from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_linear_schedule_with_warmup

from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.proxy.batching import ProxyBatches, shuffled_buckets
from msplora_search.proxy.precision import Precision
from msplora_search.proxy.shelf import Progress
from msplora_search.proxy.training import DivergedError, rate_factor, require_numbers, rung_steps
from msplora_search.proxy.workbench import Workbench
from msplora_search.results.records import Evaluation
from msplora_search.settings import StudySettings
from tests.small import study_fields

QV = ("query", "value")
ONE, OTHER = Pyramid.lora(2, 2, QV), Pyramid.from_split((2, 1, 0), (0, 2), QV)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return bench_of(tmp_path)


def bench_of(folder: Path, **changes: Any) -> Workbench:
    return Workbench.load(StudySettings.model_validate(study_fields(folder, **changes)))


def curve(bench: Workbench, pyramid: Pyramid, rate: float = 2e-2) -> list[Evaluation]:
    return list(bench.measure(pyramid, rate))


def same(one: list[Evaluation], other: list[Evaluation]) -> bool:
    return [e.loss for e in one] == [e.loss for e in other] and all(
        np.array_equal(a.predictions, b.predictions) for a, b in zip(one, other, strict=True)
    )


def test_a_proxy_learns_and_is_measured_at_every_rung(bench: Workbench) -> None:
    found = curve(bench, ONE)
    assert [e.rung for e in found] == [0.5, 1.0]
    assert [e.step for e in found] == [32, 64] == list(rung_steps(bench.steps, (0.5, 1.0)))
    assert found[-1].loss < found[0].loss
    assert found[-1].metric > 0.75
    labels = bench.task.validation.truth
    for e in found:
        assert np.allclose(e.influence, (e.predictions == labels) - e.metric)
        assert e.metric == pytest.approx((e.predictions == labels).mean())


def test_rungs_before_the_end_look_at_the_first_examples(tmp_path: Path, bench: Workbench) -> None:
    """Of them they say what a look at all would, and training goes on the same."""
    few = bench_of(tmp_path, proxy={"early_examples": 70})
    (early, end), (whole, same_end) = curve(few, ONE), curve(bench, ONE)
    assert len(end.predictions) > 70
    assert np.array_equal(early.predictions, whole.predictions[:70])
    assert early.metric == pytest.approx((early.predictions == few.task.validation.truth[:70]).mean())
    assert same([end], [same_end])
    kept = Evaluation.from_json(early.to_json(), few.task.judges[0].influence)
    assert kept.influence == pytest.approx(early.influence)


def test_another_seed_is_another_training_of_the_same_examples_and_leaves_no_trace(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, proxy={"dropout": True})
    first, other = curve(bench, ONE), list(bench.measure(ONE, 2e-2, 5))
    assert same(list(bench.measure(ONE, 2e-2, 5)), other)
    assert other[-1].loss != first[-1].loss
    assert len(other[-1].predictions) == len(first[-1].predictions)
    assert same(curve(bench, ONE), first)
    assert same(list(bench.measure(ONE, 2e-2, bench.settings.search.seed)), first)
    own, further = bench.batches, ProxyBatches.of(bench.task, bench.settings.proxy, 5)
    shuffled = [sorted(str(b) for b in batches.validation) for batches in (own, further)]
    assert shuffled[0] == shuffled[1]


def test_a_trial_leaves_no_trace_for_the_next(bench: Workbench) -> None:
    state = copy.deepcopy(bench.backbone.model.state_dict())
    first = curve(bench, ONE)
    curve(bench, OTHER)
    half = bench.measure(OTHER, 2e-2)
    next(half)
    assert isinstance(half, Iterator)
    half.close()  # type: ignore[attr-defined]
    assert same(curve(bench, ONE), first)
    bench.backbone.reset_head()
    after = bench.backbone.model.state_dict()
    assert state.keys() == after.keys()
    assert all(torch.equal(state[name], after[name]) for name in state)


def test_the_first_token_alone_gives_the_curve_of_all_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = curve(bench_of(tmp_path), OTHER)
    monkeypatch.setattr("msplora_search.proxy.workbench.keep_first_token", lambda *_: None)
    plain = curve(bench_of(tmp_path), OTHER)
    assert [e.loss for e in fast] == pytest.approx([e.loss for e in plain], abs=1e-5)
    assert all(np.array_equal(a.predictions, b.predictions) for a, b in zip(fast, plain, strict=True))


def test_batches_are_the_same_each_time_they_are_made(bench: Workbench) -> None:
    training = bench.batches.training
    assert len(training) == bench.steps == len(list(training))
    for batch, again in zip(training, training, strict=True):
        assert batch is not again
        assert np.array_equal(batch.rows, again.rows)
        assert all(torch.equal(batch.inputs[name], again.inputs[name]) for name in batch.inputs)
    assert np.array_equal(training[3:5][1].rows, training[4].rows)
    with pytest.raises(IndexError):
        training[bench.steps]


def test_another_process_would_measure_the_same(tmp_path: Path, bench: Workbench) -> None:
    assert same(curve(bench_of(tmp_path), ONE), curve(bench, ONE))


def test_trials_see_the_same_examples_in_the_same_order(bench: Workbench) -> None:
    seed = bench.settings.search.seed
    again = ProxyBatches.of(bench.task, bench.settings.proxy, seed)
    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(bench.batches.training, again.training, strict=True))
    other = ProxyBatches.of(bench.task, bench.settings.proxy, seed + 1)
    assert any(
        not np.array_equal(a.rows, b.rows) for a, b in zip(bench.batches.training, other.training, strict=True)
    )


def test_a_loss_that_is_no_number_ends_the_trial(bench: Workbench) -> None:
    bench.backbone.initial_head[0].fill_(float("nan"))
    with pytest.raises(DivergedError, match="the training loss is nan at step 1 of 64"):
        curve(bench, ONE)
    assert not hasattr(bench.backbone.model, "pyramid_bank")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_becomes_no_number_ends_the_trial_at_that_step(bench: Workbench, value: float) -> None:
    steps: list[int] = []

    def spoil(_: Any, __: Any, output: Any) -> None:
        steps.append(len(steps) + 1)
        if steps[-1] == 5:
            output.logits = output.logits * 0 + torch.tensor([-value, 0.0])

    spoiled = bench.backbone.model.register_forward_hook(spoil)
    with spoiled, pytest.raises(DivergedError, match=r"the training loss is (nan|inf) at step 5 of 64"):
        curve(bench, ONE)
    assert steps == [1, 2, 3, 4, 5]


def test_of_several_steps_the_first_whose_loss_is_no_number_is_named() -> None:
    nan, one = torch.tensor(float("nan")), torch.tensor(1.0)
    require_numbers(Progress(step=48, losses=[one] * 20), 64, 16)
    with pytest.raises(DivergedError, match="the training loss is nan at step 43 of 64"):
        require_numbers(Progress(step=48, losses=[*[one] * 4, *[nan] * 6]), 64, 16)
    with pytest.raises(DivergedError, match="at step 33 of 64"):
        require_numbers(Progress(step=48, losses=[*[one] * 9, *[nan] * 16]), 64, 16)


def test_bf16_comes_close_to_fp32(tmp_path: Path, bench: Workbench) -> None:
    half = bench_of(tmp_path, proxy={"precision": "bf16"})
    assert half.precision.dtype == torch.bfloat16
    assert curve(half, ONE)[-1].metric == pytest.approx(curve(bench, ONE)[-1].metric, abs=0.1)
    assert {p.dtype for p in half.backbone.head} == {torch.float32}


def test_dropout_is_kept_where_asked(tmp_path: Path, bench: Workbench) -> None:
    dropped = bench_of(tmp_path, proxy={"dropout": True})
    first = curve(dropped, ONE)
    assert not same(first, curve(bench, ONE))
    assert same(first, curve(dropped, ONE))


def test_a_target_that_matches_nothing_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"space.targets \['q_proj'\] on model .*: target 'q_proj' matches no .*value"
    ):
        bench_of(tmp_path, space={"targets": [["q_proj"]]})


def test_more_groups_than_layers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="space: no depth groups fit: 3 groups of at least 1 layers in a stack of 2"
    ):
        bench_of(tmp_path, space={"groups": {"count": [3]}})


def test_a_proxy_with_fewer_steps_than_rungs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"proxy.rungs: a proxy of 1 steps has no room for 2 rungs"):
        bench_of(tmp_path, proxy={"epochs": 0.06})


@given(st.integers(1, 300), st.floats(0, 0.99))
def test_the_schedule_is_linear_warm_up_and_linear_decay(steps: int, warmup: float) -> None:
    factors = [rate_factor(step, steps, warmup) for step in range(steps + 1)]
    peak = int(np.argmax(factors))
    assert factors[-1] == 0
    assert 0 < max(factors) <= 1
    assert all(a < b for a, b in pairwise(factors[:peak]))
    assert all(a > b for a, b in pairwise(factors[peak:-1]))


def test_after_the_warm_up_the_schedule_is_that_of_transformers() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = get_linear_schedule_with_warmup(optimizer, 6, 100)  # type: ignore[no-untyped-call]
    assert isinstance(theirs, LambdaLR)
    for step in range(6, 100):
        assert rate_factor(step, 100, 0.06) == pytest.approx(theirs.lr_lambdas[0](step))


@given(st.lists(st.integers(1, 128), min_size=1, max_size=300), st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_holds_every_example_once_in_full_batches(lengths: list[int], size: int, seed: int) -> None:
    batches = shuffled_buckets(np.array(lengths), size, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert sum(len(batch) < size for batch in batches) <= 1 + len(lengths) // (size * 32)


def test_bucketed_batches_have_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, size=2000)
    batches = shuffled_buckets(lengths, 32, np.random.default_rng(1))
    padded = sum(len(b) * lengths[b].max() for b in batches)
    assert padded < 1.05 * lengths.sum()


def test_a_part_of_an_epoch_is_trained_for_its_part(tmp_path: Path) -> None:
    assert bench_of(tmp_path, proxy={"epochs": 1.5}).steps == 24


def test_every_validation_example_is_predicted_once_in_its_place(bench: Workbench) -> None:
    rows = np.concatenate([batch.rows for batch in bench.batches.validation])
    assert sorted(rows.tolist()) == list(range(144))


def test_auto_precision_follows_the_processor() -> None:
    cpu = torch.device("cpu")
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert (Precision.named("auto", cpu).dtype == torch.bfloat16) == fast
    assert Precision.named("fp32", cpu).dtype == torch.float32


def test_a_trial_is_measured_on_the_judging_part_at_its_end_alone(tmp_path: Path) -> None:
    fields = study_fields(tmp_path, proxy={"train_examples": 60, "validation_examples": 60, "epochs": 2})
    fields["task"]["dataset"] = {"path": fields["task"]["dataset"], "test_share": 0.1}
    bench = Workbench.load(StudySettings.model_validate(fields))
    assert bench.task.judging is not None
    assert len(bench.task.judging) == 60
    first, last = bench.measure(Pyramid.lora(2, bench.layers, bench.space().targets[0]), 2e-2)
    assert first.judged is None
    assert last.judged is not None
    truth = bench.task.judging.truth
    assert last.judged.metric == pytest.approx((last.judged.predictions == truth).mean())
    kept = Evaluation.from_json(last.to_json(), judged_influence_of=bench.task.judge(bench.task.judging).influence)
    assert kept.judged is not None
    assert kept.judged.influence == pytest.approx(last.judged.influence)
