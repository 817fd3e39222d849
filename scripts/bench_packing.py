"""Would packing pay? A language model's step on padded batches of similar length, and on packed ones.

Packed: the examples of a batch one behind the other in one row, with a block-diagonal causal mask and positions
that begin anew, so that no token sees another example and nothing is padded. A third way pads as now, and scores
only the tokens that are asked for. All three have the same loss. Times are of the processor, of one step each on
the same batch, one way after another; what is told is the ratio to the step as it is now, its median over batches.

The model has the sizes of SmolLM2-135M and random weights, and fewer layers: the ratio is also told for the depth
of the real one, by `head + layers * layer` through two depths. What is padding is told beside it: that share is
the most that packing can save in the layers.

    python scripts/bench_packing.py --batches 24
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from msplora_search.adapters.bank import attach
from msplora_search.design.pyramid import Pyramid
from msplora_search.proxy.batching import Batches, ProxyBatches
from msplora_search.settings import StudySettings, load_study
from msplora_search.tasks.language import NOT_ASKED, response_scores, token_loss
from msplora_search.tasks.parts import Batch
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.task import prepare

REAL_LAYERS, DEPTHS = 30, (2, 4)
Step = Callable[[Any, Batch], Tensor]


def model_of(layers: int, vocabulary: int) -> Any:
    """SmolLM2-135M's sizes but for its depth, adapted by the paper's pyramid."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=576, intermediate_size=1536, num_hidden_layers=layers,
        num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True, use_cache=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    bank = attach(model, Pyramid.geometric(8, layers, min(3, layers), ("q_proj", "v_proj")), trainable=())
    with torch.no_grad():
        for name, parameter in bank.named_parameters():
            if name.endswith("B"):
                parameter.normal_(std=0.02)
    return model


def padded(model: Any, batch: Batch) -> Tensor:
    """As the proxy does it."""
    return token_loss(response_scores(model, batch.inputs, batch.targets), batch.targets)


def asked_alone(model: Any, batch: Batch) -> Tensor:
    """Padded, with scores of the asked tokens only."""
    hidden = model.model(**batch.inputs).last_hidden_state[:, :-1]
    return token_loss(model.lm_head(hidden[batch.targets[:, 1:] != NOT_ASKED]), batch.targets)


def packed(model: Any, batch: Batch) -> Tensor:
    """All examples in one row."""
    kept = batch.inputs["attention_mask"].bool()
    ids, targets = batch.inputs["input_ids"][kept][None], batch.targets[kept]
    example, positions = kept.nonzero(as_tuple=True)
    same = example[:, None] == example[None]
    mask = (same & (positions[:, None] >= positions[None]))[None, None]
    places = (targets != NOT_ASKED).nonzero()[:, 0] - 1
    found = model(input_ids=ids, attention_mask=mask, position_ids=positions[None], logits_to_keep=places)
    return torch.nn.functional.cross_entropy(found.logits[0].float(), targets[places + 1])


def timed(step: Step, model: Any, batch: Batch) -> tuple[float, float]:
    """Seconds of the processor for forward and backward pass, and the loss."""
    began = time.process_time()
    loss = step(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    spent = time.process_time() - began
    model.zero_grad(set_to_none=True)
    return spent, float(loss.detach())


STEPS: dict[str, Step] = {"padded, as now": padded, "padded, asked scores alone": asked_alone, "packed": packed}


def measured(model: Any, batches: Sequence[Batch]) -> dict[str, list[float]]:
    """Seconds a step, for each way and batch. Raises ValueError where the losses differ."""
    found: dict[str, list[float]] = {name: [] for name in STEPS}
    for place, batch in enumerate([batches[0], *batches]):
        losses = []
        for name, step in STEPS.items():
            seconds, loss = timed(step, model, batch)
            losses.append(loss)
            if place:  # the first warms up
                found[name].append(seconds)
        if max(losses) - min(losses) > 1e-3:
            raise ValueError(f"the ways differ in their losses: {losses}")
    return found


def shares(batches: Batches) -> tuple[float, float]:
    """Of padding among all tokens, and of asked ones among those that scores are computed for."""
    every = padding = asked = scored = 0
    for batch in batches:
        kept = batch.inputs["attention_mask"]
        every, padding = every + kept.numel(), padding + int((kept == 0).sum())
        wanted = batch.targets != NOT_ASKED
        first = int(wanted.any(dim=0).nonzero()[0])
        asked, scored = asked + int(wanted.sum()), scored + len(kept) * (kept.shape[1] - first + 1)
    return padding / every, asked / scored


def study_of(batch_size: int) -> StudySettings:
    """The shipped study of instruction tuning, by batches of another size."""
    study = load_study("offline_instruct")
    return study.model_copy(update={"proxy": study.proxy.model_copy(update={"batch_size": batch_size})})


def main() -> None:
    """Print the shares, and the ratios at several batch sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--shares", action="store_true", help="what is padded alone, which trains nothing")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for size in chosen.sizes:
        settings = study_of(size)
        tokenizer = load_processor(settings)
        training = ProxyBatches.of(prepare(settings, tokenizer), settings.proxy, 0).training
        padding, asked = shares(training)
        print(
            f"batches of {size}: {padding:.1%} of the tokens are padding, {asked:.1%} of the scored ones asked for"
        )
        if chosen.shares:
            continue
        batches = [training[i] for i in range(min(chosen.batches, len(training)))]
        found = {depth: measured(model_of(depth, len(tokenizer)), batches) for depth in DEPTHS}
        for name in STEPS:
            told = [f"{depth} layers {ratio(found[depth], name):.2f}" for depth in DEPTHS]
            print(f"  {name}: {', '.join(told)}, {REAL_LAYERS} layers {at_depth(found, name):.2f}")


def ratio(seconds: dict[str, list[float]], name: str) -> float:
    """Of a way's step to the one as it is now: the median over batches."""
    return float(np.median(np.array(seconds[name]) / np.array(seconds["padded, as now"])))


def at_depth(found: dict[int, dict[str, list[float]]], name: str) -> float:
    """The ratio of median steps at the real depth, of `head + layers * layer` through both depths."""

    def seconds(way: str) -> float:
        low, high = (float(np.median(found[depth][way])) for depth in DEPTHS)
        return low + (high - low) / (DEPTHS[1] - DEPTHS[0]) * (REAL_LAYERS - DEPTHS[0])

    return seconds(name) / seconds("padded, as now")


if __name__ == "__main__":
    main()
