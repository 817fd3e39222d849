"""The study and space files as validated models. Each field is described once, here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from msplora_search.design.depth import split_by_fractions
from msplora_search.design.space import LogRange, SearchSpace, Shape, uniform_splits
from msplora_search.design.splits import FreeSplits
from msplora_search.settings.task import Model, TaskSettings

Rank = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]


class RateRange(Model):
    """A range of learning rates."""

    low: Rate
    high: Rate
    log: bool = True
    """Draw uniformly in the logarithm."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        return self


class PerGroup(Model):
    """Which levels may have another rank in each depth group."""

    mid_rank: bool = False
    layer_rank: bool = False


class Groups(Model):
    """Which depth groups may be proposed."""

    count: tuple[Annotated[int, Field(ge=1)], ...] = Field((1, 2, 3, 4), min_length=1)
    """Allowed numbers of groups."""
    boundaries: Literal["free", "uniform"] | tuple[tuple[Annotated[float, Field(gt=0)], ...], ...] = "free"
    """`free` (every split), `uniform` (equal depth), or a list of splits such as [[33,33,34],[40,40,20]]."""
    min_layers: Annotated[int, Field(ge=1)] = 1
    """Fewest layers of a group where boundaries are free."""


class SpaceSettings(Model):
    """A space file: what the search may propose."""

    targets: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...] = Field(
        (("query", "value"),), min_length=1
    )
    """Choices of target lists; a target is a suffix of module names."""
    global_rank: tuple[Rank, ...] = Field((0, 2, 4, 8, 16), min_length=1)
    mid_rank: tuple[Rank, ...] = Field((0, 1, 2, 4, 8), min_length=1)
    layer_rank: tuple[Rank, ...] = Field((0, 1, 2, 4), min_length=1)
    ranks: Annotated[tuple[tuple[Rank, Rank, Rank], ...], Field(min_length=1)] | None = None
    """Combinations of the three ranks, such as [[8, 4, 2], [4, 4, 4]], and no others, in place of the lists."""
    per_group: PerGroup = PerGroup()
    groups: Groups = Groups()
    shape: Shape = Shape.ANY
    """`any`, `non-increasing` (present levels) or `geometric` (r, r/2, r/4)."""
    alpha: tuple[Annotated[float, Field(gt=0)], ...] = Field((16.0,), min_length=1)
    """Scaling numerators; a level of rank r is scaled by alpha / r."""
    learning_rate: tuple[Rate, ...] | RateRange | None = None
    """Choices, {low, high, log}, or one number; absent: proxy.learning_rate."""

    @model_validator(mode="after")
    def _ranks_stand_alone(self) -> Self:
        fields = type(self).model_fields
        for name in ("global_rank", "mid_rank", "layer_rank"):
            if self.ranks is not None and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} and ranks exclude each other; give one of them")
        return self

    @field_validator("learning_rate", "alpha", mode="before")
    @classmethod
    def _one_number_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int | float | str) else value

    @field_validator("global_rank", "mid_rank", "layer_rank", "alpha", "learning_rate", mode="after")
    @classmethod
    def _sorted_and_unique(cls, value: Any) -> Any:
        return tuple(sorted(set(value))) if isinstance(value, tuple) else value

    def for_depth(
        self,
        layers: int,
        default_rate: float,
        targets: tuple[tuple[str, ...], ...] | None = None,
        most_groups: int | None = None,
    ) -> SearchSpace:
        """The space for a stack of `layers` layers. Raises ValueError where nothing fits the depth.

        `targets`: what the choices are called in the model; `most_groups`: depth groups that fit it.
        """
        most = layers if most_groups is None else most_groups
        counts = [count for count in sorted(set(self.groups.count)) if count <= most]
        if not counts and most < layers and isinstance(self.groups.boundaries, str):
            raise ValueError(f"no number of groups in {list(self.groups.count)} fits the {most}-layer stack")
        match self.groups.boundaries:
            case "free":
                splits: FreeSplits | tuple[tuple[int, ...], ...] = FreeSplits(
                    tuple(counts or self.groups.count), self.groups.min_layers
                )
            case "uniform":
                splits = uniform_splits(layers, counts)
            case listed:
                splits = tuple(dict.fromkeys(split_by_fractions(parts, layers) for parts in listed))
                if (widest := max(len(parts) for parts in listed)) > most:
                    raise ValueError(f"{widest} depth groups do not fit the {most} layers of the shallower stack")
        rates: tuple[float, ...] | LogRange
        match self.learning_rate:
            case None:
                rates = (default_rate,)
            case RateRange(low=low, high=high, log=log):
                rates = LogRange(low, high, log)
            case choices:
                rates = choices
        lists = (self.global_rank, self.mid_rank, self.layer_rank)
        if self.ranks is not None:
            by_level = zip(*self.ranks, strict=True)
            lists = tuple(tuple(sorted(set(ranks))) for ranks in by_level)  # type: ignore[assignment]
        return SearchSpace(
            layers=layers,
            targets=self.targets if targets is None else targets,
            global_rank=lists[0],
            mid_rank=lists[1],
            layer_rank=lists[2],
            ranks=None if self.ranks is None else frozenset(self.ranks),
            splits=splits,
            mid_per_group=self.per_group.mid_rank,
            layer_per_group=self.per_group.layer_rank,
            shape=self.shape,
            alpha=self.alpha,
            learning_rate=rates,
            most_groups=most_groups,
        )


