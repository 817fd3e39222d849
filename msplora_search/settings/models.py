"""A study file as a validated model. Each field is described once, here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from msplora_search.design.costs import Cost
from msplora_search.settings.space import RateRange, SpaceSettings
from msplora_search.settings.task import Model, TaskSettings, misfit
from msplora_search.settings.values import (
    MOST_CHOICES,
    Count,
    Decay,
    Duration,
    Epochs,
    Few,
    Fraction,
    LoraDropout,
    Many,
    Moments,
    Name,
    Optimization,
    PresentRank,
    Rate,
    Repeats,
    Seed,
    Switch,
    Trials,
    WarmUp,
)  # fmt: skip


class LoraLadder(Model):
    """Plain LoRA at several ranks."""

    lora: Annotated[tuple[PresentRank, ...], Field(min_length=1, max_length=MOST_CHOICES)] = (1, 2, 4, 8)

    @field_validator("lora", mode="before")
    @classmethod
    def _is_a_list(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise PydanticCustomError("list_of_ranks", "it should be a list of ranks such as [1, 2, 4]")
        return value


class PaperRank(Model):
    """The paper's pyramid r, r/2, r/4 in thirds of the depth."""

    paper: PresentRank = 8


def _kind_of_baseline(value: Any) -> str | None:
    """The one word that a baseline consists of, or begins with."""
    match value:
        case PaperRank():
            return "paper"
        case LoraLadder():
            return "lora"
        case {"paper": _, **rest} | {"lora": _, **rest} if not rest:
            return str(next(iter(value)))
    return None


Baseline = Annotated[
    Annotated[PaperRank, Tag("paper")] | Annotated[LoraLadder, Tag("lora")],
    Discriminator(
        _kind_of_baseline,
        custom_error_type="baseline",
        custom_error_message="it should be one of paper, lora, {paper: RANK} and {lora: [RANKS]}",
    ),
]


