from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from msplora_search.adapters.anatomy import AnatomyError, Site, dissect, head_parameters
from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from tests.adapters import models

ENCODERS = [
    pytest.param(models.bert, "bert.encoder.layer", ("query", "value"), id="bert"),
    pytest.param(models.roberta, "roberta.encoder.layer", ("query", "value"), id="roberta"),
    pytest.param(models.distilbert, "distilbert.transformer.layer", ("q_lin", "v_lin"), id="distilbert"),
    pytest.param(models.llama, "model.layers", ("q_proj", "v_proj"), id="llama"),
]


@pytest.mark.parametrize(("make", "stack", "targets"), ENCODERS)
def test_the_stack_and_every_site_of_it_are_found(
    make: Callable[[int], nn.Module], stack: str, targets: tuple[str, ...]
) -> None:
    model = make(3)
    anatomy = dissect(model, targets)
    assert (anatomy.stack, anatomy.layers) == (stack, 3)
    assert [site.layer for site in anatomy.sites] == [0, 0, 1, 1, 2, 2]
    for site in anatomy.sites:
        linear = model.get_submodule(site.path)
        assert isinstance(linear, nn.Linear)
        assert (site.d_in, site.d_out) == (linear.in_features, linear.out_features)
        assert site.path == f"{stack}.{site.layer}.{site.target}"
        assert site.target.endswith(targets)


def test_each_target_has_its_own_family_and_shape() -> None:
    families = dissect(models.llama(2), ("q_proj", "k_proj", "v_proj")).families()
    assert {(f.target.rsplit(".", 1)[-1], f.d_in, f.d_out) for f in families} == {
        ("q_proj", 32, 32),
        ("k_proj", 32, 16),
        ("v_proj", 32, 16),
    }
    assert all([site.layer for site in sites] == [0, 1] for sites in families.values())


def test_a_target_is_a_suffix_at_a_dot() -> None:
    model = models.bert(2)
    assert found(model, "dense") == {"attention.output.dense", "intermediate.dense", "output.dense"}
    assert found(model, "intermediate.dense") == {"intermediate.dense"}
    with pytest.raises(AnatomyError, match="'uery' matches no linear module"):
        dissect(model, ["uery"])


def test_the_whole_name_within_a_layer_is_that_module_alone() -> None:
    assert found(models.bert(2), "output.dense") == {"output.dense"}


def found(model: nn.Module, target: str) -> set[str]:
    return {family.target for family in dissect(model, [target]).families()}


def test_targets_that_overlap_name_a_site_once() -> None:
    sites = dissect(models.bert(2), ["query", "self.query"]).sites
    assert [site.layer for site in sites] == [0, 1]


def test_linears_outside_the_stack_are_no_sites() -> None:
    with pytest.raises(AnatomyError, match="'classifier' matches no linear module"):
        dissect(models.bert(2), ["classifier"])


def test_a_target_that_matches_nothing_names_what_there_is() -> None:
    with pytest.raises(
        AnatomyError, match="target 'q_proj' matches no linear module; there are: dense, key, query, value"
    ):
        dissect(models.bert(2), ["query", "q_proj"])


def test_a_model_without_layers_has_no_candidates() -> None:
    with pytest.raises(AnatomyError, match="there are: none"):
        dissect(nn.Sequential(nn.Linear(2, 2)), ["query"])


def test_an_encoder_and_its_decoder_have_a_stack_each() -> None:
    anatomy = dissect(models.bart(), ["q_proj"])
    assert dict(anatomy.stacks) == {"model.decoder.layers": 3, "model.encoder.layers": 2}
    assert (anatomy.layers, anatomy.most_groups) == (3, 2)
    pyramid = Pyramid.from_split((4, 2, 1), (0, 2, 3), ["q_proj"])
    assert anatomy.pyramid_for("model.decoder.layers", pyramid) == pyramid
    shallower = anatomy.pyramid_for("model.encoder.layers", pyramid)
    assert [(g.start, g.stop) for g in shallower.groups] == [(0, 1), (1, 2)]
    with pytest.raises(AnatomyError, match=r"'model.encoder.layers': 3 depth groups do not fit 2 layers"):
        anatomy.count(Pyramid.from_split((4, 2, 1), (0, 1, 2, 3), ["q_proj"]))


