"""What is delivered, as a stranger takes it: the card's own code in an empty folder, and stock pipelines."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from markdown_it import MarkdownIt
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedTokenizerFast, pipeline

from msplora_search import load_pyramid
from msplora_search.design.pyramid import Pyramid
from msplora_search.full.cards.card import Base, Facts, model_card
from msplora_search.full.delivered import Delivered
from msplora_search.full.delivery import train_and_deliver
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.full_parts import prepare_full
from msplora_search.tasks.kinds import kind_of
from msplora_search.tasks.processors import load_processor
from tests.small import save_model, sentences, write_jsonl
from tests.tasks.models import preferences, requests, save_llama, save_t5, save_vit
from tests.tasks.test_images import images
from tests.tasks.test_regression import rated

ROOT = Path(__file__).parents[2]
MOST_APART = 1e-4
ROWS = 12
DRIVER = """
import json, re, sys
import torch
from safetensors.torch import save_file

blocks = re.findall(r"^```python\\n(.*?)^```$", open("README.md").read(), re.S | re.M)
assert len(blocks) == 3, len(blocks)
given = json.load(open("given.json"))
for i, block in enumerate(blocks):
    for line, value in given.items():
        assert line in block, line
        block = block.replace(line, value)
    if i == 2:
        assert "msplora_search" not in sys.modules
        sys.path.insert(0, sys.argv[1])  # the last block is the one that needs it
    found = {}
    exec(block, found)
    inputs, model = found["inputs"], found["model"]
    with torch.inference_mode():
        if "scores" in found:
            told = {"scores": found["scores"]}
        elif model.config.is_encoder_decoder:
            told = {"generated": found["generated"]}
            told["scores"] = model(**inputs, decoder_input_ids=found["generated"]).logits
        else:
            told = {"generated": found["generated"], "scores": model(input_ids=found["generated"]).logits}
    ids = inputs["input_ids" if "input_ids" in inputs else "pixel_values"]
    save_file({**{n: t.contiguous() for n, t in told.items()}, "ids": ids}, f"found-{i}.safetensors")
