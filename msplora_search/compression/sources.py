"""What is known of a LoRA beside its files: its study, its base model, or neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msplora_search.compression.alone import Alone, compress_alone
from msplora_search.compression.choosing import Choice
from msplora_search.compression.compressing import Compression, Say
from msplora_search.compression.delivering import Outcome, Wish, compress_on
from msplora_search.compression.ground import ground_of
from msplora_search.compression.lora import Lora
from msplora_search.errors import InputError, placed
from msplora_search.settings import load_study


@dataclass(frozen=True)
class Sources:
    """As the user named them."""

    study: str | None
    assignments: Sequence[str]
    model: str | None

    def require(self, training: bool, merging: bool) -> None:
        """Raises InputError naming the option."""
        if self.study is not None and self.model is not None:
            raise InputError("--model: the study names the model; change it by --set model=ID")
        if self.study is None and training:
            raise InputError("--train: needs the task; give --study")
        if self.study is None and self.assignments:
            raise InputError("--set: changes a study; give --study")
        if self.study is None and self.model is None and merging:
            raise InputError("--merge: needs the base model; give --study or --model")

    def compressed(
        self, lora: Lora, choice: Choice, wish: Wish, folder: Path, say: Say
    ) -> tuple[Compression, Outcome | Alone]:
        """Fit, choose, prove and write `model/` into `folder`. Raises InputError."""
        if self.study is None:
            return compress_alone(lora, choice, wish, self.model, folder, say)
        settings = load_study(self.study, self.assignments)
        if wish.merged and settings.backbone.quantization != "none":
            raise InputError(f"--merge: {settings.backbone.quantization} weights cannot be merged; leave it out")
        say("loading model and data ...")
        with placed(settings.origin):
            return compress_on(ground_of(settings, lora), choice, wish, folder, say)
