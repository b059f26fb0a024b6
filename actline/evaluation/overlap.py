"""Segments of a whole data set as columns, and how much those of one video overlap."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actline.annotations.annotations import Annotations
from actline.errors import AnnotationError, PredictionError
from actline.timeline import Activity
from actline.timeline.columns import SegmentColumns
from actline.timeline.intervals import intersection_and_union, temporal_iou

# Pairs that are measured at a time.
_CELLS = 1 << 20

Predictions = Mapping[str, Sequence[Activity]]
Measure = Callable[[ArrayLike, ArrayLike, ArrayLike, ArrayLike], NDArray[np.float64]]
"""How much segments overlap, from starts and ends of the ones and of the others."""


def published_iou(
    start: ArrayLike, end: ArrayLike, other_start: ArrayLike, other_end: ArrayLike
) -> NDArray[np.float64]:
    """ActivityNet's: temporal IoU, and NaN for 0 / 0, as for two empty segments at one time.

    That evaluator takes such a pair for a hit, as NaN is not below a threshold.

    Shape:
        all four broadcast against each other; returns their common shape.
    """
    shared, union = intersection_and_union(start, end, other_start, other_end)
    with np.errstate(invalid="ignore"):
        return shared / union


def toolkit_iou(
    start: ArrayLike, end: ArrayLike, other_start: ArrayLike, other_end: ArrayLike
) -> NDArray[np.float64]:
    """THUMOS-14's own toolkit's: ends in either order, and over what the two span together.

    That is the union of segments that overlap, rounded as there, where thresholds are met exactly.

    Shape:
        all four broadcast against each other; returns their common shape.
    """
    first, last = np.minimum(start, end), np.maximum(start, end)
    other_first, other_last = np.minimum(other_start, other_end), np.maximum(other_start, other_end)
    shared = np.minimum(last, other_last) - np.maximum(first, other_first)
    span = np.maximum(last, other_last) - np.minimum(first, other_first)
    return np.divide(shared, span, out=np.zeros_like(shared), where=shared > 0)


@dataclass(frozen=True, eq=False)
class SegmentTable:
    """Segments of many videos, one a row, in the order they were given in.

    Shape:
        video, label: (N,) numbers from 0; start, end: (N,) seconds; score: (N,).
    """

    video: NDArray[np.intp]
    label: NDArray[np.intp]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, rows: NDArray | slice) -> "SegmentTable":
        """The chosen rows, by indices, a mask or a slice."""
        return SegmentTable(
            self.video[rows], self.label[rows], self.start[rows], self.end[rows], self.score[rows]
        )


@dataclass(frozen=True, eq=False)
class Tables:
    """Annotations and predictions as columns, with what does not fit together counted.

    Attributes:
        classes: names in the order of the label numbers.
        videos: ids in the order of the video numbers; after the annotated ones come those that
            only have predictions.
        annotated: how many videos are annotated.
        truth: the true activities, as listed.
        ambiguous: segments on which a detection is neither right nor wrong; their label is -1.
        predictions: those of known classes.
        missing: ids of videos that have true activities but no predictions.
        unknown_videos: ids of videos that have predictions but are not annotated.
        unknown_video_predictions: how many predictions are in those; they are in `predictions`.
        unknown_class_predictions: how many are of a class that is not listed; they are not.
        backward_predictions: how many end before they start: they overlap nothing.
    """

    classes: tuple[str, ...]
    videos: tuple[str, ...]
    annotated: int
    truth: SegmentTable
    ambiguous: SegmentTable
    predictions: SegmentTable
    missing: tuple[str, ...]
    unknown_videos: tuple[str, ...]
    unknown_video_predictions: int
    unknown_class_predictions: int
    backward_predictions: int


def tables_of(
    annotations: Annotations, predictions: Predictions, *, class_agnostic: bool = False
) -> Tables:
    """Put annotations and predictions into columns.

    Args:
        class_agnostic: labels mean nothing, and are all 0.

    Raises:
        AnnotationError: an activity's class is not listed, or its times are unusable.
        PredictionError: a prediction's time or score is not finite.
    """
    ids = [video.id for video in annotations.videos]
    unknown = tuple(video for video in predictions if video not in annotations)
    numbers = {video: number for number, video in enumerate((*ids, *unknown))}
    classes = {name: number for number, name in enumerate(annotations.classes)}
    if class_agnostic:
        classes = None
    truth = _columns(enumerate(v.truth for v in annotations.videos), classes)
    if (truth.label < 0).any():
        video = annotations.videos[truth.video[(truth.label < 0).argmax()]]
        raise AnnotationError(f"video {video.id} has an activity of a class that is not listed")
    ambiguous = _columns(enumerate(v.ambiguous for v in annotations.videos), classes)
    for table in (truth, ambiguous):
        fault = _first_fault(table)
        if fault is not None:
            raise AnnotationError(f"video {ids[table.video[fault[0]]]} has an activity {fault[1]}")

    given = _columns(((numbers[v], rows) for v, rows in predictions.items()), classes)
    names = (*ids, *unknown)
    fault = _first_fault(given)
    if fault is not None:
        raise PredictionError(f"video {names[given.video[fault[0]]]} has a prediction {fault[1]}")
    listed = given.label >= 0
    unlisted = int((~listed).sum())
    found = given[listed] if unlisted else given
    with_truth = dict.fromkeys(truth.video.tolist())
    return Tables(
        classes=annotations.classes,
        videos=names,
        annotated=len(ids),
        truth=truth,
        ambiguous=ambiguous,
        predictions=found,
        missing=tuple(names[v] for v in with_truth if not predictions.get(names[v])),
        unknown_videos=unknown,
        unknown_video_predictions=int((found.video >= len(ids)).sum()),
        unknown_class_predictions=unlisted,
        backward_predictions=int((found.end < found.start).sum()),
    )


def _columns(
    videos: Iterable[tuple[int, Sequence[Activity]]], classes: Mapping[str, int] | None
) -> SegmentTable:
    numbers: list[int] = []
    parts: list[SegmentColumns] = []
    for number, activities in videos:
        numbers.append(number)
        parts.append(SegmentColumns.of(activities))
    counts = np.array([len(part) for part in parts], np.intp)
    return SegmentTable(
        video=np.repeat(np.array(numbers, np.intp), counts),
        label=_labels(parts, classes),
        start=_joined([part.start for part in parts]),
        end=_joined([part.end for part in parts]),
        score=_joined([part.confidence for part in parts]),
    )


def _labels(parts: Sequence[SegmentColumns], classes: Mapping[str, int] | None) -> NDArray[np.intp]:
    """Each segment's class, -1 for one that is not listed; all 0 without classes."""
    if classes is None:
        return np.zeros(sum(map(len, parts)), np.intp)
    # The names are one object for all videos of a file.
    known: dict[int, NDArray[np.intp]] = {}
    labels = [np.zeros(0, np.intp)]
    for part in parts:
        if id(part.names) not in known:
            known[id(part.names)] = np.array([classes.get(n, -1) for n in part.names], np.intp)
        if len(part):
            labels.append(known[id(part.names)][part.label])
    return np.concatenate(labels)


