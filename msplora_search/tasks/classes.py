"""Loss and predictions of a head that scores classes, of whatever it is given."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from msplora_search.tasks.metrics import Metric, Values
from msplora_search.tasks.parts import Batch


class OneClass:
    """What kinds have in common whose examples have one class each; see `kind.Kind`."""

    chance_is = "always the most frequent class"

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scores, (batch, classes)."""
        return class_scores(model, batch)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy, in fp32."""
        return F.cross_entropy(outputs.float(), batch.targets)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """The most likely class of each example, (batch,)."""
        return class_scores(model, batch).argmax(dim=-1)

    def chance(self, truth: Values, judge: Metric) -> float:
        """Always the most frequent class."""
        return majority(judge, truth)


def class_scores(model: nn.Module, batch: Batch) -> Tensor:
    """Logits, (batch, classes)."""
    scores: Tensor = model(**batch.inputs).logits
    return scores


def majority(judge: Metric, truth: Values) -> float:
    """The metric of always predicting the most frequent class."""
    return judge.score(truth, np.full_like(truth, np.bincount(truth).argmax()))
