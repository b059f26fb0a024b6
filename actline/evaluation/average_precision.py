"""Average precision of frame scores, as the Coarse-Fine authors' meter computes it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Classes are sorted in groups of about this many scores, so that memory does not grow with them.
SCORES_AT_ONCE = 20_000_000


def average_precision(
    scores: ArrayLike, targets: ArrayLike, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Mean precision at every positive, frames sorted by descending score, for each class.

    Equal scores keep the order they are given in. A class without a positive gets 0, as in the
    published meter, whose mean includes it.

    Args:
        weights: how often each frame counts; None counts each once.

    Shape:
        scores, targets: (N, C), targets 0 or 1; weights: (N,); returns (C,).
    """
    scores = np.asarray(scores)
    targets = np.asarray(targets)
    assert scores.shape == targets.shape, "one target a score"
    frames, classes = scores.shape
    group = max(1, SCORES_AT_ONCE // max(1, frames))
    parts = [
        _group_precision(
            scores[:, first : first + group], targets[:, first : first + group], weights
        )
        for first in range(0, classes, group)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def falling_order(scores: NDArray) -> NDArray[np.intp]:
    """The order of descending scores, equal ones as given: (N, C) to (N, C)."""
    return np.argsort(-scores, axis=0, kind="stable")


def _group_precision(
    scores: NDArray, targets: NDArray, weights: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    order = falling_order(scores)
    return sorted_precision(np.take_along_axis(targets, order, axis=0) > 0, order, weights)


def sorted_precision(
    positive: NDArray[np.bool_], order: NDArray[np.intp], weights: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Average precision of targets that are sorted already: (N, C) and their order to (C,)."""
    if weights is None:
        found = positive.cumsum(axis=0, dtype=np.float64)
        ranks = np.arange(1, len(positive) + 1, dtype=np.float64)[:, None]
        precision = np.where(positive, found / ranks, 0.0).sum(axis=0)
        return precision / np.maximum(positive.sum(axis=0), 1)
    counts = weights[order]
    hits = np.where(positive, counts, 0.0)
    ranks = counts.cumsum(axis=0)
    precision = np.divide(hits.cumsum(axis=0), ranks, out=np.zeros_like(ranks), where=ranks > 0)
    total = hits.sum(axis=0)
    return (precision * hits).sum(axis=0) / np.where(total > 0, total, 1.0)
