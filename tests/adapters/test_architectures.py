from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from peft import PeftModel
from torch import Tensor, nn

from msplora_search import attach, detach, load_pyramid, save_pyramid, to_peft
from msplora_search.adapters.anatomy import AnatomyError, dissect, head_parameters
from msplora_search.adapters.bank import merge
from msplora_search.design.depth import split_evenly
from msplora_search.design.pyramid import Pyramid
from msplora_search.full.proofs import MOST_APART
from msplora_search.proxy.precision import Precision
from tests.adapters.architectures import ARCHITECTURES, Architecture, albert, clip
from tests.adapters.models import train_a_little

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
every_precision = pytest.mark.parametrize("precision", ["fp32", "bf16"])
QV = ("query", "value")


def pyramid_of(architecture: Architecture) -> Pyramid:
    """All levels, in two groups of unequal depth."""
    return Pyramid.from_split((3, 2, 1), split_evenly(max(architecture.stacks.values()), 2), QV)


def made(architecture: Architecture, precision: str = "fp32") -> nn.Module:
    """The model with its base in a precision; the head is fp32."""
    model = architecture.make()
    Precision.named(precision, torch.device("cpu")).prepare(model, head_parameters(model))
    return model


@torch.no_grad()
def logits(model: nn.Module, architecture: Architecture, precision: str = "fp32") -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        out = model.eval()(**architecture.inputs()).logits
    assert isinstance(out, Tensor)
    return out.float()


def most_apart(found: Tensor, precision: str = "fp32") -> float:
    """What a delivered model may differ by: T5's random weights are large, and so are its logits."""
    return MOST_APART[precision] * max(1.0, float(found.abs().max()))


@every_architecture
def test_query_and_value_are_found_whatever_they_are_called(architecture: Architecture) -> None:
    anatomy = dissect(architecture.make(), QV)
    assert dict(anatomy.stacks) == architecture.stacks
    assert anatomy.targets == architecture.targets
    shapes: dict[str, list[tuple[int, int]]] = {stack: [] for stack in architecture.stacks}
    for family, sites in anatomy.families().items():
        shapes[family.stack].append((family.d_in, family.d_out))
        assert [site.layer for site in sites] == list(range(architecture.stacks[family.stack]))
    assert shapes == architecture.shapes


@every_architecture
def test_the_closed_form_counts_what_is_attached(architecture: Architecture) -> None:
    model, pyramid = architecture.make(), pyramid_of(architecture)
    expected = 0
    for stack, shapes in architecture.shapes.items():
        units = 3 + 2 * 2 + architecture.stacks[stack]
        expected += sum(d_in + d_out for d_in, d_out in shapes) * units
    assert dissect(model, QV).count(pyramid) == expected
    bank = attach(model, pyramid, trainable=[])
    assert bank.count() == expected
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected
    assert len({id(p) for p in bank.parameters()}) == 2 * len(bank.keys)


@every_architecture
def test_a_shared_pair_changes_every_layer_that_has_it(architecture: Architecture) -> None:
    """Layer by layer, so that one layer's change cannot stand for that of the ones above it."""
    model = architecture.make()
    bank = attach(model, pyramid_of(architecture))
    for key, adapter in zip(bank.keys, bank.adapters, strict=True):
        members = [path for path, own in bank.sites.items() if any(one is adapter for one in own)]
        assert members
        with torch.no_grad():
            before = {path: _output_of(model, path, key.d_in) for path in bank.sites}
            adapter.B.add_(0.5)  # type: ignore[operator]
            after = {path: _output_of(model, path, key.d_in) for path in bank.sites}
            adapter.B.zero_()  # type: ignore[operator]
        changed = {path for path in before if not torch.equal(before[path], after[path])}
        assert changed == set(members)
        stack = {site.path: site.stack for site in bank.anatomy.sites}
        depth = architecture.stacks[stack[members[0]]]
        assert len(members) == {"global": depth, "layer": 1}.get(key.level, len(members))


