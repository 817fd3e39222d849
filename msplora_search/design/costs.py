"""What a pyramid costs, in numbers that are exact before any training, and in the words for them.

Trained parameters count every shared adapter once. The other three are of the pyramid as it is served by stock
PEFT, where sharing is unrolled, which `adapters.costs` counts on the sites of a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

NUMBERS = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2, "BOOL": 1, "U8": 1}
"""Bytes of a number, by what the safetensors format calls its kind."""
ALIGNED, LENGTH = 8, 8
"""Bytes that a header is filled up to a multiple of, and those before it that say how long it is."""


class Cost(StrEnum):
    """What a search makes small beside making the metric large; the unit, of several, is `unit`."""

    PARAMS = "params"
    BYTES = "bytes"
    UNROLLED_RANK = "unrolled-rank"
    FLOPS = "flops"

    @property
    def unit(self) -> str:
        """Of several, in the middle of a sentence: `parameters`."""
        return UNITS[self]

    @property
    def key(self) -> str:
        """Of its logarithm, where that is stored."""
        return "log10_adapter_params" if self is Cost.PARAMS else f"log10_{self.value.replace('-', '_')}"

    @property
    def column(self) -> str:
        """The heading of a table."""
        return COLUMNS[self]

    @property
    def axis(self) -> str:
        """The label of an axis, without its scale."""
        return AXES[self]

    def told(self, cost: int) -> str:
        """Such as `13,824 parameters`; one as `1 unrolled rank`."""
        one = cost == 1 and self is not Cost.PARAMS
        return f"{cost:,} {ONE[self] if one else self.unit}"

    def beyond(self, cost: float, rank: int) -> float:
        """What one unrolled rank more than that of the dearest, `rank`, would cost.

        The end of the range that a cost is looked at over: where many pyramids have equal costs, as all have but
        of parameters, the dearest are worth something there. Parameters end at the dearest.
        """
        return cost if self is Cost.PARAMS else cost * (rank + 1) / rank


UNITS = {
    Cost.PARAMS: "parameters",
    Cost.BYTES: "bytes",
    Cost.UNROLLED_RANK: "unrolled ranks",
    Cost.FLOPS: "multiplications a token",
}
ONE = {
    Cost.PARAMS: "parameter",
    Cost.BYTES: "byte",
    Cost.UNROLLED_RANK: "unrolled rank",
    Cost.FLOPS: "multiplication a token",
}
COLUMNS = {
    Cost.PARAMS: "adapter params",
    Cost.BYTES: "bytes",
    Cost.UNROLLED_RANK: "unrolled rank",
    Cost.FLOPS: "mult. a token",
}
AXES = {
    Cost.PARAMS: "adapter parameters",
    Cost.BYTES: "bytes of the PEFT file",
    Cost.UNROLLED_RANK: "unrolled rank",
    Cost.FLOPS: "added multiplications a token",
}


@dataclass(frozen=True)
class Costs:
    """All costs of one pyramid on one model; None is what cannot be told without what is not at hand."""

    params: int
    """Trained adapter parameters, shared ones once."""
    bytes: int | None = None
    """Of `adapter_model.safetensors` as it is exported: fp32, one rank filled up with zeros, the head beside."""
    unrolled_rank: int | None = None
    """The one rank of the exported adapter: the largest sum of ranks at any site."""
    flops: int | None = None
    """Multiplications that an unmerged adapter adds a token, without those with the zeros that fill ranks up."""

    def of(self, cost: Cost) -> int:
        """The one of that name. Raises ValueError where it is not known."""
        found = self._known(cost)
        if found is None:
            raise ValueError(f"{cost} of this pyramid are not known")
        return found

    def knows(self, cost: Cost) -> bool:
        """Whether the one of that name is known."""
        return self._known(cost) is not None

    def _known(self, cost: Cost) -> int | None:
        match cost:
            case Cost.PARAMS:
                return self.params
            case Cost.BYTES:
                return self.bytes
            case Cost.UNROLLED_RANK:
                return self.unrolled_rank
            case Cost.FLOPS:
                return self.flops

    def to_json(self) -> dict[str, int | None]:
        """Plain data; the parameters stand elsewhere too, as `adapter_params`."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Costs:
        """Read what `to_json` wrote. Raises ValueError or TypeError."""
        found = cls(**data)
        for name, value in vars(found).items():
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
            if not whole and (value is not None or name == "params"):
                raise ValueError(f"{name} is {value!r}; it must be a whole number")
        return found

    @property
    def served(self) -> str:
        """What is known of serving it, for people: `rank 14 unrolled, 61,344 bytes, ...`; empty where nothing."""
        rank = [] if self.unrolled_rank is None else [f"unrolled rank {self.unrolled_rank:,}"]
        others = [(Cost.BYTES, self.bytes, " as PEFT"), (Cost.FLOPS, self.flops, "")]
        told = [f"{cost.told(value)}{after}" for cost, value, after in others if value is not None]
        return ", ".join([*rank, *told])


@dataclass(frozen=True)
class Stored:
    """One tensor of a safetensors file."""

    name: str
    kind: str
    """As the format calls it: `F32`."""
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Of its numbers."""
        found = NUMBERS[self.kind]
        for extent in self.shape:
            found *= extent
        return found


def file_size(tensors: Iterable[Stored], metadata: Mapping[str, str]) -> int:
    """Bytes of the safetensors file of some tensors, header included, without writing it.

    The header is JSON without spaces: metadata, then tensors, those of wider numbers first and else by name, each
    with kind, shape and the bytes between which its numbers lie; filled up to a multiple of eight bytes.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for tensor in sorted(tensors, key=lambda one: (-NUMBERS[one.kind], one.name)):
        start, end = end, end + tensor.bytes
        header[tensor.name] = {"dtype": tensor.kind, "shape": list(tensor.shape), "data_offsets": [start, end]}
    length = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return LENGTH + -(-length // ALIGNED) * ALIGNED + end