class SearchSettings(Model):
    """How the space is searched."""

    trials: Trials | None = 24
    """Proposals of the sampler that are trained, up to 1,000,000; baselines come on top, and one that needs no
    training, for it repeats another or is refused, costs and counts nothing. The default is none where another
    budget is given; the first that is spent ends the search."""
    time: Duration | None = None
    """Such as 30min or 1h30min, in which trials train, over all calls; what is begun by then is finished."""
    steps: Many | None = None
    """Training steps of all trials, baselines included; what is begun by then is finished."""
    until: Literal["converged"] | None = None
    """`converged`: the best proposal is expected to add less to the front than 2% of a metric's standard error."""
    sampler: Literal["front", "tpe", "nsga2", "gp", "random", "brute-force"] = "front"
    """`front` proposes what is expected to raise the front most, by a model that knows what each costs."""
    seed: Seed = 0
    """Of the proposals and of every training; the same study with the same seed has the same results."""
    cost: Cost = Cost.PARAMS
    """What a front is small in: `params`, trained parameters, or of the PEFT export the `bytes` of its file, its
    `unrolled-rank`, or its `flops`, the multiplications that it adds a token."""
    max_params: Many | None = None
    """Most adapter parameters of a proposal, whatever `cost` is."""
    baselines: Annotated[tuple[Baseline, ...], Field(max_length=MOST_CHOICES)] = (PaperRank(), LoraLadder())
    """`paper`, `lora`, or with ranks {paper: 8}, {lora: [1, 2, 4, 8]}; trained first, never pruned."""
    noise_repeats: Repeats = 2
    """Further seeds that the paper's baseline and the smallest LoRA are trained with, early, each at its best
    rate: how far they differ is the noise of training. 0: it is not known, and said so."""
    repeats: Repeats = 0
    """Most further trainings, after the proposals, of those that may or may not be on the front: each with other
    seeds, until that is decided."""
    warm_start: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=MOST_CHOICES)] = ()
    """Output folders of earlier studies, of other models and depths too, or their front.json: the points of their
    fronts are carried over to this space, and proposed first."""

    @model_validator(mode="before")
    @classmethod
    def _another_budget_stands_alone(cls, value: Any) -> Any:
        if not isinstance(value, dict) or all(value.get(budget) is None for budget in ("time", "steps", "until")):
            return value
        return {"trials": None, **value}

    @model_validator(mode="after")
    def _some_budget_is_given(self) -> Self:
        if self.trials is None and self.time is None and self.steps is None and self.until is None:
            raise misfit("trials", "is null, and so are time, steps and until; give one of these budgets")
        return self

    @field_validator("baselines", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        short: dict[Any, PaperRank | LoraLadder] = {"paper": PaperRank(), "lora": LoraLadder()}
        return tuple(short.get(item, item) if isinstance(item, str) else item for item in value)


class ProxySettings(Model):
    """The short fine-tune that stands for full training."""

    train_examples: Many = 2000
    """Rows that a trial is trained on."""
    validation_examples: Many = 2000
    """Rows that it is measured on. Both parts come from the training split; where it is smaller, both shrink in
    proportion."""
    judging_examples: Count = 2000
    """Most further rows of the training split, no more than validate, that the chosen are judged on and no choice
    reads; 0 for none, as where fewer than 200 are left."""
    epochs: Epochs = 3
    """Passes over the rows that are trained on."""
    batch_size: Few = 32
    """Examples of one optimiser step, up to 1,000,000."""
    learning_rate: Rate = 2e-3
    """Used where the space names no learning rate. Short proxies need high rates."""
    weight_decay: Decay = 0.0
    """Of AdamW."""
    warmup_ratio: WarmUp = 0.06
    """Share of the steps in which the rate rises; it falls to 0 in the others."""
    rungs: Annotated[tuple[Fraction, ...], Field(min_length=1, max_length=MOST_CHOICES)] = (0.33, 0.67, 1.0)
    """Fractions of the proxy at which a trial is measured, and may be stopped."""
    early_examples: Many = 500
    """Validation examples, the first of them, that it is measured on at the rungs before the end."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is bf16 where the processor multiplies it fast, else fp32. Adapters and head stay fp32."""
    dropout: Switch = False
    """Keep the backbone's own dropout. Off: three short epochs do not overfit, and steps are faster."""
    optimization: Optimization = "joint"
    """Which levels a step trains, as in training.optimization. `staged` wants pruning.rule none, for rungs come
    before the last levels are trained."""

    @field_validator("rungs", mode="after")
    @classmethod
    def _rungs_rise_to_one(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)) or value[-1] != 1.0:
            raise ValueError("rungs must rise and end with 1.0")
        return value


class PruningSettings(Model):
    """When a trial stops early."""

    rule: Literal["envelope", "none"] = "envelope"
    """`envelope`: a trial stops where it would hardly raise the front; `none`: all are trained to the end."""
    chance: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.4
    """A trial is stopped at a rung where the probability that, trained to the end, it would raise the front is
    below this. No rung is judged within three times the warm-up."""


class BackboneSettings(Model):
    """How the frozen base model is held; adapters and head are fp32 in any case."""

    dtype: Literal["fp32", "bf16"] = "fp32"
    """Format that the base is loaded in. One in bf16 is computed with in bf16 too, whatever proxy.precision is."""
    quantization: Literal["none", "4bit", "8bit"] = "none"
    """By bitsandbytes, on a CUDA device: nf4 with bf16 products, or LLM.int8."""
    device_map: Literal["auto", "balanced", "sequential"] | None = None
    """Spread the layers over the devices of the machine, as accelerate does."""
    gradient_checkpointing: Switch = False
    """Compute activations again in the backward pass rather than keep them."""