def _joined(columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(0), *columns])


def _first_fault(table: SegmentTable) -> tuple[int, str] | None:
    """The first row with unusable numbers, and what is wrong with it."""
    for wrong, what in (
        (~(np.isfinite(table.start) & np.isfinite(table.end)), "whose time is not a finite number"),
        (~np.isfinite(table.score), "whose score is not a finite number"),
    ):
        if wrong.any():
            return int(wrong.argmax()), what
    return None


def ranking(group: NDArray[np.intp], score: NDArray[np.float64]) -> NDArray[np.intp]:
    """The order by group (a class, or a video), and within a group by descending score: (N,).

    Of equal scores the order is the published evaluators': NumPy's own sort, reversed.
    """
    order = np.argsort(group, kind="stable")
    bounds = np.flatnonzero(np.diff(group[order], prepend=-1, append=-1))
    for first, after in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        rows = order[first:after]
        order[first:after] = rows[score[rows].argsort()[::-1]]
    return order


def toolkit_ranking(tables: Tables) -> NDArray[np.intp]:
    """The order by class and descending score of the predictions: (N,).

    Equal scores are ordered by their videos' ids, then as given, as THUMOS-14's toolkit has them.
    """
    names = np.array(tables.videos)
    place = np.empty(len(names), np.intp)
    place[np.argsort(names, kind="stable")] = np.arange(len(names))
    found = tables.predictions
    return np.lexsort((place[found.video], -found.score, found.label))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows of two tables that belong together, and how much they overlap.

    Shape:
        row, other: (M,) indices into the two tables; overlap: (M,) temporal IoU.
    """

    row: NDArray[np.intp]
    other: NDArray[np.intp]
    overlap: NDArray[np.float64]


def overlapping_pairs(
    table: SegmentTable,
    others: SegmentTable,
    *,
    same_class: bool,
    least: float = 0.0,
    measure: Measure = temporal_iou,
) -> Pairs:
    """All pairs in the same video that overlap, and at least by `least`.

    Pairs are ordered by their row, and those of one row by descending overlap, NaN first.

    Args:
        same_class: only pairs of one class.
        least: smallest overlap; pairs without any overlap never count.
        measure: of overlap; where it gives NaN, that counts as enough.
    """
    rows, indices, overlaps = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)], [np.zeros(0)]
    for of_rows, of_others in _grouped(table, others, same_class=same_class):
        overlap = measure(
            table.start[of_rows, None],
            table.end[of_rows, None],
            others.start[of_others],
            others.end[of_others],
        )
        # The order of the published evaluators, to the last tie: NumPy's own sort, reversed.
        order = np.argsort(overlap, axis=1)[:, ::-1]
        overlap = np.take_along_axis(overlap, order, axis=1)
        there = ((overlap >= least) & (overlap > 0)) | np.isnan(overlap)
        rows.append(np.broadcast_to(of_rows[:, None], there.shape)[there])
        indices.append(np.take_along_axis(of_others, order, axis=1)[there])
        overlaps.append(overlap[there])
    row = np.concatenate(rows)
    order = np.argsort(row, kind="stable")
    return Pairs(row[order], np.concatenate(indices)[order], np.concatenate(overlaps)[order])


def _grouped(
    table: SegmentTable, others: SegmentTable, *, same_class: bool
) -> Iterable[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows that have equally many others, with these: (M,) and (M, n), steps for each n."""
    key, other_key = table.video, others.video
    if same_class:
        classes = 1 + max(table.label.max(initial=0), others.label.max(initial=0))
        key, other_key = key * classes + table.label, other_key * classes + others.label
    order = np.argsort(other_key, kind="stable")
    first = np.searchsorted(other_key[order], key, side="left")
    count = np.searchsorted(other_key[order], key, side="right") - first
    for size in np.unique(count[count > 0]):
        together = np.flatnonzero(count == size)
        # In steps that bound the memory, however many overlap.
        step = max(1, _CELLS // int(size))
        for at in range(0, len(together), step):
            rows = together[at : at + step]
            yield rows, order[first[rows, None] + np.arange(size)]
