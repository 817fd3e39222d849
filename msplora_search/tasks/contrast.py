"""Losses of embedded pairs, and the ranks of right answers among all."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

SCALE = 20.0
"""What cosines are multiplied by, the inverse temperature; as in sentence-transformers."""
AT_ONCE = 1024
"""Rows of a matrix of scores that are in memory at a time."""


def scored_loss(embeddings: Tensor, scores: Tensor) -> Tensor:
    """Mean squared error of cosines against scores: embeddings (batch, 2, width), scores (batch,) -> ()."""
    return F.mse_loss(cosines(embeddings), scores.float())


def cosines(embeddings: Tensor) -> Tensor:
    """Of first and second text: (batch, 2, width) -> (batch,), fp32."""
    return F.cosine_similarity(embeddings[:, 0].float(), embeddings[:, 1].float(), dim=-1)


def contrastive_loss(embeddings: Tensor, numbers: Tensor) -> Tensor:
    """Mean cross-entropy of each anchor's own positive among the positives and negatives of the whole batch: ().

    embeddings: (batch, texts, width); numbers: (batch, texts), equal for equal texts. From anchors to the others,
    not back: Multiple Negatives Ranking (Henderson et al., arXiv 1705.00652, section 4.4) as sentence-transformers
    has it by default. What is no negative is left out: see `blocked`.
    """
    with torch.autocast(embeddings.device.type, enabled=False):  # which would multiply in bf16
        unit = F.normalize(embeddings.float(), dim=-1)
        others = unit[:, 1:].transpose(0, 1).flatten(0, 1)  # the positives of the batch, then its negatives
        scores = (SCALE * unit[:, 0] @ others.T).masked_fill(blocked(numbers), -torch.inf)
        return F.cross_entropy(scores, torch.arange(len(scores), device=scores.device))


def blocked(numbers: Tensor) -> Tensor:
    """Which texts are no negatives of an anchor: numbers (batch, texts) -> (batch, (texts - 1) * batch).

    Those equal to its positive or to the anchor itself, and positives of an equal anchor. Its own positive is
    never blocked.
    """
    anchors, positives = numbers[:, :1], numbers[:, 1:2]
    others = numbers[:, 1:].T.reshape(1, -1)
    found = (others == positives) | (others == anchors)
    found[:, : len(numbers)] |= anchors == anchors.T
    own = torch.arange(len(numbers), device=numbers.device)
    found[own, own] = False
    return found


def own_ranks(
    anchors: NDArray[np.float32], positives: NDArray[np.float32], numbers: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The rank, from 1, of each anchor's own positive among the different positives of all: (rows,).

    anchors and positives: (rows, width), of length 1; numbers: (rows,), equal for equal positives. Of equally near
    ones the own is the last, so that a model that tells nothing apart finds nothing.
    """
    _, first, own = np.unique(numbers, return_index=True, return_inverse=True)
    pool = positives[first]
    ranks = []
    for start in range(0, len(anchors), AT_ONCE):
        scores = anchors[start : start + AT_ONCE] @ pool.T
        mine = np.take_along_axis(scores, own[start : start + AT_ONCE, None], axis=1)
        ranks.append(len(pool) - (scores < mine).sum(axis=1))
    return np.concatenate(ranks).astype(np.int64)
