"""Prompts with their responses, tokenised, as sequences of a language model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msplora_search.errors import InputError
from msplora_search.tasks.parts import Rows
from msplora_search.tasks.tokens import Tokens


@dataclass(frozen=True)
class Dialogues:
    """Prompt and response of each example as one sequence; the response begins at `starts`."""

    tokens: Tokens
    starts: NDArray[np.int32]
    earlier: NDArray[np.bool_] | None = None
    """Which of all `tokens.ids` are those of answers in the prompt that are trained on too; None: none are."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        return self.tokens.lengths

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`."""
        self.tokens.save(folder)
        np.save(folder / "starts.npy", self.starts)
        if self.earlier is not None:
            np.save(folder / "earlier.npy", self.earlier)

    def asked(self, rows: Rows, longest: int) -> Tensor:
        """Which tokens are asked for, or lie behind the end: (rows, longest)."""
        starts = torch.from_numpy(self.starts[rows].astype(np.int64))
        found = torch.arange(longest) >= starts[:, None]
        if self.earlier is not None:
            for place, row in enumerate(rows):
                first, last = self.tokens.offsets[row], self.tokens.offsets[row + 1]
                found[place, : last - first] |= torch.from_numpy(np.array(self.earlier[first:last]))
        return found

    @classmethod
    def load(cls, folder: Path) -> Dialogues:
        """Map the arrays of `folder` into memory."""
        earlier = folder / "earlier.npy"
        return cls(
            Tokens.load(folder),
            np.load(folder / "starts.npy", mmap_mode="r"),
            np.load(earlier, mmap_mode="r") if earlier.is_file() else None,
        )


def start_of(tokenizer: Any) -> int:
    """What stands before a response without a prompt: the first token needs one to be predicted from.

    Raises InputError where the tokenizer has nothing to begin a text with.
    """
    known = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    token = next((int(token) for token in known if token is not None), None)
    if token is None:
        raise InputError("task.prompt: an empty prompt, and the tokenizer has no token to begin a text with")
    return token