def test_a_suffix_found_in_one_of_two_stacks_is_enough() -> None:
    assert dissect(models.t5(), ["EncDecAttention.q"]).stack == "decoder.block"
    assert dissect(models.bart(), ["encoder_attn.q_proj"]).layers == 3


def test_a_model_without_weights_can_be_dissected() -> None:
    config = BertConfig(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072)
    with torch.device("meta"):
        model = BertModel(config)
    anatomy = dissect(model, models.QV)
    assert anatomy.count(Pyramid.geometric(8, layers=12)) == 135_168
    assert anatomy.count(Pyramid.lora(8, 12, models.QV)) == 294_912
    assert anatomy.count_per_rank() == 2 * (768 + 768)


# Counts


def test_the_count_is_the_pyramids_where_every_layer_has_every_target() -> None:
    pyramid = models.uneven(6, ("q_proj", "v_proj"))
    anatomy = dissect(models.llama(6), pyramid.targets)
    assert anatomy.count(pyramid) == pyramid.count({"q_proj": (32, 32), "v_proj": (32, 16)})


class Patchwork(nn.Module):
    """Layers 0 and 2 have a wide target, layer 1 a narrow one, layer 3 none."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleDict({"proj": nn.Linear(4, width)}) for width in (8, 6, 8))
        self.layers.append(nn.ModuleDict({"other": nn.Linear(4, 4)}))


def test_only_equal_shapes_share_and_absent_members_cost_nothing() -> None:
    anatomy = dissect(Patchwork(), ["proj"])
    assert anatomy.layers == 4
    pyramid = Pyramid(1, [DepthGroup(0, 2, 2, 3), DepthGroup(2, 4, 5, 7)], ["proj"])
    wide = (4 + 8) * (1 + 2 + 5 + 3 + 7)
    narrow = (4 + 6) * (1 + 2 + 3)
    assert anatomy.count(pyramid) == wide + narrow


def test_equal_groups_at_different_depths_are_counted_each() -> None:
    anatomy = dissect(models.bert(4), ["query"])
    pyramid = Pyramid.from_split((0, 2, 0), (0, 2, 4), ["query"])
    assert anatomy.count(pyramid) == 64 * 4


def test_another_depth_is_refused_with_the_way_out() -> None:
    anatomy = dissect(models.bert(4), models.QV)
    with pytest.raises(
        AnatomyError, match=r"the pyramid has 6 layers, but the stack 'bert.encoder.layer' has 4;.*at_depth\(4\)"
    ):
        anatomy.count(Pyramid.geometric(8, layers=6))


# Heads


@pytest.mark.parametrize(
    ("make", "heads"),
    [
        (models.bert, {"classifier.weight", "classifier.bias"}),
        (models.roberta, {f"classifier.{m}.{p}" for m in ("dense", "out_proj") for p in ("weight", "bias")}),
        (models.distilbert, {f"{m}.{p}" for m in ("pre_classifier", "classifier") for p in ("weight", "bias")}),
        (models.llama, set()),
        (models.t5, set()),
    ],
)
def test_the_head_is_what_lies_outside_the_pretrained_base(
    make: Callable[[int], nn.Module], heads: set[str]
) -> None:
    model = make(2)
    found = {id(p) for p in head_parameters(model)}
    assert {name for name, p in model.named_parameters() if id(p) in found} == heads


def test_a_bare_base_has_no_head() -> None:
    model = models.bert(2).get_submodule("bert")
    assert head_parameters(model) == []


def test_a_site_knows_its_family() -> None:
    assert Site("layers.0.q", "layers", 0, "q", 4, 8).family == ("layers", "q", 4, 8)
