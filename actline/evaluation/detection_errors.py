"""What a detector gets wrong: DETAD's false positives, false negatives and sensitivity.

Alwassel et al., "Diagnosing Error in Temporal Action Detectors", ECCV 2018, with the choices of
the published code where the paper is silent.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from actline.annotations.annotations import Annotations
from actline.errors import AnnotationError
from actline.evaluation.overlap import (
    Predictions,
    SegmentTable,
    overlapping_pairs,
    ranking,
    tables_of,
)
from actline.evaluation.segments import SegmentProtocol, area, match, precision_at

Table = tuple[tuple[str, ...], list[tuple[str | float, ...]]]


class FalsePositive(StrEnum):
    """Why a detection is wrong, by the true activity of its video that it overlaps most."""

    DOUBLE = "double detection"  # of its class, overlapped enough, but found already
    WRONG_LABEL = "wrong label"  # of another class, overlapped enough
    LOCALIZATION = "localization"  # of its class, overlapped a little
    CONFUSION = "confusion"  # of another class, overlapped a little
    BACKGROUND = "background"  # overlapped hardly or not at all


KINDS = tuple(FalsePositive)


@dataclass(frozen=True)
class Buckets:
    """Ranges of a characteristic of true activities, smallest first.

    Attributes:
        characteristic: "coverage" is an activity's share of its video, "length" its seconds, and
            "instances" how many of its class its video has.
        upto: the largest value in each bucket.
    """

    characteristic: str
    upto: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """XS, S, M, L, XL: as in the paper."""
        return ("XS", "S", "M", "L", "XL")[: len(self.upto)]


@dataclass(frozen=True)
class DiagnosisProtocol:
    """DETAD's constants for a data set.

    Attributes:
        name: shown with every number.
        thresholds: of temporal IoU; all results are means over them.
        buckets: those that results are broken down by.
        least_overlap: below it a wrong detection counts as background.
        detections_per_activity: false positives are analysed among the highest scores: this many
            times as many as a class has activities.
        least_precision: for false negatives, detections count only where the normalized
            precision is above it.
    """

    name: str
    thresholds: tuple[float, ...]
    buckets: tuple[Buckets, ...]
    least_overlap: float = 0.1
    detections_per_activity: int = 10
    least_precision: float = 0.05


ACTIVITYNET = DiagnosisProtocol(
    "DETAD, ActivityNet, tIoU 0.5:0.05:0.95",
    tuple(np.linspace(0.5, 0.95, 10).tolist()),
    (
        Buckets("coverage", (0.2, 0.4, 0.6, 0.8, 1.0)),
        Buckets("length", (30, 60, 120, 180, np.inf)),
        Buckets("instances", (1, 4, 8, np.inf)),
    ),
)
THUMOS = DiagnosisProtocol(
    "DETAD, THUMOS-14, tIoU 0.5",
    (0.5,),
    (
        Buckets("coverage", (0.02, 0.04, 0.06, 0.08, 1.0)),
        Buckets("length", (3, 6, 12, 18, np.inf)),
        Buckets("instances", (1, 40, 80, np.inf)),
    ),
)
PROTOCOLS = (ACTIVITYNET, THUMOS)


@dataclass(frozen=True)
class ErrorImpact:
    """One kind of false positive: its share of the detections, and what mAP_N gains without it."""

    kind: FalsePositive
    part: float
    gain: float


@dataclass(frozen=True)
class Sensitivity:
    """Results for the true activities of one bucket.

    Attributes:
        characteristic, bucket: which; ("all", "all") for all of them.
        activities: how many true activities it has.
        recall: share of them that is found; the rest are false negatives.
        normalized: average mAP_N; NaN where the bucket is empty, as is recall.
    """

    characteristic: str
    bucket: str
    activities: int
    recall: float
    normalized: float


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """DETAD's results; numbers are in [0, 1], means over thresholds.

    mAP_N is the mean average precision with precision normalized as though every class had the
    same number of true activities.

    Attributes:
        protocol: its name, shown with every number.
        normalized: average mAP_N of the detections among which false positives are analysed.
        impacts: one for each kind of false positive.
        profile: shares that are right, then of each kind, among the first, second, … highest
            scores, as many at a time as a class has activities: (G, 6).
        sensitivity: all activities, then by bucket.
        left_out: how many true activities are not analysed, as published: those without length,
            and those longer than their video.
    """

    protocol: str
    normalized: float
    impacts: tuple[ErrorImpact, ...]
    profile: NDArray[np.float64] = field(repr=False)
    sensitivity: tuple[Sensitivity, ...]
    left_out: int

    def impact_table(self) -> Table:
        """Header and rows: a row for each kind of false positive."""
        header = ("error", "part of detections", "mAP_N gained without")
        return header, [(str(row.kind), row.part, row.gain) for row in self.impacts]

    def profile_table(self) -> Table:
        """Header and rows: a row for each group of detections, 1G the highest scores."""
        header = ("detections", "right", *(str(kind) for kind in KINDS))
        rows: list[tuple[str | float, ...]] = []
        for number, parts in enumerate(self.profile.tolist(), 1):
            rows.append((f"{number}G", *parts))
        return header, rows

    def sensitivity_table(self) -> Table:
        """Header and rows: a row for each bucket of each characteristic."""
        header = ("characteristic", "bucket", "activities", "recall", "mAP_N")
        rows: list[tuple[str | float, ...]] = [
            (row.characteristic, row.bucket, row.activities, row.recall, row.normalized)
            for row in self.sensitivity
        ]
        return header, rows


def diagnose(
    annotations: Annotations, predictions: Predictions, protocol: DiagnosisProtocol = ACTIVITYNET
) -> Diagnosis:
    """Analyse detections: by video id, activities with their confidence.

    Activities of no length, or longer than their video, are left out, as in the published code.
    That code rounds the mean number of activities a class down; here it is not rounded.

    Raises:
        AnnotationError: there are no true activities, or unusable ones.
        PredictionError: a time or score is not finite.
    """
    tables = tables_of(annotations, predictions)
    durations = np.array([video.duration or np.nan for video in annotations.videos])
    coverage = (tables.truth.end - tables.truth.start) / durations[tables.truth.video]
    usable = (tables.truth.end > tables.truth.start) & ~(coverage > 1)
    truth, coverage = tables.truth[usable], coverage[usable]
    if not len(truth):
        raise AnnotationError("there is nothing to diagnose: no video has an activity")
    values = {
        "coverage": coverage,
        "length": truth.end - truth.start,
        "instances": _instances(truth, len(tables.classes)),
    }
    found = tables.predictions[ranking(tables.predictions.label, tables.predictions.score)]
    matching = SegmentProtocol(protocol.name, protocol.thresholds)
    scores = _Scores(truth, found, match(truth, found, matching), len(tables.classes))
    kinds = _kinds(truth, found, scores.matched, protocol)

    group = scores.rank // np.maximum(1, scores.counts[found.label])
    looked_at = (group < protocol.detections_per_activity) & (scores.counts[found.label] > 0)
    base = scores.normalized(np.broadcast_to(looked_at[:, None], kinds.shape))
    impacts = []
    for code, kind in enumerate(KINDS, 1):
        here = (kinds == code) & looked_at[:, None]
        gain = scores.normalized(looked_at[:, None] & ~here) - base
        impacts.append(ErrorImpact(kind, float(here.sum() / max(1, kinds[looked_at].size)), gain))
    return Diagnosis(
        protocol=protocol.name,
        normalized=base,
        impacts=tuple(impacts),
        profile=_profile(kinds[looked_at], group[looked_at], protocol.detections_per_activity),
        sensitivity=_sensitivity(scores, values, protocol),
        left_out=int((~usable).sum()),
    )


class _Scores:
    """Normalized precision of matched detections, over chosen detections and activities.

    Shape:
        matched: (N, T), the true activity of each of `found`, or -1; counts: (C,) activities a
        class; rank: (N,) place of a detection among its class's.
    """

    def __init__(
        self, truth: SegmentTable, found: SegmentTable, matched: NDArray[np.int32], classes: int
    ) -> None:
        self.truth = truth
        self.matched = matched
        self.counts = np.bincount(truth.label, minlength=classes)
        self.bounds = np.searchsorted(found.label, np.arange(classes + 1))
        self.rank = np.arange(len(found)) - self.bounds[found.label]
        self.per_class = len(truth) / np.count_nonzero(self.counts)

    def normalized(
        self, counted: NDArray[np.bool_], activities: NDArray[np.bool_] | None = None
    ) -> float:
        """Average mAP_N of the detections `counted` (N, T), for some activities (G,), or all.

        The mean is over classes that have any of them; NaN if none has.
        """
        chosen = self.truth.label if activities is None else self.truth.label[activities]
        counts = np.bincount(chosen, minlength=len(self.counts))
        right = (self.matched >= 0) & counted
        results = []
        for label in np.flatnonzero(counts):
            rows = slice(self.bounds[label], self.bounds[label + 1])
            full = self.per_class / counts[label]
            precision = precision_at(right[rows], counted[rows], full)
            results.append(area(precision, right[rows], counts[label]))
        return float(np.mean(results)) if results else float("nan")

    def found_at(self, least_precision: float) -> NDArray[np.bool_]:
        """Which activities are found at which threshold by precise enough detections: (G, T)."""
        result = np.zeros((len(self.truth), self.matched.shape[1]), bool)
        right = self.matched >= 0
        for label in np.flatnonzero(self.counts):
            rows = slice(self.bounds[label], self.bounds[label + 1])
            full = self.per_class / self.counts[label]
            precision = precision_at(right[rows], np.ones_like(right[rows]), full)
            row, threshold = np.nonzero(right[rows] & (precision > least_precision))
            result[self.matched[rows][row, threshold], threshold] = True
        return result


def _instances(truth: SegmentTable, classes: int) -> NDArray[np.float64]:
    """How many activities of its class each activity's video has: (G,)."""
    _, group, counts = np.unique(
        truth.video * classes + truth.label, return_inverse=True, return_counts=True
    )
    return counts[group].astype(np.float64)