"""


def classification(folder: Path) -> dict[str, Any]:
    """On a base that was made for another task of two classes, the other way round, any number of them right."""
    config = json.loads((save_model(folder / "model") / "config.json").read_text())
    other = {"0": "POSITIVE", "1": "NEGATIVE"}
    config.update(id2label=other, label2id={v: int(k) for k, v in other.items()})
    config["problem_type"] = "multi_label_classification"
    (folder / "model" / "config.json").write_text(json.dumps(config))
    data = write_jsonl(folder / "data.jsonl", sentences(300))
    return {"kind": "text-classification", "dataset": str(data), "max_length": 10}


def pairs(folder: Path) -> dict[str, Any]:
    save_model(folder / "model")
    rows = [{"a": row["text"], "b": "the film was", "label": row["label"]} for row in sentences(100)]
    data = write_jsonl(folder / "data.jsonl", rows)
    return {"kind": "text-classification", "dataset": str(data), "text": ["a", "b"]}


def decoder(folder: Path) -> dict[str, Any]:
    """A decoder whose tokenizer has no padding token."""
    save_llama(folder / "model", chat=False)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "model")
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder / "model")
    config = json.loads((folder / "model" / "config.json").read_text())
    (folder / "model" / "config.json").write_text(json.dumps({**config, "pad_token_id": None}))
    rows = [
        {"text": row["prompt"] * (i % 2 + 1), "label": row["response"][:1]} for i, row in enumerate(requests(100))
    ]
    return {"kind": "text-classification", "dataset": str(write_jsonl(folder / "data.jsonl", rows))}


def pairs_of_a_decoder(folder: Path) -> dict[str, Any]:
    """Pairs for a tokenizer that puts nothing between two texts."""
    save_llama(folder / "model", chat=False)
    rows = [{"a": row["prompt"], "b": "say", "label": row["response"][:1]} for row in requests(100)]
    data = write_jsonl(folder / "data.jsonl", rows)
    return {"kind": "text-classification", "dataset": str(data), "text": ["a", "b"]}


def columns(folder: Path) -> dict[str, Any]:
    save_t5(folder / "model")
    data = write_jsonl(folder / "data.jsonl", [{**row, "more": "please"} for row in requests(100)])
    return {"kind": "seq2seq-lm", "dataset": str(data), "prompt": ["more", "prompt"], "max_length": 24}


def regression(folder: Path) -> dict[str, Any]:
    save_model(folder / "model")
    return {"kind": "text-regression", "dataset": str(write_jsonl(folder / "data.jsonl", rated(100)))}


def causal(folder: Path) -> dict[str, Any]:
    save_llama(folder / "model")
    return {
        "kind": "causal-lm",
        "dataset": str(write_jsonl(folder / "data.jsonl", requests(100))),
        "max_length": 24,
    }


def templated(folder: Path) -> dict[str, Any]:
    return {**causal(folder), "template": "say : {prompt} please"}


def preference(folder: Path) -> dict[str, Any]:
    task = {**causal(folder), "kind": "preference"}
    write_jsonl(folder / "data.jsonl", preferences(100))
    return task


def seq2seq(folder: Path) -> dict[str, Any]:
    save_t5(folder / "model")
    return {
        "kind": "seq2seq-lm",
        "dataset": str(write_jsonl(folder / "data.jsonl", requests(100))),
        "max_length": 24,
    }


def pictures(folder: Path) -> dict[str, Any]:
    save_vit(folder / "model")
    return {"kind": "image-classification", "dataset": str(images(folder, 100)), "metric": "f1"}


def recipe_of(folder: Path, task: dict[str, Any], **changes: Any) -> Recipe:
    kind = task["kind"]
    if kind == "image-classification":
        named = ["down", "up"]
    elif kind == "text-classification":
        rows = [json.loads(line) for line in Path(task["dataset"]).read_text().splitlines()]
        named = sorted({row["label"] for row in rows})
    else:
        named = []
    layers = 3 if kind == "seq2seq-lm" else 2
    fields = {
        "name": "small", "model": str(folder / "model"), "task": task, "classes": named,
        "pyramid": Pyramid.from_split((2, 1, 1), (0, 1, layers), ["query", "value"]).to_json(),
        "training": {"epochs": 1, "batch_size": 16, "learning_rate": 2e-2},
    }  # fmt: skip
    return Recipe.model_validate({**fields, **changes})


def strangers(folder: Path, given: dict[str, str]) -> list[dict[str, Tensor]]:
    """What the three blocks of the delivered card find in a folder that holds nothing else but the base model."""
    place = folder / "elsewhere"
    shutil.copytree(folder / "out" / "model", place)
    shutil.copytree(folder / "model", place / "model")
    (place / "given.json").write_text(json.dumps(given))
    (place / "driver.py").write_text(DRIVER)
    done = subprocess.run(
        [sys.executable, "-I", "driver.py", str(ROOT)], cwd=place, capture_output=True, text=True, check=False,
        env={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [load_file(place / f"found-{i}.safetensors") for i in range(3)]


def first_texts(folder: Path, recipe: Recipe) -> dict[str, str]:
    """The lines of the card's code that make up an example, and ones that take rows of the data instead."""
    rows = [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()[:ROWS]]
    columns = recipe.task.text or ()
    names = ("texts",) if len(columns) == 1 else ("first", "second")
    return {
        f"{name} = [{f'some {column}'!a}]": f"{name} = {[row[column] for row in rows]!r}"
        for name, column in zip(names, columns, strict=True)
    }


@pytest.mark.parametrize(
    "task_of",
    [
        classification,
        *(
            pytest.param(task_of, marks=pytest.mark.slow)
            for task_of in (pairs, decoder, pairs_of_a_decoder, regression, pictures)
        ),
    ],
)
def test_the_code_of_the_card_scores_as_the_trained_model(tmp_path: Path, task_of: Any) -> None:
    recipe = recipe_of(tmp_path, task_of(tmp_path))
    assert train_and_deliver(recipe, tmp_path / "out", with_merged=True) is not None
    if task_of is pictures:
        paths = [str(tmp_path / "images" / f"{i}.png") for i in range(ROWS)]
        given = {'images = [Image.new("RGB", (64, 64), "white")]': f"images = [Image.open(p) for p in {paths!r}]"}
    else:
        given = first_texts(tmp_path, recipe)
    found = strangers(tmp_path, given)
    processor = load_processor(recipe)
    model = load_backbone(recipe, processor, recipe.classes, seed=5).model
    load_pyramid(model, tmp_path / "out" / "model" / "pyramid")
    task = prepare_full(recipe.task, recipe.classes, 0.1, processor).task
    corpus = task.train.corpus
    inputs, _ = task.kind.collate(corpus.examples, np.arange(ROWS), np.array(corpus.truth[:ROWS]))
    with torch.inference_mode():
        tied = model.eval()(**inputs).logits
    assert tied.shape == (ROWS, max(1, len(recipe.classes)))
    assert tied.std() > 100 * MOST_APART
    for one in found:
        assert (one["scores"] - tied).abs().max() <= MOST_APART


