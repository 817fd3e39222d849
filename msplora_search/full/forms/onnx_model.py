"""The merged model as ONNX, for programs without torch. It is run by onnxruntime before it is in its place."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from msplora_search.errors import InputError
from msplora_search.full.cards.code import Usage
from msplora_search.full.forms.form import Passage, Source
from msplora_search.full.forms.onnx_code import onnx_code
from msplora_search.settings.recipe import Recipe

FILE = "model.onnx"
INSTALL = 'pip install "msplora-search[onnx]"'
KINDS = (
    "text-classification", "text-regression", "multi-label", "token-classification", "image-classification",
    "causal-lm",
)  # fmt: skip
"""Kinds whose models give logits in one pass over what they are given."""
SIZES = {"pixel_values": ("batch",)}
"""The dimensions of an input that may have any size, where they are not examples and tokens."""
OF_TEXT = ("batch", "tokens")


@dataclass(frozen=True)
class OnnxModel:
    """See `form.Form`."""

    name: str = "onnx"

    def require(self, recipe: Recipe) -> None:
        """Raise InputError where the model answers in several passes, or its weights merge with nothing."""
        if recipe.task.kind not in KINDS:
            raise InputError(
                f"--onnx: models of {', '.join(KINDS)} can be written as ONNX, but task.kind is "
                f"{recipe.task.kind}; leave it out"
            )
        if recipe.backbone.quantization != "none":
            raise InputError(
                f"--onnx: {recipe.backbone.quantization} weights cannot be merged; leave it out, or set "
                "backbone.quantization to none"
            )
        try:
            import onnx  # noqa: F401
            import onnxruntime  # type: ignore[import-untyped, unused-ignore]  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise InputError(f"--onnx: the package {error.name} is not installed; {INSTALL}") from None

    def write(self, source: Source, folder: Path) -> Tensor | None:
        """The model and what makes its inputs; the logits are onnxruntime's."""
        folder.mkdir()
        export(source.model, source.batch.inputs, folder / FILE)
        source.model.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
        source.processor.save_pretrained(folder)
        return source.logits(Session(folder / FILE))

    def told(self, usage: Usage) -> Passage:
        """By onnxruntime."""
        return Passage(
            "`onnx/` is the merged model in float32 for onnxruntime, for any number of examples"
            f"{'' if usage.task.kind == 'image-classification' else ' and tokens'}:",
            onnx_code(usage),
        )


class Session(nn.Module):
    """An ONNX file that answers as the model does that was written."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def forward(self, **inputs: Tensor) -> SimpleNamespace:
        """`logits`, as the model gives them, fp32."""
        given = {one.name: inputs[one.name].cpu().numpy() for one in self.session.get_inputs()}
        (logits,) = self.session.run(None, given)
        return SimpleNamespace(logits=torch.from_numpy(logits))


class _Positional(nn.Module):
    """A model whose inputs stand in an order, and which gives its logits alone."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *given: Tensor) -> Tensor:
        """The inputs of `names` -> logits."""
        logits: Tensor = self.model(**dict(zip(self.names, given, strict=True))).logits
        return logits


def export(model: nn.Module, inputs: dict[str, Tensor], file: Path) -> None:
    """Write `model` as ONNX in float32; `inputs`: an example.

    Raises InputError where the model cannot be traced.
    """
    plain = _plain(model).eval()
    free: dict[str, Any] = {name: torch.export.Dim(name) for name in OF_TEXT}
    sizes = tuple({i: free[size] for i, size in enumerate(SIZES.get(name, OF_TEXT))} for name in inputs)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                _Positional(plain, list(inputs)).eval(),
                tuple(_two_rows(tensor).cpu() for tensor in inputs.values()),
                input_names=list(inputs),
                output_names=["logits"],
                dynamic_shapes=(sizes,),
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            for node in program.model.graph.all_nodes():
                node.metadata_props.clear()  # where in the files of this machine it comes from
            program.save(str(file), external_data=True)
    except Exception as error:  # whatever the tracer stumbles over
        said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(
            f"--onnx: {type(model).__name__} cannot be written as ONNX: {said}; leave it out"
        ) from None


def _two_rows(tensor: Tensor) -> Tensor:
    """Itself, doubled where it has one row: a size of one would be taken for a fixed one."""
    return torch.cat([tensor, tensor]) if len(tensor) == 1 else tensor


def _plain(model: nn.Module) -> nn.Module:
    """The model on the CPU in float32: itself where it is that, else a copy."""
    if all(p.device.type == "cpu" and p.dtype == torch.float32 for p in model.parameters()):
        return model
    return copy.deepcopy(model).cpu().float()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of packages that are not there, and of names of axes."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
