"""Text to text by an encoder and a decoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from msplora_search.settings.task import DatasetSource, TaskSettings
from msplora_search.tasks.causal_lm import SPARE_TOKENS
from msplora_search.tasks.exchanges import exchanges
from msplora_search.tasks.kind import Content
from msplora_search.tasks.language import (
    NOT_ASKED,
    answer,
    answered,
    asked_scores,
    chance_of,
    cut_note,
    token_loss,
    token_sums,
)
from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.parts import Batch, Examples, Rows
from msplora_search.tasks.reading.table import Table
from msplora_search.tasks.tokenising import bounded, require_whole, tokenise
from msplora_search.tasks.tokens import Tokens, most_tokens, pad_of, vocabulary_of


@dataclass(frozen=True)
class Pairs:
    """What the encoder reads, and what the decoder should write."""

    read: Tokens
    written: Tokens

    def __len__(self) -> int:
        return len(self.read)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, read and written."""
        return self.read.lengths + self.written.lengths

    def save(self, folder: Path) -> None:
        """Write the arrays into folders of `folder`."""
        for name, tokens in (("read", self.read), ("written", self.written)):
            (folder / name).mkdir()
            tokens.save(folder / name)


@dataclass(frozen=True)
class Seq2SeqLM:
    """See `kind.Kind`."""

    settings: TaskSettings
    tokenizer: Any
    auto_class: str = "AutoModelForSeq2SeqLM"
    peft_type: str | None = "SEQ_2_SEQ_LM"
    reads_one_token: bool = False
    evaluation_tokens: int = 2048
    chance_is: str = "every token equally likely"

    def cache_key(self, source: DatasetSource) -> list[Any]:
        """Columns, template, length and tokenizer; whether truth counts tokens or examples."""
        task = self.settings
        columns = [task.prompt, task.response, task.template, task.metric == "exact-match"]
        return [*columns, most_tokens(task.max_length, self.tokenizer), vocabulary_of(self.tokenizer)]

    def read(self, table: Table, classes: tuple[str, ...] | None) -> Content:
        """Prompts and responses, each cut at its end to `max_length` tokens."""
        most = most_tokens(self.settings.max_length, self.tokenizer)
        found, notes = exchanges(self.settings, self.tokenizer, table, chat=False)
        prompts, cut_prompts = tokenise(self.tokenizer, [[one.prompt for one in found]], most, table.source)
        responses = [one.response.removesuffix(self.tokenizer.eos_token or "") for one in found]
        seen = [bounded(response, most) for response in responses]
        encoded = self.tokenizer(text_target=seen, truncation=True, max_length=most)
        cut_responses = 0
        for row, encoding in enumerate(encoded.encodings or ()):
            if encoding.overflowing:
                cut_responses += 1
            else:
                require_whole(responses[row], seen[row], table.source, row)
        written = Tokens.of(encoded["input_ids"])
        asked = written.lengths.astype(np.float64)
        truth = np.ones_like(asked) if self.settings.metric == "exact-match" else asked
        notes.append(
            cut_note(cut_prompts, cut_responses, len(asked), most).replace("their beginning", "their end")
        )
        examples = Pairs(Tokens(prompts.ids, prompts.offsets), written)
        return Content(examples, truth, (), "; ".join(filter(None, notes)))

    def load(self, folder: Path) -> Examples:
        """Pairs."""
        return Pairs(Tokens.load(folder / "read"), Tokens.load(folder / "written"))

    def collate(self, examples: Examples, rows: Rows, truth: Values) -> tuple[dict[str, Tensor], Tensor]:
        """Token ids with mask (batch, read tokens), and the tokens to be written (batch, written tokens)."""
        assert isinstance(examples, Pairs)
        written = examples.written.padded(rows, 0)
        targets = written["input_ids"].masked_fill(written["attention_mask"] == 0, NOT_ASKED)
        return examples.read.padded(rows, pad_of(self.tokenizer)), targets

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scores of the tokens to be written, (asked, words)."""
        config: Any = model.config
        shifted = batch.targets.masked_fill(batch.targets == NOT_ASKED, config.pad_token_id).roll(1, dims=1)
        shifted[:, 0] = config.decoder_start_token_id
        logits = model(**batch.inputs, decoder_input_ids=shifted).logits
        return asked_scores(logits, batch.targets)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy of the tokens to be written."""
        return token_loss(outputs, batch.targets)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """Summed loss, number of right tokens, or whether the generated text is the right one: (batch,)."""
        if self.settings.metric != "exact-match":
            return token_sums(self.settings.metric, self.outputs(model, batch), batch.targets)
        most = int((batch.targets != NOT_ASKED).sum(dim=1).max()) + SPARE_TOKENS
        generated = answer(model, self.tokenizer, batch.inputs, batch.targets, most)
        return answered(self.tokenizer, generated, batch.targets)

    def chance(self, truth: Values, judge: Metric) -> float:
        """Every token equally likely."""
        return chance_of(self.settings.metric, self.tokenizer)