def _kinds(
    truth: SegmentTable,
    found: SegmentTable,
    matched: NDArray[np.int32],
    protocol: DiagnosisProtocol,
) -> NDArray[np.intp]:
    """0 for a right detection, else 1 and up for its kind in `KINDS`: (N, T)."""
    pairs = overlapping_pairs(found, truth, same_class=False)
    # The most overlapped activity; of equally overlapped ones the first.
    order = np.lexsort((pairs.other, -pairs.overlap, pairs.row))
    row, first = np.unique(pairs.row[order], return_index=True)
    overlap, same = np.zeros(len(found)), np.zeros(len(found), bool)
    overlap[row] = pairs.overlap[order][first]
    same[row] = truth.label[pairs.other[order][first]] == found.label[row]
    enough = overlap[:, None] >= np.array(protocol.thresholds)
    near = (overlap >= protocol.least_overlap)[:, None]
    code = {kind: number for number, kind in enumerate(KINDS, 1)}
    of_class = np.where(enough, code[FalsePositive.DOUBLE], code[FalsePositive.LOCALIZATION])
    of_other = np.where(enough, code[FalsePositive.WRONG_LABEL], code[FalsePositive.CONFUSION])
    wrong = np.where(same[:, None], of_class, of_other)
    wrong = np.where(enough | near, wrong, code[FalsePositive.BACKGROUND])
    return np.where(matched >= 0, 0, wrong)


