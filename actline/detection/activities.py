"""From per-frame probabilities to activities in time."""

import numpy as np
from numpy.typing import NDArray

from actline.timeline import Activity, FrameScores


def find_activities(
    scores: FrameScores,
    thresholds: NDArray[np.float32],
    *,
    duration: float,
    min_seconds: float = 0.0,
    max_gap: float = 0.0,
) -> tuple[Activity, ...]:
    """Stretches of frames at or above their class's threshold.

    A frame stands for the time from itself to the next; the last for that to the video's end.
    An activity's confidence is its mean probability.

    Args:
        scores: per-frame probabilities.
        thresholds: (C,).
        duration: of the video, in seconds.
        min_seconds: shorter activities are dropped.
        max_gap: seconds; stretches of one class with a shorter gap between them are one.
    """
    borders = np.append(scores.times, max(duration, scores.times[-1]))
    above = scores.probabilities >= thresholds
    if max_gap > 0:
        above = _close_gaps(above, borders, max_gap)
    # One pass over all classes: a stretch begins where `above` rises and ends where it falls.
    padded = np.pad(above.astype(np.int8), ((1, 1), (0, 0)))
    change = np.diff(padded, axis=0).T
    columns, first = np.nonzero(change == 1)
    _, last = np.nonzero(change == -1)
    sums = np.pad(scores.probabilities.astype(np.float64).cumsum(axis=0), ((1, 0), (0, 0)))
    confidences = (sums[last, columns] - sums[first, columns]) / (last - first)
    starts, ends = borders[first], borders[last]
    keep = np.nonzero(ends - starts >= max(min_seconds, 1e-9))[0]
    activities = [
        Activity(
            scores.classes[columns[i]], float(starts[i]), float(ends[i]), float(confidences[i])
        )
        for i in keep
    ]
    return tuple(sorted(activities, key=lambda activity: (activity.start, activity.label)))


def _close_gaps(
    above: NDArray[np.bool_], borders: NDArray[np.float64], max_gap: float
) -> NDArray[np.bool_]:
    """Fill stretches of False between two of True that last less than `max_gap` seconds."""
    frames = np.arange(len(above))[:, None]
    before = np.maximum.accumulate(np.where(above, frames, -1), axis=0)
    after = np.minimum.accumulate(np.where(above, frames, len(above))[::-1], axis=0)[::-1]
    between = (before >= 0) & (after < len(above))
    gap = borders[np.minimum(after, len(above) - 1)] - borders[np.minimum(before + 1, len(above))]
    return above | (between & (gap < max_gap))
