"""Whether activations help to compress a LoRA: the error of its logits at equal ranks, with weights and without.

    python -m scripts.bench_compress trained/reviews/model/peft --study quickstart --rows 256

Fits the same pyramids and truncations to a trained LoRA twice, to its updates as they are and weighted by the
activations of training examples. Told is, for test rows: the norm of the difference of the logits over that of the
LoRA's, and the share of rows for which both predict the same class.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from msplora_search.adapters.bank import detach
from msplora_search.compression.compressing import MOST, Compression, measured
from msplora_search.compression.delivering import relative
from msplora_search.compression.family import SiteFamily, families
from msplora_search.compression.ground import Ground, ground_of
from msplora_search.compression.grouping import best_groups, sharing_costs, sharing_energies
from msplora_search.compression.levels import Ranks, Spans
from msplora_search.compression.lora import read_lora
from msplora_search.compression.writing import put_on
from msplora_search.settings import load_study
from msplora_search.tasks.backbone import Backbone
from msplora_search.tasks.parts import Batch

RANKS = ("0/0/1", "4/0/1", "0/0/2", "4/0/2", "2/2/2", "0/0/4", "4/0/4")


@dataclass(frozen=True)
class Measured:
    """Of one fit."""

    params: int
    error: float
    """Of the logits."""
    agreement: float


def main() -> None:
    """Fit, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapter", type=Path, help="folder of a trained PEFT LoRA")
    parser.add_argument("--study", default="quickstart", help="with its base model and task")
    parser.add_argument("--examples", type=int, default=256, help="whose activations weigh the fit")
    parser.add_argument("--rows", type=int, default=256, help="test rows")
    parser.add_argument("--ranks", nargs="+", default=list(RANKS))
    options = parser.parse_args()
    ground = ground_of(load_study(options.study), read_lora(options.adapter))
    plain, original = families(ground.lora), ground.original()
    weighted = ground.weighted(original, plain, options.examples)
    batches = list(ground.batches(ground.parts.test, options.rows, by_length=True))
    wanted, backbone = logits(ground, original, batches), ground.load()
    for text in options.ranks:
        ranks = Ranks(*map(int, text.split("/")))
        of = [fitted(ground, own, ranks, backbone, batches, wanted) for own in (plain, weighted)]
        changed, (before, after) = of[1].error / of[0].error - 1, of
        print(
            f"{text:8} {before.params:>9,} parameters: {before.error:.4f}, weighted {after.error:.4f} "
            f"({changed:+.0%}); the same class in {before.agreement:.1%}, weighted {after.agreement:.1%}",
            flush=True,
        )


def fitted(
    ground: Ground,
    own: list[SiteFamily],
    ranks: Ranks,
    backbone: Backbone,
    batches: Sequence[Batch],
    wanted: Tensor,
) -> Measured:
    """One fit on the base model, which is bare again afterwards."""
    point = measured(own, ranks, groups_for(ground, own, ranks), MOST)
    put_on(backbone.model, Compression(ground.lora, own, [], []), point, backbone.head)
    found = logits(ground, backbone.model, batches)
    detach(backbone.model)
    same = float((found.argmax(1) == wanted.argmax(1)).double().mean())
    return Measured(point.params, relative(wanted, found), same)


def groups_for(ground: Ground, own: list[SiteFamily], ranks: Ranks) -> Spans:
    """The best two depth groups, where there is a mid level."""
    if not ranks.mid:
        return ((0, ground.lora.layers),)
    energies = [sharing_energies(family.sketch()) for family in own]
    return best_groups(sharing_costs(energies, ranks.top + ranks.mid), 2)


@torch.no_grad()
def logits(ground: Ground, model: nn.Module, batches: Sequence[Batch]) -> Tensor:
    """(rows, classes)"""
    model.eval()
    return torch.cat([ground.parts.task.kind.outputs(model, batch).float() for batch in batches])


if __name__ == "__main__":
    main()