class LoraLadder(Model):
    """Plain LoRA at several ranks."""

    lora: tuple[Annotated[int, Field(ge=1)], ...] = Field((1, 2, 4, 8), min_length=1)


class PaperRank(Model):
    """The paper's pyramid r, r/2, r/4 in thirds of the depth."""

    paper: Annotated[int, Field(ge=1)] = 8


class SearchSettings(Model):
    """How the space is searched."""

    trials: Annotated[int, Field(ge=0)] = 24
    """Proposals of the sampler; baselines come on top."""
    sampler: Literal["tpe", "nsga2", "gp", "random", "brute-force"] = "tpe"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    max_params: Annotated[int, Field(ge=1)] | None = None
    """Most adapter parameters of a proposal."""
    baselines: tuple[PaperRank | LoraLadder, ...] = (PaperRank(), LoraLadder())
    """`paper`, `lora`, or with ranks {paper: 8}, {lora: [1, 2, 4, 8]}; trained first, never pruned."""

    @field_validator("baselines", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        short: dict[str, PaperRank | LoraLadder] = {"paper": PaperRank(), "lora": LoraLadder()}
        if unknown := [item for item in value if isinstance(item, str) and item not in short]:
            raise ValueError(
                f"{unknown[0]!r} is no baseline; it must be paper, lora, {{paper: RANK}} or {{lora: [RANKS]}}"
            )
        return tuple(short[item] if isinstance(item, str) else item for item in value)


class ProxySettings(Model):
    """The short fine-tune that stands for full training."""

    train_examples: Annotated[int, Field(ge=1)] = 2000
    validation_examples: Annotated[int, Field(ge=1)] = 2000
    """Both parts come from the training split; where it is smaller, both shrink in proportion."""
    epochs: Annotated[float, Field(gt=0)] = 3
    batch_size: Annotated[int, Field(ge=1)] = 32
    learning_rate: Rate = 2e-3
    """Used where the space names no learning rate. Short proxies need high rates."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.06
    rungs: tuple[Fraction, ...] = Field((0.33, 0.67, 1.0), min_length=1)
    """Fractions of the proxy at which a trial is measured, and may be stopped."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is bf16 where the processor multiplies it fast, else fp32. Adapters and head stay fp32."""
    dropout: bool = False
    """Keep the backbone's own dropout. Off: three short epochs do not overfit, and steps are faster."""

    @field_validator("rungs", mode="after")
    @classmethod
    def _rungs_rise_to_one(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)) or value[-1] != 1.0:
            raise ValueError("rungs must rise and end with 1.0")
        return value


class PruningSettings(Model):
    """When a trial stops early; see proxy/pruning.py."""

    rule: Literal["envelope", "none"] = "envelope"
    min_peers: Annotated[int, Field(ge=1)] = 4
    """Fewest trials at the same rung with no more parameters before anything is stopped."""
    margin_se: Annotated[float, Field(ge=0)] = 1.0
    """How far below the envelope a trial must lie, in standard errors of the paired difference."""
    keep_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of the trials at a rung, best non-dominated first, that is never stopped there."""


class BackboneSettings(Model):
    """How the frozen base model is held; adapters and head are fp32 in any case."""

    dtype: Literal["fp32", "bf16"] = "fp32"
    """Format that the base is loaded in. One in bf16 is computed with in bf16 too, whatever proxy.precision is."""
    quantization: Literal["none", "4bit", "8bit"] = "none"
    """By bitsandbytes, on a CUDA device: nf4 with bf16 products, or LLM.int8."""
    device_map: Literal["auto", "balanced", "sequential"] | None = None
    """Spread the layers over the devices of the machine, as accelerate does."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass rather than keep them."""


class TrainingSettings(Model):
    """Full training of an exported recipe, by transformers' Trainer."""

    epochs: Annotated[float, Field(gt=0)] = 10
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Examples of one optimiser step, over all processes and accumulated batches."""
    learning_rate: Rate = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.06
    validation_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of the training rows that the best checkpoint is chosen by."""
    early_stopping: Annotated[int, Field(ge=1)] | None = None
    """Evaluations without improvement after which training ends."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Further fields of transformers' TrainingArguments, such as {report_to: tensorboard, bf16: true}."""


class StudySettings(Model):
    """A study file: model, task, space, and how to search."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
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
    trust_remote_code: bool = False
    """Let the model's repository run its own Python code."""

    @model_validator(mode="after")
    def _sampler_suits_the_space(self) -> Self:
        if self.search.sampler == "brute-force" and isinstance(self.space.learning_rate, RateRange):
            raise ValueError(
                "sampler brute-force needs a finite space; give space.learning_rate as a list of choices"
            )
        return self
