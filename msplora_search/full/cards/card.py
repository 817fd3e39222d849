"""The README of a delivered model: what it is, how good it is, and code that loads it.

Whatever came from data, models or file names stands in it as text: no link, picture or HTML of theirs acts.
No path of this machine stands in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msplora_search.design.scaling import LEVELS
from msplora_search.files import public_name
from msplora_search.full.cards.code import Usage, merged_code, peft_code, pyramid_code
from msplora_search.full.delivered import Delivered
from msplora_search.full.forms.form import Form
from msplora_search.full.forms.vllm import served_by, verdict
from msplora_search.settings.document import dump
from msplora_search.settings.recipe import Recipe
from msplora_search.tasks.backbone import outputs_of
from msplora_search.tasks.demo import PREFIX, published_model
from msplora_search.tasks.embedding import Embedding
from msplora_search.tasks.kind import Kind
from msplora_search.tasks.labels import positive_of
from msplora_search.text import code, markdown

MOST_CLASSES = 20
"""Classes that the text names; the code has all of them."""


@dataclass(frozen=True)
class Base:
    """How the pretrained model is spoken of outside this machine."""

    name: str
    """An id of the hub, the name of a folder, or that of a demo model."""
    is_id: bool
    changed: str | None = None
    """In what it differs from the model of that id."""

    @classmethod
    def of(cls, model: str) -> Base:
        """`model` as a recipe names it."""
        published, changed = published_model(model)
        if published:
            return cls(published, True, changed)
        name = public_name(model)
        return cls(name, name == model and not model.startswith(PREFIX))


@dataclass(frozen=True)
class Facts:
    """What a card tells beside the recipe."""

    done: Delivered
    merged: bool
    """Whether the merged model is written too."""
    counts: tuple[int, ...] = ()
    """Examples of each class in the test part; none where examples have no class."""
    origin: str | None = None
    """Where the model comes from, in a sentence; None: what the recipe says."""
    trained: bool = True
    """As the recipe says."""
    forms: tuple[Form, ...] = ()
    """What else was written."""
    adapter: Mapping[str, Any] | None = None
    """The content of `adapter_config.json`, for what is said of serving it; None: nothing."""
    model_type: str = ""
    """The base's, as transformers calls it."""
    all_answered: bool = False
    """See `Usage`."""


def model_card(recipe: Recipe, kind: Kind, most_tokens: int, facts: Facts, between: str = "") -> str:
    """The whole README. `most_tokens`: what texts are cut to; `between`: see `Usage`."""
    base, pyramid = Base.of(recipe.model), recipe.built()
    header: dict[str, Any] = {"base_model": base.name} if base.is_id else {}
    header |= {"library_name": "peft", "tags": ["lora", "msplora", "msplora-search"]}
    done, (low, high) = facts.done, facts.done.interval
    compared = "embeddings" if isinstance(kind, Embedding) else "logits"
    lines = [
        "---",
        dump(header).rstrip("\n"),
        "---",
        "",
        f"# {recipe.name}",
        "",
        f"MSPLoRA pyramid {pyramid} on {code(base.name)}{f', {base.changed}' if base.changed else ''}, "
        f"targets {', '.join(map(code, pyramid.targets))}.",
        "",
        f"- Data: {code(public_name(recipe.task.dataset.path))}, {recipe.task.kind}"
        f"{_classes(recipe, facts.counts)}.",
        f"- Test part: {recipe.task.metric_label} {done.metric:.4f}, 95% interval {low:.4f} to {high:.4f} over "
        "its examples.",
        f"- Trained adapter parameters: {done.trained_params:,} (shared ones once); as stock LoRA, unrolled: "
        f"{done.unrolled_params:,}{_filled(done)}.",
        *_serving(done),
        f"- {facts.origin or _origin(recipe)}",
        *(_in_turn(recipe) if facts.trained else ()),
        *_held(recipe),
        *_dropout(recipe),
        "",
        *_forms(_usage(recipe, kind, base, most_tokens, between, facts.all_answered), facts, kind),
        f"The {compared} of all forms differ by at most {done.apart:.1e} on real batches in "
        f"{recipe.backbone.dtype}. "
        "Training the PEFT form on would untie what the pyramid shares.",
    ]
    return "\n".join(lines) + "\n"


def _usage(recipe: Recipe, kind: Kind, base: Base, most_tokens: int, between: str, all_answered: bool) -> Usage:
    return Usage(
        task=recipe.task,
        auto_class=kind.auto_class,
        outputs=outputs_of(recipe.task, recipe.classes),
        base=base.name,
        base_is_folder=not base.is_id,
        most_tokens=most_tokens,
        between=between,
        pooling=kind.pooling if isinstance(kind, Embedding) else None,
        all_answered=all_answered,
        dtype="bfloat16" if recipe.backbone.dtype == "bf16" else "float32",
        trust_remote_code=recipe.trust_remote_code,
    )