class TrainingSettings(Model):
    """Full training of an exported recipe, by transformers' Trainer."""

    epochs: Epochs = 10
    """Passes over the training rows."""
    batch_size: Few = 32
    """Examples of one optimiser step, over all processes and accumulated batches."""
    learning_rate: Rate = 1e-3
    """Of adapters and head."""
    weight_decay: Decay = 0.1
    """Of AdamW."""
    warmup_ratio: WarmUp = 0.06
    """Share of the steps in which the rate rises; it falls to 0 in the others."""
    validation_share: Annotated[float, Field(strict=True, gt=0, lt=0.5)] = 0.1
    """Share of the training rows that the best checkpoint is chosen by."""
    early_stopping: Few | None = None
    """Evaluations without improvement after which training ends."""
    lora_dropout: LoraDropout = 0.0
    """Share of the adapters' input that is zeroed in each training step, one mask for all levels of a matrix; the
    published MSPLoRA script has 0.05. What is exported has none."""
    optimization: Optimization = "joint"
    """Which levels of the pyramid a step trains; the head is always trained. `joint`: all of them. `staged`: one
    after another, global, mid, layer, each for an equal share of the steps. `alternating`: one a step, in turn. A
    level that a step does not train stays as it is: nothing decays it, no momentum moves it, and gradients are
    clipped without its own. Levels without ranks get no share. The learning rate has one schedule over all
    steps."""
    interference: Moments = 0
    """Steps, evenly spaced, at which the cosines of what any two levels do to a weight are written to
    interference.jsonl in the output, where analyze finds them; 0 for none."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Further fields of transformers' TrainingArguments, such as {report_to: tensorboard, bf16: true}."""

    @model_validator(mode="after")
    def _every_level_has_its_stage(self) -> Self:
        if self.optimization == "staged" and self.early_stopping is not None:
            raise misfit(
                "early_stopping",
                "would end before every level had its stage; leave it out, or let optimization be joint",
            )
        return self


class ScaleSettings(Model):
    """Who trains, and how they know of each other; results do not depend on it."""

    checkpoints: Annotated[str, Field(min_length=1)] | None = None
    """Folder of trainings that are not finished, so that any worker that sees it goes on with them; by default in
    the output folder."""
    heartbeat: Annotated[int, Field(strict=True, ge=1, le=3600)] = 15
    """Seconds between two signs of life of a worker, on a storage that others may use too; four that are missing
    and what it trains is given to another."""
    trial_time: Duration | None = None
    """Such as 30min, for one attempt at a trial: one that takes longer stops between two steps, or two batches of
    an evaluation, and fails."""
    workers: Few | None = None
    """Trainings at a time, where the command does not say; by default one here, and on a Ray cluster as many as it
    has room for."""
    cpus: Annotated[float, Field(strict=True, gt=0, le=1024)] = 1.0
    """Processors of a worker on a Ray cluster; fractions share one."""
    gpus: Annotated[float, Field(strict=True, ge=0, le=64)] | None = None
    """Devices of a worker on a Ray cluster, by default one where it has any as the search begins; fractions share
    one."""


class StudySettings(Model):
    """A study file: model, task, space, and how to search."""

    name: Name
    """Of the study, and of its output folder under runs/."""
    model: Annotated[str, Field(min_length=1)]
    """A Hugging Face id, a folder, or demo:NAME."""
    task: TaskSettings
    space: SpaceSettings = SpaceSettings()
    """A shipped space, a path, or an inline mapping."""
    search: SearchSettings = SearchSettings()
    proxy: ProxySettings = ProxySettings()
    pruning: PruningSettings = PruningSettings()
    training: TrainingSettings = TrainingSettings()
    backbone: BackboneSettings = BackboneSettings()
    scale: ScaleSettings = ScaleSettings()
    trust_remote_code: Switch = False
    """Let the model's repository run its own Python code."""

    @model_validator(mode="after")
    def _rungs_can_say_what_stops(self) -> Self:
        if self.proxy.optimization == "staged" and self.pruning.rule != "none":
            raise misfit(
                "proxy.optimization",
                "is staged, so that rungs come before the last levels are trained; set pruning.rule to none",
            )
        return self

    @model_validator(mode="after")
    def _sampler_suits_the_space(self) -> Self:
        if self.search.sampler == "brute-force" and isinstance(self.space.learning_rate, RateRange):
            raise misfit(
                "search.sampler", "brute-force needs a finite space; give space.learning_rate as a list of choices"
            )
        return self
