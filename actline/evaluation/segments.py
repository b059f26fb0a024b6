"""Mean average precision of detected segments at temporal IoU thresholds.

ActivityNet's, HACS's and THUMOS-14's protocols, each from its published evaluator.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actline.annotations.annotations import Annotations
from actline.errors import AnnotationError
from actline.evaluation.overlap import (
    Pairs,
    Predictions,
    SegmentTable,
    Tables,
    overlapping_pairs,
    published_iou,
    ranking,
    tables_of,
    toolkit_iou,
    toolkit_ranking,
)
from actline.timeline.intervals import temporal_iou

# Rows that are worked on at a time, which bounds the memory.
_ROWS = 400_000
# Thresholds are the bits of one integer while detections are matched.
MOST_THRESHOLDS = 62


@dataclass(frozen=True)
class SegmentProtocol:
    """How detections are matched with true activities, and what is reported.

    Attributes:
        name: shown with every number.
        thresholds: of temporal IoU.
        matching: "detections first" goes through detections by descending score, each taking the
            true activity it overlaps most of those still free (ActivityNet); "activities first"
            goes through true activities as they are listed, each taking the free detection that
            overlaps it most, by more than the threshold (THUMOS-14's own toolkit). Equal scores
            and overlaps are ordered as in the code of each, and overlap is measured as there.
        interpolated: whether precision at a recall is the best at that recall or any higher.
        ambiguous: whether an unmatched detection that overlaps an ambiguous segment, however
            little, counts neither as right nor as wrong.

    Raises:
        ValueError: no threshold, too many, or one that is not above 0 and at most 1.
    """

    name: str
    thresholds: tuple[float, ...]
    matching: Literal["detections first", "activities first"] = "detections first"
    interpolated: bool = True
    ambiguous: bool = False

    def __post_init__(self) -> None:
        if not 0 < len(self.thresholds) <= MOST_THRESHOLDS:
            raise ValueError(f"give 1 to {MOST_THRESHOLDS} tIoU thresholds")
        if not all(0 < threshold <= 1 for threshold in self.thresholds):
            raise ValueError("tIoU thresholds must be above 0 and at most 1")


def _steps(first: float, last: float, count: int) -> tuple[float, ...]:
    """Evenly spaced thresholds, to the bit those of the published evaluator."""
    return tuple(np.linspace(first, last, count).tolist())


ACTIVITYNET = SegmentProtocol("ActivityNet mAP at tIoU 0.5:0.05:0.95", _steps(0.5, 0.95, 10))
HACS = SegmentProtocol("HACS Segments mAP at tIoU 0.5:0.05:0.95", _steps(0.5, 0.95, 10))
# As recent papers report it: ActivityNet's matching, at THUMOS's thresholds.
THUMOS = SegmentProtocol("THUMOS-14 mAP at tIoU 0.3:0.1:0.7", _steps(0.3, 0.7, 5), ambiguous=True)
THUMOS_WIDE = SegmentProtocol(
    "THUMOS-14 mAP at tIoU 0.1:0.1:0.9", _steps(0.1, 0.9, 9), ambiguous=True
)
# TH14evalDet_Updated.m: matching and average precision of the challenge's own toolkit.
THUMOS_TOOLKIT = SegmentProtocol(
    "THUMOS-14 toolkit mAP at tIoU 0.3:0.1:0.7",
    (0.3, 0.4, 0.5, 0.6, 0.7),
    matching="activities first",
    interpolated=False,
    ambiguous=True,
)
# As reported in the years of S-CNN, CDC and R-C3D.
THUMOS_TOOLKIT_WIDE = replace(
    THUMOS_TOOLKIT,
    name="THUMOS-14 toolkit mAP at tIoU 0.1:0.1:0.7",
    thresholds=(0.1, 0.2, *THUMOS_TOOLKIT.thresholds),
)
PROTOCOLS = (ACTIVITYNET, HACS, THUMOS, THUMOS_WIDE, THUMOS_TOOLKIT, THUMOS_TOOLKIT_WIDE)


@dataclass(frozen=True, eq=False)
class SegmentScore:
    """A result; every precision is in [0, 1].

    Attributes:
        protocol: its name, shown with every number.
        thresholds: of temporal IoU, (T,).
        mean: mAP at each threshold over classes that occur, (T,).
        average: over thresholds.
        per_class: average precision, (T, C), NaN for classes that do not occur.
        classes: names, (C,).
        activities: how many true activities each class has, (C,).
        videos: how many are annotated.
        missing: ids of videos that have true activities but no predictions; they count.
        unknown_videos: ids of videos that have predictions but are not annotated.
        unknown_video_predictions: how many predictions those have; wrong ones, as in the
            published evaluators.
        unknown_class_predictions: how many predictions are of a class that is not listed; they
            do not count.
        backward_predictions: how many end before they start; wrong ones, as published.
    """

    protocol: str
    thresholds: tuple[float, ...]
    mean: NDArray[np.float64]
    average: float
    per_class: NDArray[np.float64] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    activities: NDArray[np.intp] = field(repr=False)
    videos: int
    missing: tuple[str, ...] = field(repr=False)
    unknown_videos: tuple[str, ...] = field(repr=False)
    unknown_video_predictions: int
    unknown_class_predictions: int
    backward_predictions: int


def detection_average_precision(
    annotations: Annotations, predictions: Predictions, protocol: SegmentProtocol = ACTIVITYNET
) -> SegmentScore:
    """Score detected segments: by video id, activities with their confidence.

    The truth is scored as it is listed, repeated, empty and overlong activities included. Equal to
    ActivityNet's evaluator and THUMOS-14's toolkit, ties included.

    Raises:
        AnnotationError: there are no true activities, or unusable ones.
        PredictionError: a time or score is not finite.
    """
    tables = tables_of(annotations, predictions)
    per_class = average_precision_of(tables, protocol)
    counts = np.bincount(tables.truth.label, minlength=len(tables.classes))
    mean = per_class[:, counts > 0].mean(axis=1)
    return SegmentScore(
        protocol=protocol.name,
        thresholds=protocol.thresholds,
        mean=mean,
        average=float(mean.mean()),
        per_class=per_class,
        classes=tables.classes,
        activities=counts,
        videos=tables.annotated,
        missing=tables.missing,
        unknown_videos=tables.unknown_videos,
        unknown_video_predictions=tables.unknown_video_predictions,
        unknown_class_predictions=tables.unknown_class_predictions,
        backward_predictions=tables.backward_predictions,
    )


def average_precision_of(tables: Tables, protocol: SegmentProtocol) -> NDArray[np.float64]:
    """Average precision per threshold and class, NaN for classes that do not occur: (T, C).

    Raises:
        AnnotationError: there are no true activities.
    """
    truth = tables.truth
    if not len(truth):
        raise AnnotationError("there is nothing to score: no video has an activity")
    classes = len(tables.classes)
    everything = ranked(tables, protocol)
    bounds = np.searchsorted(everything.label, np.arange(classes + 1))
    counts = np.bincount(truth.label, minlength=classes)
    result = np.full((len(protocol.thresholds), classes), np.nan)
    for first, after in _parts(bounds):
        # Matching is done within a class: some classes at a time take less memory.
        found = everything[slice(bounds[first], bounds[after])]
        inside = (truth.label >= first) & (truth.label < after)
        right = match(truth[inside], found, protocol) >= 0
        counted = np.ones_like(right)
        touches = on_ambiguous(tables, found, protocol)
        counted[touches] = right[touches]
        for label in first + np.flatnonzero(counts[first:after]):
            rows = slice(bounds[label] - bounds[first], bounds[label + 1] - bounds[first])
            precision = precision_at(right[rows], counted[rows])
            result[:, label] = area(
                precision, right[rows], counts[label], interpolated=protocol.interpolated
            )
    return result


def _parts(bounds: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Ranges of classes (first, after the last), of some hundred thousand rows each or one class.

    Args:
        bounds: rows at which classes begin, and the end of the last, (C + 1,).
    """
    first = 0
    while first < len(bounds) - 1:
        reached = np.searchsorted(bounds, bounds[first] + _ROWS, side="right") - 1
        after = max(first + 1, int(reached))
        yield first, after
        first = after


def ranked(tables: Tables, protocol: SegmentProtocol) -> SegmentTable:
    """The predictions by class and descending score, equal ones in the protocol's order."""
    found = tables.predictions
    if protocol.matching == "activities first":
        return found[toolkit_ranking(tables)]
    return found[ranking(found.label, found.score)]


def on_ambiguous(
    tables: Tables, found: SegmentTable, protocol: SegmentProtocol
) -> NDArray[np.intp]:
    """Rows of detections that overlap an ambiguous segment; none where the protocol has none."""
    if not protocol.ambiguous or not len(tables.ambiguous):
        return np.zeros(0, np.intp)
    measure = toolkit_iou if protocol.matching == "activities first" else temporal_iou
    return overlapping_pairs(found, tables.ambiguous, same_class=False, measure=measure).row


def match(truth: SegmentTable, found: SegmentTable, protocol: SegmentProtocol) -> NDArray[np.int32]:
    """Which true activity each prediction is matched with at each threshold, -1 for none.

    Shape:
        found: (N,) rows, those of one class by descending score; returns (N, T).
    """
    thresholds = np.array(protocol.thresholds)
    matched = np.full((len(found), len(thresholds)), -1, np.int32)
    if protocol.matching == "detections first":
        pairs = overlapping_pairs(
            found, truth, same_class=True, least=thresholds.min(), measure=published_iou
        )
        reached = ~(pairs.overlap[:, None] < thresholds)
    else:
        pairs = _activities_first(truth, found, thresholds.min())
        reached = pairs.overlap[:, None] > thresholds
    bits = np.int64(1) << np.arange(len(thresholds))
    taken = _take_free(pairs, reached @ bits, len(found), len(truth))
    pair, threshold = np.nonzero(taken[:, None] & bits)
    matched[pairs.row[pair], threshold] = pairs.other[pair]
    return matched


def _activities_first(truth: SegmentTable, found: SegmentTable, least: float) -> Pairs:
    """Pairs by true activity, then descending overlap, then descending score."""
    pairs = overlapping_pairs(found, truth, same_class=True, least=least, measure=toolkit_iou)
    order = np.lexsort((pairs.row, -pairs.overlap, pairs.other))
    return Pairs(pairs.row[order], pairs.other[order], pairs.overlap[order])


def _take_free(
    pairs: Pairs, reached: NDArray[np.int64], rows: int, others: int
) -> NDArray[np.int64]:
    """Go through pairs in order; take those of which both sides are still free.

    Every threshold is a bit, so that all are matched in one pass: (M,) bits at which a pair
    reaches the threshold to (M,) bits at which it is taken.
    """
    row_taken, other_taken = [0] * rows, [0] * others
    taken = np.zeros(len(reached), np.int64)
    for at in range(0, len(reached), _ROWS):
        step = slice(at, at + _ROWS)
        found = []
        for row, other, bits in zip(
            pairs.row[step].tolist(),
            pairs.other[step].tolist(),
            reached[step].tolist(),
            strict=True,
        ):
            free = bits & ~(row_taken[row] | other_taken[other])
            row_taken[row] |= free
            other_taken[other] |= free
            found.append(free)
        taken[step] = found
    return taken


def precision_at(
    right: NDArray[np.bool_], counted: NDArray[np.bool_], positives: float | None = None
) -> NDArray[np.float64]:
    """Precision after each prediction, by descending score, of those that count: (N, T).

    Args:
        positives: DETAD's normalization: what a full recall counts as, in place of the number
            of true activities, divided by that number. None leaves precision as it is.
    """
    hits = right.cumsum(axis=0, dtype=np.float64)
    seen = counted.cumsum(axis=0, dtype=np.float64)
    if positives is not None:
        misses = seen - hits
        hits = hits * positives
        seen = hits + misses
    return np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)


def area(
    precision: NDArray[np.float64],
    right: NDArray[np.bool_],
    count: int,
    *,
    interpolated: bool = True,
) -> NDArray[np.float64]:
    """Area under precision over recall, which rises by 1 / `count` at each right one: (T,)."""
    if interpolated:
        precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    return np.where(right, precision, 0.0).sum(axis=0) / count
