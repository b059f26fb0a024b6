"""Thresholds that turn probabilities into decisions, chosen on validation data."""

import numpy as np
from numpy.typing import NDArray


def choose_thresholds(
    scores: NDArray[np.float32], targets: NDArray[np.float32]
) -> NDArray[np.float64]:
    """For each class the threshold of the best F1 over frames.

    A class that never occurs gets 1: nothing can be said in its favour.

    Shape:
        scores, targets: (N, C); returns (C,).
    """
    order = np.argsort(-scores, axis=0, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=0)
    hits = (np.take_along_axis(targets, order, axis=0) > 0).cumsum(axis=0)
    taken = np.arange(1, len(scores) + 1)[:, None]
    f1 = 2 * hits / (taken + hits[-1])
    # A threshold takes all of the frames with an equal score, or none.
    last_of_equals = np.append(ranked[1:] != ranked[:-1], np.ones((1, ranked.shape[1]), bool), 0)
    best = np.where(last_of_equals, f1, -1.0).argmax(axis=0)
    chosen = ranked[best, np.arange(ranked.shape[1])].astype(np.float64)
    return np.where(hits[-1] > 0, chosen, 1.0)
