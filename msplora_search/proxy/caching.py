"""The gradient of a loss of a whole batch, where the model has room for a part of it alone.

The loss sees the outputs of all examples, which are small; only the model is computed in parts. First without
gradient, then the loss is differentiated by the outputs, and then the parts are computed once more and that
gradient is led back through each (Gao, Zhang, Han and Callan, Scaling Deep Contrastive Learning Batch Size under
Memory Limited Setup, arXiv 2101.06983, section 3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from msplora_search.proxy.precision import Precision
from msplora_search.tasks.parts import Batch
from msplora_search.tasks.task import Task


def differentiate_in_parts(model: nn.Module, task: Task, batch: Batch, precision: Precision, size: int) -> Tensor:
    """Add the gradient of the loss of `batch` to the parameters, `size` examples at a time; gives that loss: ().

    What is random in a part, such as dropout, is drawn the same both times.
    """
    parts = list(batch.parts(size))
    states, found = [], []
    with torch.no_grad(), precision.training():
        for part in parts:
            states.append(_random_state(precision.device))
            found.append(task.kind.outputs(model, part.to(precision.device)))
    outputs = torch.cat(found).requires_grad_()
    with precision.training():
        loss = task.kind.loss(outputs, batch.to(precision.device))
    (by_outputs,) = torch.autograd.grad(loss, outputs)
    after = _random_state(precision.device)
    for part, state, gradient in zip(parts, states, torch.split(by_outputs, size), strict=True):
        _set_random_state(state, precision.device)
        with precision.training():
            again = task.kind.outputs(model, part.to(precision.device))
        again.backward(gradient.to(again.dtype))  # type: ignore[no-untyped-call]
    _set_random_state(after, precision.device)
    return loss.detach()


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Of the CPU's generator, and of the device's where it is another."""
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_random_state(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    own, of_device = state
    torch.set_rng_state(own)
    if of_device is not None:
        torch.cuda.set_rng_state(of_device, device)