def _profile(kinds: NDArray[np.intp], group: NDArray[np.intp], groups: int) -> NDArray[np.float64]:
    """Shares of each kind, right ones first, in each group, mean over thresholds: (G, 6)."""
    cell = group[:, None] * (len(KINDS) + 1) + kinds
    counts = np.bincount(cell.ravel(), minlength=groups * (len(KINDS) + 1))
    counts = counts.reshape(groups, len(KINDS) + 1)
    return counts / np.maximum(1, counts.sum(axis=1, keepdims=True))


def _sensitivity(
    scores: _Scores, values: dict[str, NDArray[np.float64]], protocol: DiagnosisProtocol
) -> tuple[Sensitivity, ...]:
    found = scores.found_at(protocol.least_precision)
    everything = np.ones(scores.matched.shape, bool)
    rows = [
        Sensitivity("all", "all", len(found), float(found.mean()), scores.normalized(everything))
    ]
    for buckets in protocol.buckets:
        value = values[buckets.characteristic]
        bucket = np.searchsorted(buckets.upto, value, side="left")  # past the end for NaN
        for number, name in enumerate(buckets.names):
            inside = bucket == number
            # Detections of other activities, at whatever threshold, count neither way. The last
            # entry is what -1, no activity, points to.
            unrelated = ~np.append(inside, True)
            dropped = unrelated[scores.matched].any(axis=1, keepdims=True)
            counted = np.broadcast_to(~dropped, everything.shape)
            rows.append(
                Sensitivity(
                    buckets.characteristic,
                    name,
                    int(inside.sum()),
                    float(found[inside].mean()) if inside.any() else float("nan"),
                    scores.normalized(counted, inside),
                )
            )
    return tuple(rows)