def _forms(usage: Usage, facts: Facts, kind: Kind) -> list[str]:
    """What each folder is, and the code that loads it."""
    told = [
        "`peft/` is a stock LoRA adapter of one rank, filled up with zeros, with what makes the inputs beside it. "
        "In the folder of this card:",
        *_block(peft_code(usage)),
    ]
    if kind.peft_type == "CAUSAL_LM" and facts.adapter is not None:
        told += _served(usage, facts.adapter, facts.model_type)
    if facts.merged:
        told += ["`merged/` is a whole model; it needs no base and no PEFT:", *_block(merged_code(usage))]
    for form in facts.forms:
        passage = form.told(usage)
        told += [passage.text, *_block(passage.code, passage.language)]
    shared = "`pyramid/` holds the shared form, every adapter once, for `msplora_search`:"
    return [*told, shared, *_block(pyramid_code(usage))]


def _served(usage: Usage, adapter: Mapping[str, Any], model_type: str) -> list[str]:
    """Whether vLLM takes the adapter, and by which command."""
    found = verdict(adapter, model_type)
    if found.broken:
        return [f"vLLM, by its rules, does not serve it: {'; '.join(map(markdown, found.broken))}.", ""]
    told = "It keeps vLLM's rules, which were read, not run; vLLM answers in the precision that it serves in:"
    return [told, *_block(served_by(found, usage.base, usage.trust_remote_code), "sh")]


def _block(text: str, language: str = "python") -> list[str]:
    """A fenced block that nothing in it can end."""
    fence = "```"
    while fence in text:
        fence += "`"
    return ["", f"{fence}{language}", text, fence, ""]


def _classes(recipe: Recipe, counts: Sequence[int]) -> str:
    """The classes, with their test examples where those have one or several."""
    if not recipe.classes:
        return ""
    known = zip(recipe.classes, counts, strict=False)
    told = [f"{code(name)} ({count:,} test examples)" for name, count in known] or list(map(code, recipe.classes))
    told = told[:MOST_CLASSES]
    more = len(recipe.classes) - len(told)
    return f", classes {', '.join(told)}{f' and {more:,} more' if more else ''}{_positive(recipe)}"


def _positive(recipe: Recipe) -> str:
    positive = positive_of(recipe.task, recipe.classes)
    return "" if positive is None else f"; the positive class is {code(recipe.classes[positive])}"


def _filled(done: Delivered) -> str:
    zeros = done.stored_params - done.unrolled_params
    return f", and {zeros:,} zeros that fill all ranks up to the largest" if zeros else ""


def _serving(done: Delivered) -> list[str]:
    """What serving takes: exact, and as measured."""
    exact = [] if done.costs is None else [f"- Served unmerged: {done.costs.served}."]
    return [*exact, *([] if done.serving is None else [f"- {done.serving.told}"])]


def _in_turn(recipe: Recipe) -> list[str]:
    """How the levels were trained, where a step did not train all of them."""
    pyramid, way = recipe.built(), recipe.training.optimization
    mid, layer = (max(ranks) for ranks in zip(*((g.mid_rank, g.layer_rank) for g in pyramid.groups), strict=True))
    levels = [level for level, rank in zip(LEVELS, (pyramid.global_rank, mid, layer), strict=True) if rank]
    if way == "joint" or len(levels) == 1:
        return []
    how = "one after another, in equal shares of the steps" if way == "staged" else "in turn, one a step"
    return [f"- Levels were trained {how}: {', '.join(levels)} (`training.optimization: {way}`)."]


def _held(recipe: Recipe) -> list[str]:
    kept = recipe.backbone.quantization
    return [] if kept == "none" else [f"- Trained on a base in {kept}; another base gives other numbers."]


def _dropout(recipe: Recipe) -> list[str]:
    rate = recipe.training.lora_dropout
    return [f"- Trained with LoRA dropout {rate:g}, one mask for all levels of a matrix."] if rate else []


def _origin(recipe: Recipe) -> str:
    chosen = recipe.chosen
    if chosen is None or chosen.trial is None or chosen.study is None:
        return "Not taken from a search."
    why = f": {code(chosen.why)}" if chosen.why else ""
    told = f"Trial {chosen.trial} of the study {code(chosen.study)}{why}."
    if chosen.metric is None or chosen.metric_se is None:
        return told
    return (
        f"{told} In the search, after a short proxy, it had {recipe.task.metric_label} {chosen.metric:.4f} ± "
        f"{chosen.metric_se:.4f}."
    )