def _output_of(model: nn.Module, path: str, d_in: int) -> Tensor:
    module = model.get_submodule(path)
    out = module(torch.linspace(-1, 1, 2 * 32).reshape(2, 32)[:, :32].repeat(1, d_in // 32))
    assert isinstance(out, Tensor)
    return out


@every_architecture
def test_a_training_step_lowers_the_loss(architecture: Architecture) -> None:
    model = architecture.make()
    attach(model, pyramid_of(architecture))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)

    def loss() -> Tensor:
        scores = model(**architecture.inputs()).logits
        return F.cross_entropy(scores.flatten(0, -2), torch.ones(scores.flatten(0, -2).shape[0], dtype=torch.long))

    first = loss()
    for _ in range(3):
        current = loss()
        current.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    assert loss() < first
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


@every_precision
@every_architecture
def test_stock_peft_computes_the_same(architecture: Architecture, precision: str, tmp_path: Path) -> None:
    model = made(architecture, precision)
    bare = logits(model, architecture, precision)
    train_a_little(attach(model, pyramid_of(architecture)))
    tied = logits(model, architecture, precision)
    assert (tied - bare).abs().max() > 1e-4
    to_peft(model).save(tmp_path / "peft", "base", architecture.task_type)
    loaded = PeftModel.from_pretrained(made(architecture, precision), str(tmp_path / "peft"))
    assert (logits(loaded, architecture, precision) - tied).abs().max() <= most_apart(tied, precision)


@every_precision
@every_architecture
def test_it_merges_is_saved_and_comes_off(architecture: Architecture, precision: str, tmp_path: Path) -> None:
    model = made(architecture, precision)
    bare = logits(model, architecture, precision)
    train_a_little(attach(model, pyramid_of(architecture)), size=0.3 if precision == "fp32" else 0.05)
    tied = logits(model, architecture, precision)
    save_pyramid(model, tmp_path / "pyramid")
    other = made(architecture, precision)
    load_pyramid(other, tmp_path / "pyramid")
    assert torch.equal(logits(other, architecture, precision), tied)
    assert torch.equal(logits(detach(model), architecture, precision), bare)
    assert (logits(merge(other), architecture, precision) - tied).abs().max() <= most_apart(tied, precision)


@every_architecture
def test_attention_and_feed_forward_are_all_linear_modules_of_the_layers(architecture: Architecture) -> None:
    model = architecture.make()
    attention = {site.path for site in dissect(model, ["attention"]).sites}
    feed_forward = {site.path for site in dissect(model, ["feed-forward"]).sites}
    everything = {site.path for site in dissect(model, ["all-linear"]).sites}
    assert attention
    assert feed_forward
    assert attention.isdisjoint(feed_forward)
    assert attention | feed_forward == everything
    queries = {site.path for site in dissect(model, QV).sites}
    assert queries <= attention


@every_architecture
def test_every_linear_module_can_be_adapted(architecture: Architecture, tmp_path: Path) -> None:
    model = architecture.make()
    bare = logits(model, architecture)
    bank = attach(model, Pyramid.from_split((2, 1, 0), (0, 1, max(architecture.stacks.values())), ["all-linear"]))
    assert torch.equal(logits(model, architecture), bare)
    train_a_little(bank, size=0.1)
    tied = logits(model, architecture)
    to_peft(model).save(tmp_path / "peft", "base", architecture.task_type)
    loaded = PeftModel.from_pretrained(architecture.make(), str(tmp_path / "peft"))
    assert (logits(loaded, architecture) - tied).abs().max() <= most_apart(tied)


def test_layers_that_share_their_weights_are_refused() -> None:
    with pytest.raises(
        AnatomyError, match=r"applies the 1 layer\(s\) of albert.encoder.albert_layer_groups 3 times"
    ):
        dissect(albert(), QV)


def test_two_towers_are_ambiguous_until_one_is_named() -> None:
    with pytest.raises(
        AnatomyError,
        match=r"text_model.encoder.layers \(2 layers\), vision_model.encoder.layers \(3 layers\); "
        "name one of them before the target, such as text_model:q_proj",
    ):
        dissect(clip(), QV)
    named = dissect(clip(), ["vision_model:query", "vision_model:value"])
    assert dict(named.stacks) == {"vision_model.encoder.layers": 3}
    assert named.targets == ("vision_model:q_proj", "vision_model:v_proj")
    assert dissect(clip(), named.targets) == named
    both = dissect(clip(), ["vision_model:query", "text_model:query"])
    assert dict(both.stacks) == {"text_model.encoder.layers": 2, "vision_model.encoder.layers": 3}
    with pytest.raises(
        AnatomyError, match=r"there is no stack of layers 'audio'; there are: text_model.encoder.layers"
    ):
        dissect(clip(), ["audio:query"])


def test_cross_attention_is_a_target_of_its_own() -> None:
    t5 = next(a for a in ARCHITECTURES if a.name == "t5").make()
    cross = dissect(t5, ["EncDecAttention.q"])
    assert dict(cross.stacks) == {"decoder.block": 2}
    families = dissect(t5, ["q"]).families()
    assert {(f.stack, f.target) for f in families} == {
        ("encoder.block", "layer.0.SelfAttention.q"),
        ("decoder.block", "layer.0.SelfAttention.q"),
        ("decoder.block", "layer.1.EncDecAttention.q"),
    }
    assert dict(dissect(t5, ["encoder:q"]).stacks) == {"encoder.block": 3}
