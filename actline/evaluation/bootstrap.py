"""Confidence intervals from resampled videos, and the score of random guessing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actline.evaluation.average_precision import falling_order, sorted_precision


@dataclass(frozen=True)
class Interval:
    """Where the score lies in `level` of the draws."""

    low: float
    high: float
    level: float
    draws: int


def bootstrap_mean_precision(
    scores: NDArray[np.float32],
    targets: NDArray[np.float32],
    videos: NDArray[np.intp],
    *,
    draws: int,
    level: float = 0.95,
    generator: np.random.Generator,
) -> Interval:
    """Percentile interval of the mean average precision over classes that occur.

    Videos, not frames, are drawn with replacement: frames of a video are not independent. Scores
    are sorted once; a draw only weighs frames by how often their video was drawn.

    Shape:
        scores, targets: (N, C); videos: (N,), each frame's video as a number from 0.
    """
    order = falling_order(scores)
    positive = np.take_along_axis(targets, order, axis=0) > 0
    count = int(videos.max()) + 1
    occurs = np.zeros((count, scores.shape[1]), bool)
    np.logical_or.at(occurs, videos, targets > 0)
    means = np.empty(draws)
    for draw in range(draws):
        times = np.bincount(generator.integers(count, size=count), minlength=count)
        precision = sorted_precision(positive, order, times[videos].astype(np.float64))
        present = occurs[times > 0].any(axis=0)
        means[draw] = precision[present].mean() if present.any() else 0.0
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high), level, draws)


def chance_precision(targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """The average precision of random scores: the share of frames that are positive, (C,)."""
    return targets.mean(axis=0, dtype=np.float64)
