"""Times the proxy's training step beside `Trainer` + PEFT LoRA r=8, in one run, in blocks in turn (A B C A B C).

All train MiniLM on the same examples with batches of 32: the proxy as a search runs it, the Trainer at its
defaults, and the Trainer at the best that it can be set to (bf16, batches of similar length).

    python scripts/bench_engine.py path/to/mrpc/train.jsonl --blocks 7 --json bench.json

Columns of the file: sentence1, sentence2, label. Movie reviews (demo:movie-reviews) are measured beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from msplora_search.design.pyramid import Pyramid
from msplora_search.proxy.batching import Batches, ProxyBatches
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings import StudySettings
from msplora_search.tasks.parts import Part
from msplora_search.tasks.processors import load_tokenizer, model_location
from msplora_search.tasks.task import Task

BATCH, MODEL = 32, "demo:minilm"
PAPER = Pyramid.geometric(8, layers=6)
BEST = {"bf16": True, "train_sampling_strategy": "group_by_length", "use_cpu": not torch.cuda.is_available()}
Figures = dict[str, Any]


class Contender(Protocol):
    """Something that trains one epoch over the same part, again and again."""

    def block(self) -> float:
        """Seconds from the first step's begin to the last step's end."""


def main() -> None:
    """Measure, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="MRPC's training part")
    parser.add_argument("--blocks", type=int, default=7, help="counted blocks of each; one more warms up")
    parser.add_argument("--steps", type=int, default=16, help="steps of a block")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the Trainer: that there is no accelerator to pin memory for
    pairs = {"dataset": str(options.data.resolve()), "text": ["sentence1", "sentence2"]}
    figures = {**machine()}
    print(figures["machine"], *(f"{name} {number}" for name, number in figures["versions"].items()), sep=", ")
    for name, task in (("MRPC", pairs), ("movie reviews", {"dataset": "demo:movie-reviews"})):
        figures[name] = measure(bench_settings(task), options.blocks, options.steps)
        print_table(name, figures[name])
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def bench_settings(task: dict[str, Any]) -> StudySettings:
    """A study whose validation part is too small to matter."""
    proxy = {"train_examples": 2816, "validation_examples": 4, "batch_size": BATCH, "epochs": 1, "rungs": [1.0]}
    return StudySettings.model_validate({"name": "bench", "model": MODEL, "task": task, "proxy": proxy})