@pytest.mark.slow
@pytest.mark.parametrize("task_of", [causal, templated, preference, seq2seq, columns])
def test_the_code_of_the_card_answers_as_the_trained_model(tmp_path: Path, task_of: Any) -> None:
    recipe = recipe_of(tmp_path, task_of(tmp_path))
    assert train_and_deliver(recipe, tmp_path / "out", with_merged=True) is not None
    row = json.loads((tmp_path / "data.jsonl").read_text().splitlines()[0])
    quote = '"' if task_of in (causal, preference) else "'"
    given = {f"{quote}some {name}{quote}": repr(row[name]) for name in recipe.task.prompt or ()}
    found = strangers(tmp_path, given)
    processor = load_processor(recipe)
    model: Any = load_backbone(recipe, processor, recipe.classes).model
    load_pyramid(model, tmp_path / "out" / "model" / "pyramid")
    examples: Any = prepare_full(recipe.task, recipe.classes, 0.1, processor).task.train.corpus.examples
    examples = getattr(examples, "both", examples)
    of_prompt = examples.read[0] if recipe.task.kind == "seq2seq-lm" else examples.tokens[0][: examples.starts[0]]
    ids = torch.from_numpy(of_prompt.astype(np.int64))[None]
    with torch.inference_mode():
        generated = model.eval().generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=64, do_sample=False
        )
        asked = {"input_ids": generated}
        if recipe.task.kind == "seq2seq-lm":
            asked = {"input_ids": ids, "decoder_input_ids": generated}
        tied = model(**asked).logits
    for one in found:
        assert torch.equal(one["ids"], ids)
        assert torch.equal(one["generated"], generated)
        assert (one["scores"] - tied).abs().max() <= MOST_APART * max(1.0, float(tied.abs().max()))


def test_a_stock_pipeline_answers_with_the_classes_of_the_data(tmp_path: Path) -> None:
    task = {**classification(tmp_path), "max_length": 32}
    write_jsonl(tmp_path / "data.jsonl", sentences(500))
    training = {"epochs": 4, "batch_size": 16, "learning_rate": 2e-2}
    recipe = recipe_of(tmp_path, task, training=training)
    assert train_and_deliver(recipe, tmp_path / "out", with_merged=True) is not None
    merged = str(tmp_path / "out" / "model" / "merged")
    rows = sentences(500)[:60]
    answers = pipeline("text-classification", model=merged, tokenizer=merged)([row["text"] for row in rows])
    right = [answer["label"] == row["label"] for answer, row in zip(answers, rows, strict=True)]
    assert np.mean(right) > 0.9
    config = json.loads(Path(merged, "config.json").read_text())
    assert (config["id2label"], config["label2id"]) == ({"0": "bad", "1": "good"}, {"bad": 0, "good": 1})
    assert config["problem_type"] == "single_label_classification"


def test_nothing_that_is_delivered_names_a_path_of_this_machine(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, classification(tmp_path))
    train_and_deliver(recipe, tmp_path / "out", with_merged=True)
    files = [path for path in (tmp_path / "out" / "model").rglob("*") if path.is_file()]
    assert len(files) > 8
    assert [path.name for path in files if str(tmp_path).encode() in path.read_bytes()] == []
    card = (tmp_path / "out" / "model" / "README.md").read_text()
    assert "Data: `data.jsonl`" in card
    assert "base_model" not in yaml.safe_load(card.split("---")[1])
    peft = json.loads((tmp_path / "out" / "model" / "peft" / "adapter_config.json").read_text())
    pyramid = json.loads((tmp_path / "out" / "model" / "pyramid" / "pyramid.json").read_text())
    assert (peft["base_model_name_or_path"], pyramid["base_model"]) == (None, "model")


DONE = Delivered(Path("model"), 0.8, (0.7, 0.9), 100, 300, 340, 1e-6)
FACTS = Facts(DONE, merged=True, counts=(30, 10))


def card_of(folder: Path, **changes: Any) -> str:
    recipe = recipe_of(folder, classification(folder), **changes)
    return model_card(recipe, kind_of(recipe.task, None), 10, FACTS)


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("demo:minilm", Base("sentence-transformers/all-MiniLM-L6-v2", True)),
        ("demo:mpnet", Base("sentence-transformers/all-mpnet-base-v2", True)),
        ("demo:smollm2", Base("HuggingFaceTB/SmolLM2-135M-Instruct", True, "dequantised from 4 bits")),
        ("demo:digits-vit", Base("demo:digits-vit", False)),
        ("org/encoder", Base("org/encoder", True)),
        ("/models/my-encoder", Base("my-encoder", False)),
    ],
)
def test_a_base_is_told_as_what_is_published(tmp_path: Path, model: str, base: Base) -> None:
    assert Base.of(model) == base
    card = card_of(tmp_path, model=model)
    assert yaml.safe_load(card.split("---")[1]).get("base_model") == (base.name if base.is_id else None)
    assert f"base = {base.name!r}" in card
    assert (base.changed or "") in card


