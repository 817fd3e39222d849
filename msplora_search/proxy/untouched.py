"""What a model reaches as it is: the reference where there is no head that would have to be trained first."""

from __future__ import annotations

from msplora_search.proxy.batching import Batches, ProxyBatches
from msplora_search.proxy.precision import Precision
from msplora_search.proxy.room import Room
from msplora_search.proxy.training import predict
from msplora_search.tasks.backbone import Backbone
from msplora_search.tasks.task import Task


def untouched_told(
    task: Task, backbone: Backbone, batches: ProxyBatches, precision: Precision, room: Room
) -> tuple[str, ...]:
    """A note on the metric of the model without adapters, on the validation and the judging part."""
    label = task.kind.settings.metric_label

    def reached(part: Batches) -> str:
        measure = task.measure(part.part, predict(backbone.model, task, part, precision, room))
        return f"{measure.metric:.4f} ± {measure.metric_se:.4f}"

    told = f"without adapters the model has {label} {reached(batches.validation)}"
    if batches.judging is not None:
        told += f", and {reached(batches.judging)} on the judging part"
    return (told,)
