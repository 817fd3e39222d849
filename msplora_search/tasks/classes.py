"""Loss and predictions of a head that scores classes, of whatever it is given."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.parts import Batch

CHANCE = "always the most frequent class"


def class_scores(model: nn.Module, batch: Batch) -> Tensor:
    """Logits, (batch, classes)."""
    scores: Tensor = model(**batch.inputs).logits
    return scores


def class_loss(scores: Tensor, batch: Batch) -> Tensor:
    """Mean cross-entropy, in fp32."""
    return F.cross_entropy(scores.float(), batch.targets)


def majority(judge: Metric, truth: Values) -> float:
    """The metric of always predicting the most frequent class."""
    return judge.score(truth, np.full_like(truth, np.bincount(truth).argmax()))
