"""The closed forms against real modules and the real file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from safetensors.torch import save_file
from torch import nn

from msplora_search import attach, to_peft
from msplora_search.adapters.anatomy import dissect, head_parameters
from msplora_search.adapters.bank import bank_of
from msplora_search.adapters.costs import Pricing, stored_beside
from msplora_search.adapters.peft_format import TENSORS
from msplora_search.design.costs import Stored, file_size
from msplora_search.design.depth import DepthGroup
from msplora_search.design.pyramid import Pyramid
from tests.adapters.models import bart, bert, distilbert, llama, roberta, t5, uneven
from tests.strategies import pyramids

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def require_exact(model: nn.Module, pyramid: Pyramid, folder: Path) -> None:
    """Every closed form, of the bare model, equals what the adapted model and its export have."""
    anatomy = dissect(model, pyramid.targets)
    told = Pricing(anatomy, stored_beside(model, head_parameters(model))).costs(pyramid)
    attach(model, pyramid, anatomy=anatomy)
    bank, peft = bank_of(model), to_peft(model)
    peft.save(folder, "base")
    assert told.params == bank.count()
    assert told.bytes == (folder / TENSORS).stat().st_size
    assert told.unrolled_rank == peft.rank
    assert told.flops == sum(a.A.numel() + a.B.numel() for own in bank.sites.values() for a in own)


@settings(max_examples=15, deadline=None)
@given(pyramid=pyramids(layers=st.integers(1, 12)))
def test_closed_forms_equal_the_model_and_its_file(
    tmp_path_factory: pytest.TempPathFactory, pyramid: Pyramid
) -> None:
    require_exact(bert(pyramid.layers), pyramid, tmp_path_factory.mktemp("peft"))


@pytest.mark.parametrize(
    ("make", "targets"),
    [
        (roberta, ("query", "value")),
        (distilbert, ("q_lin", "v_lin")),
        (llama, ("all-linear",)),
        (t5, ("q", "v")),
        (bart, ("q_proj", "v_proj")),
    ],
)
def test_and_do_on_other_architectures(
    tmp_path: Path, make: Callable[[], nn.Module], targets: tuple[str, ...]
) -> None:
    model = make()
    layers = dissect(model, targets).layers
    groups = [DepthGroup(0, 1, 3, 2), DepthGroup(1, layers, 1, 1)]
    require_exact(model, Pyramid(2, groups, targets), tmp_path)


def test_a_site_without_an_adapter_is_not_in_the_file_and_multiplies_nothing(tmp_path: Path) -> None:
    groups = [DepthGroup(0, 2, 0, 0), DepthGroup(2, 4, 3, 1)]
    require_exact(bert(4), Pyramid(0, groups, ("query", "value")), tmp_path)


def test_peft_multiplies_what_is_said_and_the_zeros_that_fill_ranks_up(tmp_path: Path) -> None:
    pyramid, model = uneven(4), bert(4)
    anatomy = dissect(model, pyramid.targets)
    told = Pricing(anatomy, None).costs(pyramid)
    attach(model, pyramid)
    to_peft(model).save(tmp_path, "base", "SEQ_CLS")
    served = PeftModel.from_pretrained(bert(4), str(tmp_path))
    numbers = sum(p.numel() for name, p in served.named_parameters() if ".lora_" in name)
    assert told.unrolled_rank is not None
    assert numbers == told.unrolled_rank * sum(site.d_in + site.d_out for site in anatomy.sites)
    assert told.flops is not None
    assert told.flops < numbers
    assert told.bytes is None  # without what is stored beside


@given(
    extents=st.lists(
        st.tuples(st.integers(0, 11), st.integers(1, 3), st.sampled_from(["F32", "BF16", "I64"])), max_size=12
    ),
    names=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), min_size=12, unique=True),
)
def test_the_size_of_a_file_is_that_of_the_real_one(
    tmp_path_factory: pytest.TempPathFactory, extents: list[tuple[int, int, str]], names: list[str]
) -> None:
    kinds = {"F32": torch.float32, "BF16": torch.bfloat16, "I64": torch.int64}
    names = [name for name in names if name != "__metadata__"]
    told = [Stored(n, kind, (a, b)) for n, (a, b, kind) in zip(names, extents, strict=False)]
    path = tmp_path_factory.mktemp("file") / "a.safetensors"
    save_file({one.name: torch.zeros(one.shape, dtype=kinds[one.kind]) for one in told}, path, {"format": "pt"})
    assert file_size(told, {"format": "pt"}) == path.stat().st_size
