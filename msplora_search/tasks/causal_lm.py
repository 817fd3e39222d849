"""Instruction tuning of a decoder: the loss of the response's tokens, given the prompt; or of every answer's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from msplora_search.settings.task import DatasetSource, TaskSettings
from msplora_search.tasks.answers import last_answers, marked_tokens, moved
from msplora_search.tasks.dialogues import Dialogues, start_of
from msplora_search.tasks.exchanges import exchanges
from msplora_search.tasks.kind import Content
from msplora_search.tasks.language import (
    NOT_ASKED,
    answer,
    answered,
    chance_of,
    cut_note,
    response_scores,
    token_loss,
    token_sums,
)
from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.parts import Batch, Examples, Rows
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.tokenising import bounded, require_whole
from msplora_search.tasks.tokens import Tokens, most_tokens, pad_of, vocabulary_of

SPARE_TOKENS = 8
"""How many tokens more than the longest response of a batch a model may generate."""


@dataclass(frozen=True)
class CausalLM:
    """See `kind.Kind`. Batches are packed by length: examples of similar length share one, with little padding."""

    settings: TaskSettings
    tokenizer: Any
    auto_class: str = "AutoModelForCausalLM"
    peft_type: str | None = "CAUSAL_LM"
    reads_one_token: bool = False
    evaluation_tokens: int = 2048
    chance_is: str = "every token equally likely"

    def cache_key(self, source: DatasetSource) -> list[Any]:
        """Columns, templates, length and tokenizer; whether truth counts tokens or examples."""
        task, tokenizer = self.settings, self.tokenizer
        columns = [
            task.prompt,
            task.response,
            task.messages,
            task.template,
            most_tokens(task.max_length, self.tokenizer),
        ]
        every = ["every"] if task.turns == "every" else []
        return [*columns, *every, task.metric == "exact-match", tokenizer.chat_template, vocabulary_of(tokenizer)]

    def read(self, table: Table, classes: tuple[str, ...] | None) -> Content:
        """Prompts and responses; a prompt that is too long loses its beginning, a response its end."""
        most = most_tokens(self.settings.max_length, self.tokenizer)
        sequences, starts, marks, cut_prompts, cut_responses = [], [], list[bool](), 0, 0
        chat = self.settings.template is None
        found, notes = exchanges(self.settings, self.tokenizer, table, chat=True)
        for row, exchange in enumerate(found):
            asked_text, answer_text = (
                bounded(exchange.prompt, most, from_end=True),
                bounded(exchange.response, most),
            )
            earlier = moved(exchange.earlier, len(exchange.prompt) - len(asked_text))
            prompt, own = marked_tokens(self.tokenizer, asked_text, earlier, special=not chat)
            prompt, own = (prompt, own) if prompt else ([start_of(self.tokenizer)], [False])
            response = self.tokenizer(answer_text, add_special_tokens=False)["input_ids"]
            if len(prompt) < most:
                require_whole(exchange.prompt, asked_text, table.source, row)
            if len(response) < most:
                require_whole(exchange.response, answer_text, table.source, row)
            cut_responses += len(response) >= most
            response = response[: most - 1]  # the first token of a response is predicted from one before it
            cut_prompts += len(prompt) + len(response) > most
            prompt, own = prompt[-(most - len(response)) :], own[-(most - len(response)) :]
            sequences.append([*prompt, *response])
            starts.append(len(prompt))
            marks += [False, *own[1:], *[False] * len(response)]  # nothing stands before the first to predict it
        earlier_marks = np.array(marks) if any(marks) else None
        dialogues = Dialogues(Tokens.of(sequences), np.array(starts, dtype=np.int32), earlier_marks)
        asked = (dialogues.lengths - dialogues.starts).astype(np.float64)
        if earlier_marks is not None:
            asked += np.add.reduceat(earlier_marks, dialogues.tokens.offsets[:-1], dtype=np.float64)
        truth = np.ones_like(asked) if self.settings.metric == "exact-match" else asked
        notes.append(cut_note(cut_prompts, cut_responses, len(asked), most))
        return Content(dialogues, truth, (), "; ".join(filter(None, notes)))

    def load(self, folder: Path) -> Examples:
        """Dialogues."""
        return Dialogues.load(folder)

    def collate(self, examples: Examples, rows: Rows, truth: Values) -> tuple[dict[str, Tensor], Tensor]:
        """Token ids with mask, and the answers' tokens at their places, both (batch, tokens)."""
        assert isinstance(examples, Dialogues)
        inputs = examples.tokens.padded(rows, pad_of(self.tokenizer))
        asked = examples.asked(rows, inputs["input_ids"].shape[1]) & inputs["attention_mask"].bool()
        return inputs, inputs["input_ids"].masked_fill(~asked, NOT_ASKED)

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scores of the asked tokens, (asked, words); those of the prompt are not computed."""
        return response_scores(model, batch.inputs, batch.targets)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy of the answers' tokens."""
        return token_loss(outputs, batch.targets)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """Summed loss, number of right tokens, or whether the generated last answer is the right one: (batch,)."""
        if self.settings.metric == "exact-match":
            last = replace(batch, targets=last_answers(batch.targets))
            return answered(self.tokenizer, self._generate(model, last), last.targets)
        return token_sums(self.settings.metric, self.outputs(model, batch), batch.targets)

    def chance(self, truth: Values, judge: Metric) -> float:
        """Every token equally likely."""
        return chance_of(self.settings.metric, self.tokenizer)

    def _generate(self, model: nn.Module, batch: Batch) -> Tensor:
        """Greedy responses to the prompts of a batch, padded on the left: (batch, new tokens)."""
        asked = batch.targets != NOT_ASKED
        starts = asked.int().argmax(dim=1)
        longest = int(starts.max())
        ids = batch.inputs["input_ids"].new_full((len(starts), longest), pad_of(self.tokenizer))
        mask = torch.zeros_like(ids)
        for i, start in enumerate(starts.tolist()):
            ids[i, longest - start :] = batch.inputs["input_ids"][i, :start]
            mask[i, longest - start :] = 1
        room = int(self.tokenizer.model_max_length) - longest
        most_new = max(1, min(int(asked.sum(dim=1).max()) + SPARE_TOKENS, room))
        inputs = {"input_ids": ids, "attention_mask": mask}
        return answer(model, self.tokenizer, inputs, batch.targets, most_new)[:, longest:]
