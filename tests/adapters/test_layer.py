from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from msplora_search.adapters.layer import LowRankAdapter, PyramidLinear


def adapter(d_in: int, d_out: int, rank: int, alpha: float, seed: int) -> LowRankAdapter:
    made = LowRankAdapter(d_in, d_out, rank, alpha / rank)
    generator = torch.Generator().manual_seed(seed)
    made.reset(generator)
    with torch.no_grad():
        made.B.copy_(torch.randn(made.B.shape, generator=generator))
    return made


def linear(d_in: int, d_out: int, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(d_in, d_out, bias=bias)


def test_shapes_and_scaling_are_those_of_the_design() -> None:
    made = LowRankAdapter(6, 10, rank=4, scaling=3.0)
    with torch.no_grad():
        made.B.fill_(1.0)
    assert (made.A.shape, made.B.shape) == ((4, 6), (10, 4))
    assert torch.allclose(made.delta(), 3 * made.A.sum(dim=0).expand(10, 6))


def test_a_fresh_adapter_changes_nothing() -> None:
    made = LowRankAdapter(6, 10, rank=4, scaling=4.0)
    assert torch.equal(made.delta(), torch.zeros(10, 6))
    assert made.A.abs().sum() > 0


def test_A_starts_kaiming_uniform_with_a_sqrt_5() -> None:  # noqa: N802 - A is the paper's name
    ours = LowRankAdapter(64, 8, rank=200, scaling=1.0)
    theirs = nn.init.kaiming_uniform_(torch.empty(200, 64), a=math.sqrt(5))
    bound = 1 / math.sqrt(64)
    assert bound * 0.99 < ours.A.abs().max() <= bound
    assert ours.A.std().item() == pytest.approx(theirs.std().item(), rel=0.03)


def test_reset_draws_the_numbers_of_the_generator_and_zeroes_B() -> None:  # noqa: N802 - B is the paper's name
    one, other = adapter(6, 10, 4, 16, seed=1), adapter(6, 10, 4, 16, seed=2)
    assert not torch.equal(one.A, other.A)
    for made in (one, other):
        made.reset(torch.Generator().manual_seed(3))
    assert torch.equal(one.A, other.A)
    assert not one.B.any()


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.lists(st.integers(1, 5), min_size=1, max_size=3))


@settings(max_examples=50)
@given(sizes=SIZES, bias=st.booleans(), batch=st.sampled_from([(), (3,), (2, 3), (2, 2, 3)]))
def test_the_fused_forward_is_the_textbook_sum(
    sizes: tuple[int, int, list[int]], bias: bool, batch: tuple[int, ...]
) -> None:
    d_in, d_out, ranks = sizes
    base = linear(d_in, d_out, bias)
    adapters = tuple(adapter(d_in, d_out, rank, 2.0 * i + 1, seed=i) for i, rank in enumerate(ranks))
    x = torch.randn(*batch, d_in, generator=torch.Generator().manual_seed(9))
    expected = base(x)
    for a in adapters:
        expected = expected + (a.scaling * (a.B @ (a.A @ x.unsqueeze(-1)))).squeeze(-1)
    fused = PyramidLinear(base, adapters)
    assert torch.allclose(fused(x), expected, atol=1e-4, rtol=1e-4)
    assert fused(x).shape == (*batch, d_out)


def test_delta_is_the_change_of_the_weight() -> None:
    base = linear(5, 7)
    fused = PyramidLinear(base, (adapter(5, 7, 2, 8, seed=0), adapter(5, 7, 3, 16, seed=1)))
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(9))
    assert fused.delta().dtype == torch.float32
    assert torch.allclose(fused(x), base(x) + x @ fused.delta().T, atol=1e-5)


def test_gradients_are_those_of_the_textbook_sum() -> None:
    base = linear(5, 7).requires_grad_(False)
    adapters = (adapter(5, 7, 2, 8, seed=0), adapter(5, 7, 3, 16, seed=1))
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(9))
    weights = torch.randn(4, 7, generator=torch.Generator().manual_seed(8))
    parameters = [p for a in adapters for p in (a.A, a.B)]
    textbook = base(x) + sum((a.scaling * x @ a.A.T @ a.B.T for a in adapters), torch.zeros(4, 7))
    expected = torch.autograd.grad((textbook * weights).sum(), parameters)
    got = torch.autograd.grad((PyramidLinear(base, adapters)(x) * weights).sum(), parameters)
    for one, other in zip(got, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_adapters_belong_to_the_bank_and_not_to_the_layer() -> None:
    base = linear(5, 7)
    fused = PyramidLinear(base, (adapter(5, 7, 2, 8, seed=0),))
    assert set(fused.state_dict()) == {"base.weight", "base.bias"}
    assert {id(p) for p in fused.parameters()} == {id(p) for p in base.parameters()}


def test_a_bf16_layer_takes_and_gives_bf16_beside_fp32_adapters() -> None:
    made = adapter(5, 7, 2, 8, seed=0)
    fused = PyramidLinear(linear(5, 7).to(torch.bfloat16), (made,))
    out = fused(torch.ones(3, 5, dtype=torch.bfloat16))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert made.A.grad is not None
    assert made.A.grad.dtype == made.A.dtype == torch.float32


def test_ranks_up_to_a_multiple_meet_the_same_kernels() -> None:
    """Every shape of a product costs a CPU a compiled kernel, which a search must not need for every trial."""

    def shapes(*ranks: int) -> set[tuple[int, ...]]:
        met: set[tuple[int, ...]] = set()

        class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                if "mm" in str(func):
                    met.update(tuple(a.shape) for a in args if isinstance(a, torch.Tensor))
                return func(*args, **(kwargs or {}))

        fused = PyramidLinear(linear(64, 64), tuple(adapter(64, 64, r, 8, seed=r) for r in ranks))
        with Watch():  # type: ignore[no-untyped-call]
            fused(torch.ones(3, 64, requires_grad=True)).sum().backward()
        return met

    assert shapes(8, 4, 2) == shapes(1) == shapes(16)
    assert shapes(8, 8, 1) != shapes(1)


# Dropout


def dropping(rate: float) -> PyramidLinear:
    adapters = tuple(adapter(40, 10, rank, 2.0 * i + 1, seed=i) for i, rank in enumerate((3, 2, 1)))
    return PyramidLinear(linear(40, 10), adapters, rate)


@settings(max_examples=20, deadline=None)
@given(rate=st.sampled_from([0.0, 0.3, 0.6, 0.9]), seed=st.integers(0, 99))
def test_dropout_acts_in_training_alone(rate: float, seed: int) -> None:
    layer, x = dropping(rate), torch.randn(4, 40, generator=torch.Generator().manual_seed(seed))
    without = dropping(0.0).eval()(x)
    assert torch.equal(layer.eval()(x), without)
    torch.manual_seed(seed)
    assert torch.equal(layer.train()(x), without) == (rate == 0)


def test_one_mask_is_for_all_levels_and_leaves_the_base_alone() -> None:
    layer, x = dropping(0.5).train(), torch.randn(6, 40)
    torch.manual_seed(3)
    found = layer(x)
    torch.manual_seed(3)
    masked = torch.nn.functional.dropout(x, 0.5, training=True)
    assert torch.allclose(found, layer.base(x) + masked @ layer.delta().T, atol=1e-4)


def test_the_mean_over_masks_is_the_output_without_dropout() -> None:
    layer, x = dropping(0.3).train(), torch.randn(1, 40)
    torch.manual_seed(4)
    with torch.no_grad():
        found = layer(x.expand(40_000, 40))
        update = found - layer.base(x)
        error = update.std(dim=0) / 200
        assert ((update.mean(dim=0) - (layer.eval()(x) - layer.base(x))).abs() < 4.5 * error).all()


def test_the_gradient_is_that_of_the_input_that_is_left() -> None:
    layer, x = dropping(0.5).train(), torch.randn(6, 40)
    torch.manual_seed(5)
    layer(x).sum().backward()
    torch.manual_seed(5)
    masked = torch.nn.functional.dropout(x, 0.5, training=True)
    for one in layer.adapters:
        assert one.A.grad is not None
        expected = one.scaling * torch.outer(one.B.sum(dim=0), masked.sum(dim=0))
        assert torch.allclose(one.A.grad, expected, atol=1e-4)


def test_a_layer_that_is_adapted_in_evaluation_stays_there() -> None:
    base = linear(40, 10).eval()
    assert not PyramidLinear(base, (adapter(40, 10, 2, 1.0, seed=0),), 0.5).training
