"""Preferences: of two responses to a prompt one is better (direct preference optimisation, arXiv 2305.18290)."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from msplora_search.adapters.switch import adapters_off
from msplora_search.settings.task import DatasetSource, TaskSettings
from msplora_search.tasks.dialogues import Dialogues, start_of
from msplora_search.tasks.kind import Content
from msplora_search.tasks.language import NOT_ASKED, cut_note, response_scores
from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.parts import Batch, Examples, Part, Rows
from msplora_search.tasks.preference_pairs import Pair, pairs
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.tokenising import bounded, require_whole
from msplora_search.tasks.tokens import Tokens, most_tokens, pad_of, vocabulary_of


@dataclass(frozen=True)
class Preferences:
    """Of example `i` the preferred response is dialogue `2 i` of `both`, the rejected one `2 i + 1`."""

    both: Dialogues
    keys: NDArray[np.int64]
    """(examples,) what an example is known by: two that are alike have the same."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, with what pads the shorter response."""
        return np.asarray(2 * self.both.lengths.reshape(-1, 2).max(axis=1))

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`."""
        self.both.save(folder)
        np.save(folder / "keys.npy", self.keys)


@dataclass(frozen=True)
class Preference:
    """See `kind.Kind`. The loss is `-log sigmoid(beta (d_chosen - d_rejected))`, with d the log-probability of a
    response less its reference: what the model gives it without its adapters.
    """

    settings: TaskSettings
    tokenizer: Any
    auto_class: str = "AutoModelForCausalLM"
    peft_type: str | None = "CAUSAL_LM"
    reads_one_token: bool = False
    evaluation_tokens: int = 2048
    chance_is: str = "a model without adapters"
    known: dict[int, tuple[float, float]] = field(default_factory=dict, repr=False, compare=False)
    """References of this process, by the key of the example: they depend on no pyramid."""

    def cache_key(self, source: DatasetSource) -> list[Any]:
        """Columns, templates, length and tokenizer."""
        task, tokenizer = self.settings, self.tokenizer
        columns = [task.prompt, task.chosen, task.rejected, task.template]
        return [*columns, self._most, tokenizer.chat_template, vocabulary_of(tokenizer)]

    @property
    def _most(self) -> int:
        return most_tokens(self.settings.max_length, self.tokenizer)

    def read(self, table: Table, classes: tuple[str, ...] | None) -> Content:
        """Prompts with both responses; a prompt that is too long loses its beginning, a response its end."""
        found, notes = pairs(self.settings, self.tokenizer, table)
        read = [self._tokens(pair, table.source, row) for row, pair in enumerate(found)]
        sequences = [[*prompt, *response] for prompt, responses, _ in read for response in responses]
        starts = np.array([len(prompt) for prompt, responses, _ in read for _ in responses], dtype=np.int32)
        keys = [_key(len(prompt), responses, prompt) for prompt, responses, _ in read]
        cut_prompts, cut_responses = (sum(cut[i] for _, _, cut in read) for i in range(2))
        notes.append(cut_note(cut_prompts, cut_responses, len(read), self._most))
        if same := sum(responses[0] == responses[1] for _, responses, _ in read):
            notes.append(
                f"{same:,} of {len(read):,} rows have one response as chosen and rejected, and teach nothing"
            )
        examples = Preferences(Dialogues(Tokens.of(sequences), starts), np.array(keys, dtype=np.int64))
        return Content(examples, np.ones(len(read)), (), "; ".join(filter(None, notes)))

    def _tokens(
        self, pair: Pair, source: str, row: int
    ) -> tuple[list[int], tuple[list[int], list[int]], tuple[bool, bool]]:
        """The prompt, both responses, and whether it and one of them had to be cut to fit."""
        most, chat = self._most, self.settings.template is None
        whole = pair[0].prompt
        text = bounded(whole, most, from_end=True)
        prompt = list(self.tokenizer(text, add_special_tokens=not chat)["input_ids"]) or [start_of(self.tokenizer)]
        if len(prompt) < most:
            require_whole(whole, text, source, row)
        responses = []
        for one in pair:
            text = bounded(one.response, most)
            responses.append(list(self.tokenizer(text, add_special_tokens=False)["input_ids"]))
            if len(responses[-1]) < most:
                require_whole(one.response, text, source, row)
        longest = max(map(len, responses))
        chosen, rejected = (response[: most - 1] for response in responses)
        room = most - max(len(chosen), len(rejected))
        return prompt[-room:], (chosen, rejected), (len(prompt) > room, longest >= most)

    def load(self, folder: Path) -> Examples:
        """Preferences, in dialogues."""
        return Preferences(Dialogues.load(folder), np.load(folder / "keys.npy", mmap_mode="r"))

    def collate(self, examples: Examples, rows: Rows, truth: Values) -> tuple[dict[str, Tensor], Tensor]:
        """Token ids, mask and asked tokens, (batch, 2, tokens), and keys, (batch,); a 1 for each example."""
        assert isinstance(examples, Preferences)
        both = np.stack([2 * rows, 2 * rows + 1], axis=1).reshape(-1)
        inputs = examples.both.tokens.padded(both, pad_of(self.tokenizer))
        asked = examples.both.asked(both, inputs["input_ids"].shape[1]) & inputs["attention_mask"].bool()
        inputs["labels"] = inputs["input_ids"].masked_fill(~asked, NOT_ASKED)
        paired = {name: tensor.view(len(rows), 2, -1) for name, tensor in inputs.items()}
        paired["key"] = torch.from_numpy(np.array(examples.keys[rows]))
        return paired, torch.from_numpy(np.asarray(truth))

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scores of the asked tokens, (asked, words), those of the preferred response of an example first."""
        ids, mask = (batch.inputs[name].flatten(0, 1) for name in ("input_ids", "attention_mask"))
        return response_scores(model, {"input_ids": ids, "attention_mask": mask}, _labels(batch))

    def referred(self, model: nn.Module, batch: Batch) -> Batch:
        """See `kind.Refers`. Each example is computed alone, so that its reference depends on no other."""
        for row, key in enumerate(keys := batch.inputs["key"].tolist()):
            if key not in self.known:
                one, other = self._reference(model, _alone(batch, row)).tolist()
                self.known[key] = one, other
        reference = torch.tensor([self.known[key] for key in keys], device=batch.targets.device)
        return replace(batch, inputs={**batch.inputs, "reference": reference})

    @torch.no_grad()
    def _reference(self, model: nn.Module, one: Batch) -> Tensor:
        """Log-probabilities of both responses of an example, by the model without adapters: (2,)."""
        was_training = model.training
        model.eval()
        try:
            with adapters_off(model):
                return _log_probabilities(self.outputs(model, one), one)[0]
        finally:
            model.train(was_training)

    def margins(self, outputs: Tensor, batch: Batch) -> Tensor:
        """How much larger the implicit reward of the preferred response is: (batch,)."""
        rewards = self._beta * (_log_probabilities(outputs, batch) - batch.inputs["reference"])
        return rewards[:, 0] - rewards[:, 1]

    @property
    def _beta(self) -> float:
        assert self.settings.beta is not None
        return self.settings.beta

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean of `-log sigmoid(margin)`, equation 7 of the paper."""
        return -F.logsigmoid(self.margins(outputs, batch)).mean()

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss, or whether the preferred response has the larger reward, a half for equal ones: (batch,)."""
        margins = self.margins(self.outputs(model, batch), batch)
        return -F.logsigmoid(margins) if self.settings.metric == "loss" else (margins.sign() + 1) / 2

    def chance(self, truth: Values, judge: Metric) -> float:
        """Of margins of zero, which a model has that is its own reference."""
        return -math.log(2) if self.settings.metric == "loss" else 0.5


def _labels(batch: Batch) -> Tensor:
    return batch.inputs["labels"].flatten(0, 1)


def _log_probabilities(outputs: Tensor, batch: Batch) -> Tensor:
    """Of whole responses, summed over their tokens: (batch, 2), fp32."""
    labels = _labels(batch)
    asked = labels != NOT_ASKED
    each = -F.cross_entropy(outputs.float(), labels[asked], reduction="none")
    return each.new_zeros(len(labels)).index_add(0, asked.nonzero()[:, 0], each).view(-1, 2)


def _alone(batch: Batch, row: int) -> Batch:
    """One example of a batch, without what pads it to the length of others."""
    longest = int(batch.inputs["attention_mask"][row].sum(dim=-1).max())
    inputs = {
        name: tensor[row : row + 1, ..., :longest] if tensor.dim() == 3 else tensor[row : row + 1]
        for name, tensor in batch.inputs.items()
    }
    return Batch(inputs, batch.targets[row : row + 1], batch.rows[row : row + 1])


def _key(start: int, responses: tuple[list[int], list[int]], prompt: list[int]) -> int:
    told = np.array([start, len(responses[0]), *prompt, *responses[0], *responses[1]], dtype=np.int64)
    return int.from_bytes(hashlib.blake2b(told.tobytes(), digest_size=8).digest(), "big", signed=True)


def dataset_of(part: Part) -> Any:
    """The examples of a part as trl's trainer takes them: a `Dataset` of token ids, the prompt apart."""
    from datasets import Dataset

    pairs = part.corpus.examples
    assert isinstance(pairs, Preferences)
    columns: dict[str, list[list[int]]] = {"prompt_ids": [], "chosen_ids": [], "rejected_ids": []}
    for row in part.rows:
        start = int(pairs.both.starts[2 * row])
        chosen, rejected = (pairs.both.tokens[2 * row + i].tolist() for i in range(2))
        for name, ids in zip(columns, (chosen[:start], chosen[start:], rejected[start:]), strict=True):
            columns[name].append(ids)
    return Dataset.from_dict(columns)
