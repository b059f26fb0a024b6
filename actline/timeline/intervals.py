"""Arithmetic of temporal segments for the whole package: overlap, clipping, merging.

A segment is given by its start and its end, in seconds or in any other unit of time.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def clip(
    start: ArrayLike, end: ArrayLike, *, first: ArrayLike = 0.0, last: ArrayLike
) -> tuple[Floats, Floats]:
    """Clip segments to the interval from `first` to `last`.

    A segment outside the interval is returned with its end before its start.

    Shape:
        all four broadcast against each other; returns start and end, each of their common shape.
    """
    clipped_start = np.maximum(np.asarray(start, np.float64), first)
    return clipped_start, np.minimum(np.asarray(end, np.float64), last)


def intersection_and_union(
    start: ArrayLike, end: ArrayLike, other_start: ArrayLike, other_end: ArrayLike
) -> tuple[Floats, Floats]:
    """Lengths of the intersection and union of segments.

    Shape:
        all four broadcast against each other; returns two of their common shape.
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    other_start, other_end = np.asarray(other_start, np.float64), np.asarray(other_end, np.float64)
    shared_start, shared_end = clip(start, end, first=other_start, last=other_end)
    shared = np.maximum(shared_end - shared_start, 0.0)
    return shared, ((other_end - other_start) + (end - start)) - shared


def temporal_iou(
    start: ArrayLike, end: ArrayLike, other_start: ArrayLike, other_end: ArrayLike
) -> Floats:
    """Temporal intersection over union (tIoU) of segments, 0 if both have no length.

    Shape:
        all four broadcast against each other; returns their common shape.

    Examples:
        >>> temporal_iou([0.0, 2.0], [4.0, 6.0], 0.0, 4.0)
        array([1.        , 0.33333333])
    """
    shared, union = intersection_and_union(start, end, other_start, other_end)
    # If the union is 0, so is the intersection: dividing by 1 gives 0.
    return shared / np.where(union > 0, union, 1.0)


def best_matches(
    proposals: NDArray[np.float64], segments: NDArray[np.float64]
) -> NDArray[np.float64]:
    """For each proposal the segment with the largest temporal IoU: (N, 2) and (M, 2) to (N, 2)."""
    overlaps = temporal_iou(proposals[:, None, 0], proposals[:, None, 1], *segments.T)
    return segments[overlaps.argmax(axis=1)]


def merge(segments: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Merge segments that overlap or touch; returns them ordered by start.

    Examples:
        >>> merge([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0)])
        [(0.0, 3.0), (5.0, 6.0)]
    """
    merged: list[tuple[float, float]] = []
    for start, end in sorted(segments):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged
