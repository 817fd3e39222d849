from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from msplora_search import Pyramid, attach, detach
from msplora_search.adapters.anatomy import AnatomyError, Site, dissect
from msplora_search.adapters.bank import AdapterBank, AdapterKey, merge
from msplora_search.design.depth import DepthGroup
from tests.adapters.models import QV, TOKENS, adapted, bert, llama, logits, roberta, train_a_little, uneven
from tests.strategies import RawPyramid, raw_pyramids

DEPTHS = (6, 12, 13, 32)
SCALINGS = ("standard", "rank-stabilised")


def snapshot(model: nn.Module) -> dict[str, tuple[Tensor, bool]]:
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    return {name: (t.clone(), flags.get(name, False)) for name, t in model.state_dict().items()}


def same(one: dict[str, tuple[Tensor, bool]], other: dict[str, tuple[Tensor, bool]]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[name][0], other[name][0]) and one[name][1] == other[name][1] for name in one
    )


@pytest.mark.parametrize("layers", DEPTHS)
def test_a_shared_B_changes_the_output_of_every_member_layer_and_of_no_other(layers: int) -> None:  # noqa: N802
    model = bert(layers)
    pyramid = uneven(layers)
    bank = attach(model, pyramid)
    sites = adapted(model)
    members = {key: {s.path for s in bank.anatomy.sites if member(key, s, pyramid)} for key in bank.keys}
    assert sum(len(paths) for paths in members.values()) == 3 * len(sites)
    x = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = {path: site(x) for path, site in sites.items()}
        for key, adapter in zip(bank.keys, bank.adapters, strict=True):
            assert isinstance(adapter.B, nn.Parameter)
            adapter.B.fill_(0.1)
            changed = {path for path, site in sites.items() if not torch.equal(site(x), before[path])}
            adapter.B.zero_()
            assert changed == members[key], key


def member(key: AdapterKey, site: Site, pyramid: Pyramid) -> bool:
    place = {"global": 0, "mid": pyramid.group_of(site.layer), "layer": site.layer}[key.level]
    return site.target == key.target and place == key.index


@pytest.mark.parametrize("layers", DEPTHS)
def test_zero_B_leaves_the_output_bit_identical(layers: int) -> None:  # noqa: N802
    model = bert(layers)
    before = logits(model)
    attach(model, uneven(layers))
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("layers", DEPTHS)
@pytest.mark.parametrize("scaling", SCALINGS)
def test_merged_equals_unmerged(layers: int, scaling: str) -> None:
    model = bert(layers)
    untouched = logits(model)
    bank = attach(model, uneven(layers, scaling=scaling))
    train_a_little(bank)
    unmerged = logits(model)
    assert (unmerged - untouched).abs().max() > 1e-3
    plain = merge(model)
    assert not adapted(plain)
    assert (logits(plain) - unmerged).abs().max() <= 1e-5


def test_merge_keeps_the_precision_of_a_double_model() -> None:
    model = bert(2).double()
    weight = model.get_parameter("bert.encoder.layer.0.attention.self.query.weight")
    with torch.no_grad():
        weight.add_(1e-12)
    kept = weight.clone()
    attach(model, Pyramid.lora(2, 2, QV))
    merge(model)
    assert torch.equal(weight, kept)


@settings(max_examples=30)
@given(raw_pyramids(layers=st.integers(1, 6)), st.sampled_from([bert, roberta]))
def test_the_closed_form_is_the_number_of_unique_trainable_adapter_parameters(
    raw: RawPyramid, make: Callable[[int], nn.Module]
) -> None:
    pyramid = raw.build()
    model = make(pyramid.layers)
    base = {id(p) for p in model.parameters()}
    bank = attach(model, pyramid, trainable=())
    unique = {id(p): p.numel() for p in model.parameters() if p.requires_grad}
    assert not base & unique.keys()
    assert sum(unique.values()) == pyramid.count({"query": (32, 32), "value": (32, 32)}) == bank.count()


@settings(max_examples=30)
@given(raw_pyramids(layers=st.integers(1, 6)))
def test_equal_pyramids_compute_what_the_configuration_says(raw: RawPyramid) -> None:
    """The canonical model's update of each layer has the rank structure of the raw configuration."""
    pyramid = raw.build()
    bank = AdapterBank(pyramid, dissect(bert(pyramid.layers), QV))
    over_all, mid, own = raw.alphas
    for site in bank.anatomy.sites:
        group = next(g for g in raw.groups if g.start <= site.layer < g.stop)
        levels = [(raw.global_rank, over_all), (group.mid_rank, mid), (group.layer_rank, own)]
        wanted = sorted((rank, raw.factor(alpha, rank)) for rank, alpha in levels if rank)
        assert sorted((a.rank, a.scaling) for a in bank.sites.get(site.path, ())) == wanted


def test_rank_stabilised_levels_are_louder_by_the_root_of_their_rank() -> None:
    standard, louder = (AdapterBank(uneven(6, scaling=scaling), dissect(bert(6), QV)) for scaling in SCALINGS)
    for path, adapters in standard.sites.items():
        for one, other in zip(adapters, louder.sites[path], strict=True):
            assert other.scaling == pytest.approx(one.scaling * one.rank**0.5)


def test_a_group_without_any_rank_stays_as_it_is() -> None:
    model = bert(4)
    before = logits(model)
    bank = attach(model, Pyramid(0, [DepthGroup(0, 2, 0, 0), DepthGroup(2, 4, 2, 1)], QV))
    assert {path.split(".")[3] for path in adapted(model)} == {"2", "3"}
    assert torch.equal(logits(model), before)
    train_a_little(bank)
    unmerged = logits(model)
    assert (logits(merge(model)) - unmerged).abs().max() <= 1e-5


def test_detach_gives_the_untouched_model_back() -> None:
    model = bert(4)
    model.get_submodule("bert.pooler").requires_grad_(False)
    modules = [id(m) for m in model.modules()]
    before = snapshot(model)
    bank = attach(model, uneven(4))
    train_a_little(bank)
    assert detach(model) is model
    assert same(snapshot(model), before)
    assert [id(m) for m in model.modules()] == modules


def test_the_base_is_frozen_and_the_head_is_not() -> None:
    model = bert(3)
    attach(model, uneven(3))
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name for name in trainable if not name.startswith("pyramid_bank")} == {
        "classifier.weight",
        "classifier.bias",
    }


def test_every_adapter_stands_once_in_parameters_and_state() -> None:
    model = bert(6)
    attach(model, uneven(6))
    pointers = [t.data_ptr() for name, t in model.state_dict().items() if name.startswith("pyramid_bank")]
    assert len(pointers) == len(set(pointers)) == 2 * len(QV) * (1 + 2 + 6)


def test_grouped_query_attention_shares_only_among_equal_shapes() -> None:
    model = llama(3)
    bank = attach(model, Pyramid.from_split((2, 0, 0), (0, 3), ["q_proj", "v_proj"]))
    assert sorted((key.d_in, key.d_out) for key in bank.keys) == [(32, 16), (32, 32)]
    assert bank.count() == 2 * (64 + 48)
    train_a_little(bank)
    unmerged = logits(model)
    assert (logits(merge(model)) - unmerged).abs().max() <= 1e-5


def test_the_same_seed_starts_common_adapters_alike() -> None:
    anatomy = dissect(bert(6), QV)
    one = AdapterBank(Pyramid.from_split((4, 2, 1), (0, 2, 6), QV), anatomy)
    other = AdapterBank(Pyramid.from_split((4, 0, 1), (0, 6), QV), anatomy)
    third = AdapterBank(one.pyramid, anatomy)
    one.reset(3)
    other.reset(3)
    third.reset(4)
    common = one.state().keys() & other.state().keys()
    assert len(common) == 2 * len(QV) * (1 + 6)
    assert all(torch.equal(one.state()[name], other.state()[name]) for name in common)
    assert not any(torch.equal(one.state()[n], third.state()[n]) for n in common if n.endswith(".A"))


def test_reset_starts_over() -> None:
    model = bert(4)
    before = logits(model)
    bank = attach(model, uneven(4), seed=5)
    start = {name: t.clone() for name, t in bank.state().items()}
    train_a_little(bank)
    bank.reset(5)
    assert all(torch.equal(t, start[name]) for name, t in bank.state().items())
    assert torch.equal(logits(model), before)


def test_state_goes_over_to_another_model() -> None:
    one, other = bert(4), bert(4)
    trained, fresh = attach(one, uneven(4)), attach(other, uneven(4), seed=7)
    train_a_little(trained)
    fresh.load_state(trained.state())
    assert torch.equal(logits(one), logits(other))


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    bank = AdapterBank(uneven(4), dissect(bert(4), QV))
    before = {name: t.clone() for name, t in bank.state().items()}
    wrong = {name: torch.ones_like(t) for name, t in before.items()}
    last = list(wrong)[-1]
    with pytest.raises(ValueError, match="has shape"):
        bank.load_state({**wrong, last: torch.ones(1, 1)})
    with pytest.raises(ValueError, match="another pyramid"):
        bank.load_state({name: t for name, t in wrong.items() if name != last})
    assert all(torch.equal(t, before[name]) for name, t in bank.state().items())


def test_an_adapted_model_trains_in_any_loop_and_leaves_the_base_alone() -> None:
    model = bert(4)
    untouched = copy.deepcopy(model.get_submodule("bert").state_dict())
    attach(model, uneven(4))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-2)
    losses = []
    for _ in range(20):
        loss = model(input_ids=TOKENS, labels=torch.tensor([0, 1])).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    detach(model)
    assert all(torch.equal(t, untouched[name]) for name, t in model.get_submodule("bert").state_dict().items())


def test_adapters_move_with_the_model() -> None:
    model = bert(2)
    bank = attach(model, Pyramid.lora(2, 2, QV))
    model.to("meta")
    assert {p.device.type for p in bank.parameters()} == {"meta"}
    assert {a.A.device.type for site in adapted(model).values() for a in site.adapters} == {"meta"}


def test_attach_and_detach_refuse_the_wrong_state() -> None:
    model = bert(2)
    for act in (detach, merge):
        with pytest.raises(ValueError, match="not adapted"):
            act(model)
    attach(model, Pyramid.lora(2, 2, QV))
    with pytest.raises(ValueError, match="adapted already"):
        attach(model, Pyramid.lora(2, 2, QV))


def test_another_depth_or_target_is_refused_and_the_model_stays_as_it_was() -> None:
    model = bert(4)
    before = snapshot(model)
    with pytest.raises(AnatomyError, match="has 5 layers"):
        attach(model, Pyramid(1, [DepthGroup(0, 5, 0, 0)], QV))
    with pytest.raises(AnatomyError, match=r"there are: .*query"):
        attach(model, Pyramid.lora(2, 4, ["q_proj"]))
    assert same(snapshot(model), before)
