"""Intervals of segment mAP, from resampled videos."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actline.annotations.annotations import Annotations
from actline.evaluation.bootstrap import Interval
from actline.evaluation.overlap import Predictions, tables_of
from actline.evaluation.segments import SegmentProtocol, match, on_ambiguous, ranked


def bootstrap_segment_precision(
    annotations: Annotations,
    predictions: Predictions,
    protocol: SegmentProtocol,
    *,
    draws: int,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Interval of the average mAP over classes that occur in a draw: percentiles of the draws.

    A draw has fewer different activities than the data set, which by itself raises the average
    precision of rare classes; the interval is moved by the mean of that, so that it lies around
    the score.

    Annotated videos are drawn with replacement; predictions of videos that are not annotated are
    wrong in every draw. Detections are matched once, as that is done within a video: a draw
    weighs each video's detections and activities by how often it was drawn. Copies of a
    detection have equal scores and count at once.
    """
    weighing = _weighing(annotations, predictions, protocol)
    generator = np.random.default_rng(seed)
    count = len(annotations.videos)
    means = np.empty(draws)
    for draw in range(draws):
        times = np.bincount(generator.integers(count, size=count), minlength=count)
        means[draw] = weighing.mean(times.astype(np.float64))
    tail = (1 - level) / 2
    moved = means + weighing.mean(np.ones(count)) - means.mean()
    low, high = np.clip(np.quantile(moved, [tail, 1 - tail]), 0.0, 1.0)
    return Interval(float(low), float(high), level, draws)


@dataclass(frozen=True, eq=False)
class _Weighing:
    """Matched detections, each class's by descending score, ready to be weighed by their videos.

    Shape:
        video: (N,); counts: (N,), whether a detection counts where it is wrong; first: (C + 1,)
        bounds of classes; right: for each threshold (R,) rows of right ones, and their classes;
        truth_video, truth_label: (G,).
    """

    video: NDArray[np.intp]
    counts: NDArray[np.bool_]
    first: NDArray[np.intp]
    right: tuple[tuple[NDArray[np.intp], NDArray[np.intp]], ...]
    truth_video: NDArray[np.intp]
    truth_label: NDArray[np.intp]
    unknown: int
    interpolated: bool

    def mean(self, times: NDArray[np.float64]) -> float:
        """The average mAP where video v appears `times[v]` times; 0 without any activity."""
        times = np.append(times, np.ones(self.unknown))
        classes = len(self.first) - 1
        positives = np.bincount(
            self.truth_label, weights=times[self.truth_video], minlength=classes
        )
        occurs = positives > 0
        if not occurs.any():
            return 0.0
        weight = times[self.video]
        ordinary = _sums(np.where(self.counts, weight, 0.0))
        total = 0.0
        for rows, label in self.right:
            own = weight[rows]
            start = np.searchsorted(rows, self.first[label])
            hits_before = _sums(own)
            hits = hits_before[1:] - hits_before[start]
            # Right detections that would not count where wrong, as on ambiguous segments, count.
            extra_before = _sums(np.where(self.counts[rows], 0.0, own))
            seen = ordinary[rows + 1] - ordinary[self.first[label]]
            seen = seen + extra_before[1:] - extra_before[start]
            precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
            if self.interpolated:
                # The best at that recall or any higher, for all classes in one pass: each is
                # lifted over those that come after it.
                lift = 2.0 * (classes - label)
                precision = np.maximum.accumulate((precision + lift)[::-1])[::-1] - lift
            gained = np.bincount(label, weights=precision * own, minlength=classes)
            total += float((gained[occurs] / positives[occurs]).mean())
        return total / len(self.right)


def _weighing(
    annotations: Annotations, predictions: Predictions, protocol: SegmentProtocol
) -> _Weighing:
    tables = tables_of(annotations, predictions)
    found = ranked(tables, protocol)
    matched = match(tables.truth, found, protocol) >= 0
    counts = np.ones(len(found), bool)
    counts[on_ambiguous(tables, found, protocol)] = False
    right = tuple(
        (rows, found.label[rows]) for rows in (np.flatnonzero(column) for column in matched.T)
    )
    return _Weighing(
        video=found.video,
        counts=counts,
        first=np.searchsorted(found.label, np.arange(len(tables.classes) + 1)),
        right=right,
        truth_video=tables.truth.video,
        truth_label=tables.truth.label,
        unknown=len(tables.unknown_videos),
        interpolated=protocol.interpolated,
    )


def _sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the first 0, 1, 2, … values."""
    return np.concatenate([[0.0], np.cumsum(values)])