BEACON = "![x](http://beacon.example/a.png)"
HOSTILE = [
    BEACON, f"`{BEACON}`", f"``` {BEACON}", "<img src=http://beacon.example>", f"\n\n{BEACON}\n", "\n```\n# title",
    "---\nbase_model: other", "</code><script>alert(1)</script>", "[a](http://beacon.example)", "\u202e\x1b[31m",
    "a'\"\\", "| a | b |",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_does_nothing_in_a_card(tmp_path: Path, text: str) -> None:
    task = {**classification(tmp_path), "label": text, "text": [text], "dataset": f"{tmp_path}/{text}"}
    pyramid = Pyramid.lora(2, 2, [text]).to_json()
    chosen = {"study": text, "trial": 3, "why": text, "metric": 0.5, "metric_se": 0.1}
    recipe = Recipe.model_validate(
        {**recipe_of(tmp_path, classification(tmp_path)).model_dump(mode="json"), "task": task, "pyramid": pyramid}
        | {"classes": [text, "other"], "model": text, "chosen": chosen}
    )
    card = model_card(recipe, kind_of(recipe.task, None), 10, FACTS)
    _, header, body = re.split(r"^---$", card, maxsplit=2, flags=re.MULTILINE)
    assert set(yaml.safe_load(header)) <= {"base_model", "library_name", "tags"}
    tokens = MarkdownIt().parse(body)
    kinds = {inner.type for token in tokens for inner in [token, *(token.children or [])]}
    assert not kinds & {"image", "link_open", "html_inline", "html_block", "hr", "table_open"}
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1"]
    blocks = [token.content for token in tokens if token.type == "fence"]
    assert len(blocks) == 3
    for block in blocks:
        compile(block, "card", "exec")
    names: dict[str, Any] = {}
    exec(next(line for line in blocks[0].splitlines() if line.startswith("names = ")), names)
    assert names["names"] == [text, "other"]
    assert "\x1b" not in card
    assert "\u202e" not in card


def test_a_card_tells_classes_zeros_and_where_the_pyramid_is_from(tmp_path: Path) -> None:
    card = card_of(tmp_path)
    assert "classes `bad` (30 test examples), `good` (10 test examples)." in card
    assert "unrolled: 300, and 40 zeros that fill all ranks up to the largest." in card
    assert "Not taken from a search." in card
    chosen = {"study": "a-study", "trial": 3, "why": "as asked", "metric": 0.5, "metric_se": 0.1}
    assert "Trial 3 of the study `a-study`: `as asked`. In the search" in card_of(tmp_path, chosen=chosen)
    assert "Trial 3 of the study `a-study`." in card_of(tmp_path, chosen={"study": "a-study", "trial": 3})


@pytest.mark.parametrize(
    ("way", "ranks", "said"),
    [
        ("joint", (2, 1, 1), None),
        ("staged", (2, 0, 0), None),
        ("staged", (2, 2, 1), "one after another, in equal shares of the steps: global, mid, layer (`"),
        ("alternating", (2, 0, 1), "in turn, one a step: global, layer (`training.optimization: alternating`)."),
    ],
)
def test_a_card_tells_which_levels_had_their_turn(
    tmp_path: Path, way: str, ranks: tuple[int, int, int], said: str | None
) -> None:
    pyramid = Pyramid.from_split(ranks, (0, 2, 4), ["query", "value"]).to_json()
    recipe = recipe_of(tmp_path, classification(tmp_path), pyramid=pyramid, training={"optimization": way})
    kind = kind_of(recipe.task, None)
    told = [line for line in model_card(recipe, kind, 10, FACTS).splitlines() if "Levels were" in line]
    assert len(told) == (said is not None)
    assert all(line.startswith(f"- Levels were trained {said}") for line in told)
    assert "Levels were" not in model_card(recipe, kind, 10, replace(FACTS, trained=False))  # but compressed


def test_of_many_classes_the_text_names_some_and_the_code_all(tmp_path: Path) -> None:
    names = [f"class {i}" for i in range(200)]
    recipe = recipe_of(tmp_path, classification(tmp_path), classes=names)
    facts = Facts(DONE, merged=False, counts=tuple(range(200)))
    card = model_card(recipe, kind_of(recipe.task, None), 10, facts)
    assert "`class 19` (19 test examples) and 180 more." in card
    assert "'class 199'" in card
    assert "merged" not in card.replace("merged model", "")