def measure(settings: StudySettings, blocks: int, steps: int) -> Figures:
    """Seconds of every block of every contender, summed up."""
    bench = Workbench.load(settings)
    task, tokenizer = bench.task, load_tokenizer(MODEL)
    part = replace(task.train, rows=task.train.rows[: BATCH * steps])
    proxy = Proxy(bench, part)
    contenders: dict[str, Contender] = {
        "proxy": proxy,
        "Trainer, defaults": TrainerWithPeft(task, part, tokenizer, {}),
        "Trainer, bf16, by length": TrainerWithPeft(task, part, tokenizer, BEST),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for block in range(blocks + 1):
        took = {name: contender.block() for name, contender in contenders.items()}
        if block:  # the first warms up
            for name, each in took.items():
                seconds[name].append(each / steps)
    return summarise(seconds, float(part.lengths.sum() / steps), proxy.bench)


class Proxy:
    """The proxy loop as a search runs it, with the paper's pyramid 8/4/2."""

    def __init__(self, bench: Workbench, part: Part) -> None:
        task = replace(bench.task, train=part)
        batches = ProxyBatches.of(task, bench.settings.proxy, seed=0)
        self.moments: list[float] = []
        training, validation = (self._timed(of) for of in (batches.training, batches.validation))
        timed = replace(batches, training=training, early=validation, validation=validation)
        self.bench = replace(bench, task=task, batches=timed)

    def _timed(self, batches: Batches) -> Batches:
        return Timed(batches.task, batches.part, batches.rows, self.moments)

    def block(self) -> float:
        """From the first training batch to the first batch of the evaluation that follows."""
        self.moments.clear()
        for _ in self.bench.measure(PAPER, 2e-3):
            pass
        return self.moments[self.bench.steps] - self.moments[0]


@dataclass(frozen=True)
class Timed(Batches):
    """Notes when each batch is asked for."""

    moments: list[float]

    def __getitem__(self, place: Any) -> Any:
        asked = time.perf_counter()
        batch = super().__getitem__(place)
        self.moments.append(asked)
        return batch


class TrainerWithPeft:
    """transformers' Trainer with PEFT LoRA r=8 on query and value; `further` arguments, the rest by default."""

    def __init__(self, task: Task, part: Part, tokenizer: Any, further: dict[str, Any]) -> None:
        import transformers
        from peft import LoraConfig, TaskType, get_peft_model

        transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        location = model_location(MODEL)
        base = transformers.AutoModelForSequenceClassification.from_pretrained(location, num_labels=2)
        config = LoraConfig(task_type=TaskType.SEQ_CLS, r=8, target_modules=["query", "value"])
        self.model = get_peft_model(base, config)
        self.tokenizer, self.further = tokenizer, further
        self.examples = [_example(task, part, i) for i in range(len(part))]

    def block(self) -> float:
        """Start and end of the Trainer itself are not counted."""
        import transformers

        clock = _step_clock()
        with tempfile.TemporaryDirectory() as folder:
            trainer = transformers.Trainer(
                model=self.model,
                args=transformers.TrainingArguments(
                    output_dir=folder,
                    per_device_train_batch_size=BATCH,
                    num_train_epochs=1,
                    report_to="none",
                    disable_tqdm=True,
                    save_strategy="no",
                    logging_strategy="no",
                    **self.further,
                ),
                train_dataset=self.examples,
                data_collator=transformers.DataCollatorWithPadding(self.tokenizer),
                callbacks=[clock],
            )
            trainer.remove_callback(transformers.PrinterCallback)
            trainer.train()
        return float(clock.stopped - clock.started)


def _step_clock() -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        started = stopped = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.started = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.started = self.started or time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.stopped = time.perf_counter()

    return Clock()


def _example(task: Task, part: Part, i: int) -> dict[str, Any]:
    batch = task.collate(part, np.array([i]))
    inputs = {name: tensor[0].tolist() for name, tensor in batch.inputs.items()}
    return {**inputs, "label": int(batch.targets[0])}


def summarise(seconds: dict[str, list[float]], tokens: float, bench: Workbench) -> Figures:
    """Medians, and ratios block by block with a bootstrap interval of their median."""
    ours, found = np.array(seconds["proxy"]), {}
    for name, theirs in seconds.items():
        ratios = np.array(theirs) / ours
        draws = np.random.default_rng(0).choice(ratios, size=(2000, len(ratios)))
        found[name] = {
            "ms_per_step": 1000 * float(np.median(theirs)),
            "samples_per_second": BATCH / float(np.median(theirs)),
            "tokens_per_second": tokens / float(np.median(theirs)),
            "ratio": float(np.median(ratios)),
            "ratio_interval_95": [float(bound) for bound in np.quantile(np.median(draws, axis=1), [0.025, 0.975])],
        }
    flops = flops_per_step(bench)
    reached, possible = flops / float(np.median(ours)), matrix_speed(bench.precision.dtype)
    return {
        "contenders": found,
        "blocks": len(ours),
        "tokens_per_step": tokens,
        "precision": str(bench.precision.dtype).removeprefix("torch."),
        "gflop_per_step": flops / 1e9,
        "gflop_per_second": reached / 1e9,
        "matrix_product_gflop_per_second": possible / 1e9,
        "share_of_matrix_product_speed": reached / possible,
    }


def flops_per_step(bench: Workbench) -> float:
    """Floating-point operations of the products of one training step, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        for _ in bench.measure(PAPER, 2e-3):
            pass
    return float(counter.get_total_flops()) / bench.steps


def matrix_speed(dtype: torch.dtype, size: int = 1536, repeats: int = 30) -> float:
    """Operations a second of this machine's own product of two square matrices, the best of `repeats`."""
    left, right = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def machine() -> Figures:
    """Where it was measured."""
    return {
        "machine": f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def print_table(name: str, figures: Figures) -> None:
    """The figures for people."""
    print(f"\n{name}, {figures['tokens_per_step']:.0f} tokens a step without padding, {figures['blocks']} blocks")
    print(f"{'':26} {'ms a step':>9} {'samples/s':>9} {'tokens/s':>9}  times the proxy's (95% interval)")
    for contender, row in figures["contenders"].items():
        low, high = row["ratio_interval_95"]
        print(
            f"{contender:26} {row['ms_per_step']:9.0f} {row['samples_per_second']:9.0f} "
            f"{row['tokens_per_second']:9.0f}  {row['ratio']:.2f} ({low:.2f} to {high:.2f})"
        )
    print(
        f"the proxy, {figures['precision']}: {figures['gflop_per_step']:.0f} GFLOP a step, "
        f"{figures['gflop_per_second']:.0f} GFLOP/s, {figures['share_of_matrix_product_speed']:.0%} of the "
        f"{figures['matrix_product_gflop_per_second']:.0f} that this machine's matrix products reach"
    )


if __name__ == "__main__":
    main()
