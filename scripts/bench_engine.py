"""Times the proxy's training step beside `Trainer` + PEFT LoRA r=8 at their defaults, in one run.

Both train MiniLM on the same sentence pairs, block by block in turn (A B A B ...), batch 32. A block
is one epoch over its own part of the file, so both see the same examples in the same block.

    python scripts/bench_engine.py path/to/mrpc/train.jsonl --blocks 7 --json bench.json

Columns of the file: sentence1, sentence2, label.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
import warnings
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from msplora_search.adapters.bank import attach, detach
from msplora_search.design.pyramid import Pyramid
from msplora_search.proxy.batching import ProxyBatches
from msplora_search.proxy.precision import Precision
from msplora_search.proxy.training import train
from msplora_search.settings import StudySettings
from msplora_search.tasks.backbone import load_classifier, load_tokenizer, model_location
from msplora_search.tasks.text_classification import Part, TextClassification, prepare

BATCH = 32


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--blocks", type=int, default=7, help="counted blocks of each; one more warms up")
    parser.add_argument("--steps", type=int, default=8, help="steps of a block")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of the Trainer: that there is no accelerator to pin memory for
    settings = bench_settings(arguments.data)
    tokenizer = load_tokenizer(settings.model)
    task = prepare(settings, tokenizer)
    rows = task.train.rows[: len(task.train) // (BATCH * arguments.steps) * BATCH * arguments.steps]
    parts = rows.reshape(-1, BATCH * arguments.steps)
    ours, theirs = Ours(settings, task), TrainerWithPeft(settings, task, tokenizer)
    times: dict[str, list[float]] = {"ours": [], "trainer": []}
    for block in range(arguments.blocks + 1):
        part = Part(task.train.tokens, task.train.labels, parts[block % len(parts)])
        measured = ours.block(part), theirs.block(part)
        if block:
            times["ours"].append(measured[0] / arguments.steps)
            times["trainer"].append(measured[1] / arguments.steps)
    figures = summarise(times, ours.precision)
    print_table(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def bench_settings(data: Path) -> StudySettings:
    """A study of sentence pairs; the validation part is too small to matter."""
    return StudySettings.model_validate(
        {
            "name": "bench",
            "model": "demo:minilm",
            "task": {"dataset": str(data.resolve()), "text": ["sentence1", "sentence2"]},
            "proxy": {
                "train_examples": 3000,
                "validation_examples": 2,
                "batch_size": BATCH,
                "epochs": 1,
                "rungs": [1.0],
            },
        }
    )


class Ours:
    """The proxy loop with the paper's pyramid 8/4/2."""

    def __init__(self, settings: StudySettings, task: TextClassification) -> None:
        self.settings, self.task = settings, task
        self.backbone = load_classifier(settings.model, 2, 0)
        self.precision = Precision.named("auto", torch.device("cpu"))
        self.precision.store(self.backbone.model, self.backbone.head)

    def block(self, part: Part) -> float:
        """Seconds for one epoch over `part`, batches made beforehand."""
        task = replace(self.task, train=part)
        batches = ProxyBatches.of(task, self.settings.proxy, seed=0)
        attach(self.backbone.model, Pyramid.geometric(8, layers=6), trainable=self.backbone.head)
        began = time.perf_counter()
        for _ in train(self.backbone.model, task, batches, self.settings.proxy, 2e-3, self.precision):
            pass
        elapsed = time.perf_counter() - began
        detach(self.backbone.model)
        return elapsed


class TrainerWithPeft:
    """transformers' Trainer with PEFT LoRA r=8 on query and value, everything else at its default."""

    def __init__(self, settings: StudySettings, task: TextClassification, tokenizer: Any) -> None:
        import transformers
        from peft import LoraConfig, TaskType, get_peft_model

        transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        base = transformers.AutoModelForSequenceClassification.from_pretrained(
            model_location(settings.model), num_labels=2
        )
        config = LoraConfig(task_type=TaskType.SEQ_CLS, r=8, target_modules=["query", "value"])
        self.model = get_peft_model(base, config)
        self.task, self.tokenizer = task, tokenizer

    def block(self, part: Part) -> float:
        """Seconds from the first step's begin to the last step's end."""
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
                ),
                train_dataset=[_example(self.task, part, i) for i in range(len(part))],
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


def _example(task: TextClassification, part: Part, i: int) -> dict[str, Any]:
    batch = task.collate(part, np.array([i]))
    inputs = {name: tensor[0].tolist() for name, tensor in batch.inputs.items()}
    return {**inputs, "label": int(batch.labels[0])}


def summarise(times: dict[str, list[float]], precision: Precision) -> dict[str, Any]:
    """Medians, and the ratio block by block with a bootstrap interval of its median."""
    ratios = np.array(times["trainer"]) / np.array(times["ours"])
    draws = np.random.default_rng(0).choice(ratios, size=(2000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return {
        "ours_ms_per_step": 1000 * float(np.median(times["ours"])),
        "trainer_ms_per_step": 1000 * float(np.median(times["trainer"])),
        "ratio": float(np.median(ratios)),
        "ratio_interval_95": [float(low), float(high)],
        "blocks": len(ratios),
        "precision": str(precision.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "machine": f"{processor()}, {os.cpu_count()} cores",
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


def print_table(figures: dict[str, Any]) -> None:
    """The figures for people."""
    low, high = figures["ratio_interval_95"]
    print(figures["machine"], *(f"{name} {number}" for name, number in figures["versions"].items()), sep=", ")
    print(f"proxy loop, MSPLoRA 8/4/2, {figures['precision']}: {figures['ours_ms_per_step']:.0f} ms a step")
    print(f"Trainer + PEFT LoRA r=8, defaults: {figures['trainer_ms_per_step']:.0f} ms a step")
    print(
        f"ratio {figures['ratio']:.2f} (95% interval {low:.2f} to {high:.2f}, {figures['blocks']} paired blocks)"
    )


if __name__ == "__main__":
    main()
