"""Signs that a confirmed shape does not fit come from the adapters that its trainings left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from msplora_search.adapters.bank import attach
from msplora_search.adapters.layer import LowRankAdapter
from msplora_search.adapters.pyramid_file import save_pyramid
from msplora_search.design.pyramid import Pyramid
from msplora_search.full.judgement import Confirmation
from msplora_search.reporting.confirmation import confirmation_lines, confirmation_markdown, told_of
from msplora_search.reporting.signs import signs_of
from tests.adapters.models import bert
from tests.example import confirmation

PYRAMID = Pyramid.from_split((2, 2, 2), (0, 2, 4), ("query", "value"))


def saved(folder: Path, mid: float) -> Path:
    """A pyramid of random factors whose mid level is so large beside the others."""
    generator, model = torch.Generator().manual_seed(0), bert(4)
    bank = attach(model, PYRAMID)
    for key, adapter in zip(bank.keys, bank.adapters, strict=True):
        assert isinstance(adapter, LowRankAdapter)
        torch.nn.init.normal_(adapter.B, 0.0, mid if key.level == "mid" else 1.0, generator)
    return save_pyramid(model, folder)


def with_adapters(*folders: Path) -> Confirmation:
    """The example, whose last point was trained into these folders."""
    plain = confirmation()
    return replace(plain, points=(*plain.points[:-1], replace(plain.points[-1], adapters=folders)))


def test_what_most_trainings_show_is_told_with_its_evidence_and_what_to_try(tmp_path: Path) -> None:
    idle, other, fine = (saved(tmp_path / name, mid) for name, mid in (("a", 0.01), ("b", 0.02), ("c", 1.0)))
    (sign,) = signs_of([idle, other, fine]) or []
    assert (sign["sign"], sign["level"], sign["seen"], sign["of"]) == ("idle level", "mid", 2, 3)
    assert "drop the mid level" in sign["remedy"]
    assert signs_of([idle, fine, fine]) == []
    told = told_of(with_adapters(idle, other))
    said = f"{told['points'][-1]['name']} ({told['points'][-1]['pyramid']}): idle level in 2 of 2 trainings: "
    assert any(line.startswith(said) for line in confirmation_lines(told))
    assert any("idle level in 2 of 2 trainings" in part for part in confirmation_markdown(told, "x.svg"))


def test_nothing_is_said_where_no_adapter_was_kept(tmp_path: Path) -> None:
    assert signs_of([tmp_path / "gone"]) is None
    assert not [line for line in confirmation_lines(told_of(confirmation())) if "shape" in line]
    fine = told_of(with_adapters(saved(tmp_path / "c", 1.0)))
    assert "No adapter shows that its shape does not fit." in confirmation_lines(fine)
