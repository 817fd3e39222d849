"""The task section of a study: what the adapter is for, and which columns of which data say so."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from msplora_search.settings.kinds import COLUMNS, METRICS, OF_ONE_CLASS, Kind, usual_metric
from msplora_search.settings.origins import Origins
from msplora_search.settings.pairs import odd_pairs, odd_texts
from msplora_search.settings.values import WHOLE


class Model(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    _origins: Origins = PrivateAttr(default_factory=Origins)

    def origin(self, field: str) -> str | None:
        """`file:line` of a dotted field such as `task.label` or `space.targets.0`, or the override that set it.

        For a field that is not there, that of what surrounds it; None where no file was read.
        """
        return self._origins.of_field(field)


def misfit(field: str, said: str) -> PydanticCustomError:
    """An error of a whole section that is about one field of it; `said` goes on after the field's name."""
    return PydanticCustomError("misfit", "{said}", {"field": field, "said": said})


Column = Annotated[str, Field(min_length=1)]
MOST_CHOICES = 26
"""Each has a letter."""


class DatasetSource(Model):
    """Where examples come from, in more detail than a name."""

    path: Annotated[str, Field(min_length=1)]
    """A file (jsonl, json, csv, tsv, parquet), a folder of them, a Hugging Face id, or demo:NAME."""
    name: str | None = None
    """Configuration of a Hugging Face data set, such as mrpc of glue."""
    split: str = "train"
    """Split of a Hugging Face data set that the proxy's two parts are taken from."""
    revision: str | None = None
    """Revision of a Hugging Face data set."""
    test: str | None = None
    """A file, or a split of a Hugging Face data set, that no trial of a search sees: the official test part."""
    test_share: Annotated[float, Field(strict=True, ge=0, lt=1)] = 0.2
    """Where no `test` is named: share of the rows that a search sets aside, for no trial to see."""


class TaskSettings(Model):
    """What the adapter is for."""

    kind: Kind = "text-classification"
    """What is to be learned, and so which columns are read and which metrics there are."""
    dataset: DatasetSource
    """A Hugging Face id, {path: data.jsonl} (jsonl, json, csv, tsv, parquet), or demo:NAME."""
    text: Annotated[tuple[Column, ...], Field(min_length=1, max_length=3)] | None = None
    """One or two text columns (text-classification, text-regression, multi-label, multiple-choice); two that
    belong together, or those and one that does not belong to the first (embedding)."""
    label: Column | None = None
    """Column of the class (text, whole numbers or true/false), of the number (text-regression), of lists of tags,
    one a word (token-classification), of lists of labels (multi-label), of the right choice (multiple-choice), its
    index from 0, its letter A, B, ..., or its text, or of how similar two texts are, where that is scored
    (embedding)."""
    labels: Annotated[tuple[Column, ...], Field(min_length=2)] | None = None
    """Columns of 0 and 1 or true and false, one a label, in place of a column of lists (multi-label)."""
    words: Column | None = None
    """Column of lists of words (token-classification)."""
    choices: Annotated[tuple[Column, ...], Field(min_length=1, max_length=MOST_CHOICES)] | None = None
    """Column of lists of choices, or a column for each choice, where empty cells at the end are no choices
    (multiple-choice)."""
    prompt: Annotated[tuple[Column, ...], Field(min_length=1, max_length=64)] | None = None
    """Columns of what is asked; empty cells are left out (causal-lm, seq2seq-lm, preference)."""
    response: Column | None = None
    """Column of what is to be answered; only its tokens are trained on (causal-lm, seq2seq-lm)."""
    chosen: Column | None = None
    """Column of the better of two responses: texts, or chats that end with it (preference)."""
    rejected: Column | None = None
    """Column of the worse response to the same prompt (preference)."""
    beta: Annotated[float, Field(strict=True, gt=0, le=100)] | None = None
    """How much a response's log-probability, less that without adapters, counts as its reward: large values keep
    the model near its base; 0.1 where nothing is said (preference)."""
    messages: Column | None = None
    """Column of chats, lists of {role, content} that end with the answer, in place of prompt and response."""
    turns: Literal["last", "every"] | None = None
    """Which answers of a chat are trained on, and count for loss and token-accuracy: `last`, as where nothing is
    said, or `every` one with what ends its turn; exact-match is of the last (causal-lm with messages)."""
    template: str | None = None
    """Text that the prompt is put into, with columns in braces such as "Q: {question} A:"; where there is none,
    causal-lm uses the tokenizer's chat template, and seq2seq-lm the prompt columns as they are."""
    question: Column | None = None
    """Column of what is asked about a context (extractive-qa)."""
    context: Column | None = None
    """Column of the texts that answers are found in (extractive-qa)."""
    answers: Column | None = None
    """Column of right answers: {"text": [...], "answer_start": [...]} as SQuAD has it, a list of texts of the
    context, or one; with no text, the question has no answer (extractive-qa)."""
    stride: Annotated[int, Field(strict=True, ge=0, le=2**20), WHOLE] | None = None
    """Tokens that neighbouring windows of a context longer than max_length share, less than half of max_length; a
    quarter of it unless said otherwise (extractive-qa)."""
    image: Column | None = None
    """Column of images, or of paths of image files (image-classification)."""
    pooling: Literal["auto", "mean", "cls", "last"] | None = None
    """How tokens become one vector (embedding). `auto`: as the model's files for sentence-transformers say; where
    there are none, the mean over tokens, or of a decoder the last token."""
    group: Column | None = None
    """Column whose equal values belong together, such as a patient or a passage; a part has whole groups."""
    metric: Literal[
        "accuracy", "f1", "matthews", "pearson", "spearman", "loss", "token-accuracy", "exact-match",
        "micro-f1", "macro-f1", "recall@1", "recall@5", "recall@10", "reward-accuracy",
    ] = "accuracy"  # fmt: skip
    """Larger is better for all: loss is the negative mean loss of a token, or of a preference; reward-accuracy the
    share of preferences whose chosen response has the larger reward, in which two equal ones count a half."""
    positive: str | None = None
    """The class, of two, whose f1 is measured; the second in their order where none is named."""
    max_length: Annotated[int, Field(strict=True, ge=8, le=2**20), WHOLE] = 128
    """Tokens kept of an example, special tokens included, 8 to 1,048,576."""

    @property
    def metric_label(self) -> str:
        """The metric's name for people."""
        return "negative loss" if self.metric == "loss" else self.metric

    @property
    def has_negatives(self) -> bool:
        """Whether the examples of a batch are one another's negatives."""
        return self.kind == "embedding" and self.label is None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that are read."""
        inputs = (*(self.text or ()), self.words, *(self.prompt or ()), *(self.choices or ()))
        asked = (self.question, self.context, self.answers)
        wanted = (self.label, *(self.labels or ()), self.response, self.chosen, self.rejected)
        named = (*inputs, *asked, *wanted, self.messages, self.image, self.group)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @field_validator("dataset", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        if not isinstance(value, str | dict | DatasetSource):
            raise PydanticCustomError("dataset", "it should be a name, a path, or a mapping with a path")
        return {"path": value} if isinstance(value, str) else value

    @field_validator("text", "prompt", "labels", "choices", mode="before")
    @classmethod
    def _one_column(cls, value: Any) -> Any:
        if not isinstance(value, str | list | tuple | None):
            raise PydanticCustomError("columns", "it should be a column or a list of columns, as text")
        return (value,) if isinstance(value, str) else value

    @field_validator("text", "prompt", "labels", "choices", mode="after")
    @classmethod
    def _each_once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value and len(set(value)) < len(value):
            raise PydanticCustomError("columns", "it should name each column once")
        return value

    @field_validator("positive", mode="before")
    @classmethod
    def _as_classes_are(cls, value: Any) -> Any:
        return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else value

    @field_validator("positive")
    @classmethod
    def _without_spaces(cls, value: str | None) -> str | None:
        return value if value is None else value.strip()

    @model_validator(mode="before")
    @classmethod
    def _fill_in_by_kind(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        kind = data.get("kind", "text-classification")
        if not isinstance(kind, str) or kind not in COLUMNS:
            return data
        columns = {} if data.get("messages") is not None else COLUMNS[kind]
        if data.get("labels") is not None:
            columns = {name: column for name, column in columns.items() if name != "label"}
        return {"metric": usual_metric(kind, data.get("label")), **columns, **data}

    @model_validator(mode="after")
    def _fits_the_kind(self) -> Self:
        every = {name for columns in COLUMNS.values() for name in columns}
        own = COLUMNS[self.kind]
        if odd := [name for name in sorted(every - own.keys()) if getattr(self, name) is not None]:
            raise misfit(odd[0], f"is not read by {self.kind}, which reads {', '.join(own)}")
        beside = [name for name in ("prompt", "response", "template") if getattr(self, name) is not None]
        if self.messages is not None and beside:
            raise misfit("messages", f"and {beside[0]} exclude each other; give one of them")
        if self.kind == "multi-label" and (self.label is None) == (self.labels is None):
            raise misfit("labels", "or label says which labels a text has; give one of them")
        if told := odd_texts(self.kind, self.text):
            raise misfit("text", told)
        if self.turns is not None and self.messages is None:
            raise misfit("turns", "says which answers of chats are trained on; name their column as messages")
        if self.metric not in METRICS[self.kind]:
            raise misfit(
                "metric",
                f"is {self.metric}, which {self.kind} does not have; it has {', '.join(METRICS[self.kind])}",
            )
        if self.stride is not None and 2 * self.stride >= self.max_length:
            raise misfit("stride", f"is {self.stride}; it must be less than half of max_length, {self.max_length}")
        if self.kind == "embedding" and (odd_pair := odd_pairs(self.text, self.label, self.metric)):
            raise misfit(*odd_pair)
        if self.group is not None and self.group in (self.label, *(self.labels or ())):
            raise misfit("group", "is the label column too; name a column that says which rows belong together")
        if self.positive is not None and (self.metric != "f1" or self.kind not in OF_ONE_CLASS):
            raise misfit(
                "positive",
                f"says whose f1 is measured, but this is {self.kind} with metric {self.metric}; leave it out",
            )
        return self
