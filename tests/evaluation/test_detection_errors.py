"""Kinds of errors are told apart, and results are, slowly done, DETAD's definitions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from test_segments import CLASSES, build, data_sets, distinct, plain_overlap, plain_right, sound

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.errors import AnnotationError
from actline.evaluation.detection_errors import (
    ACTIVITYNET,
    KINDS,
    PROTOCOLS,
    THUMOS,
    Buckets,
    FalsePositive,
    diagnose,
)
from actline.evaluation.segments import SegmentProtocol
from actline.timeline import Activity

SMALL = replace(
    ACTIVITYNET,
    thresholds=(0.3, 0.6),
    detections_per_activity=2,
    buckets=(Buckets("length", (2, 4, np.inf)), Buckets("instances", (1, np.inf))),
)


def diagnosis_of(rows, protocol=THUMOS):
    """Of one video with "a" from 0 to 10 and "b" from 20 to 30 seconds."""
    activities = (Activity("a", 0, 10), Activity("b", 20, 30))
    video = AnnotatedVideo("v", "testing", 100.0, activities)
    return diagnose(Annotations(CLASSES, (video,)), {"v": rows}, protocol)


RIGHT = [Activity("a", 0, 10, 0.9), Activity("b", 20, 30, 0.9)]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (Activity("a", 0, 9, 0.5), FalsePositive.DOUBLE),
        (Activity("b", 0, 9, 0.5), FalsePositive.WRONG_LABEL),
        (Activity("a", 0, 3, 0.5), FalsePositive.LOCALIZATION),
        (Activity("b", 0, 3, 0.5), FalsePositive.CONFUSION),
        (Activity("a", 0, 0.5, 0.5), FalsePositive.BACKGROUND),
        (Activity("a", 50, 60, 0.5), FalsePositive.BACKGROUND),
        (Activity("a", 50, 50, 0.5), FalsePositive.BACKGROUND),
    ],
)
def test_each_kind_of_error_is_told(row, kind):
    result = diagnosis_of([*RIGHT, row])
    parts = {impact.kind: impact.part for impact in result.impacts}
    assert parts == {k: pytest.approx(1 / 3 if k == kind else 0) for k in KINDS}
    assert result.normalized == 1.0  # the wrong one comes last, and costs nothing
    assert all(impact.gain == 0 for impact in result.impacts)


def test_removing_errors_gains_what_they_cost():
    wrong = [Activity("a", 50, 60, 0.95), Activity("b", 50, 60, 0.95)]
    result = diagnosis_of([*RIGHT, *wrong])
    gains = {impact.kind: impact.gain for impact in result.impacts}
    assert result.normalized == pytest.approx(0.5)
    assert gains == {k: pytest.approx(0.5 if k == FalsePositive.BACKGROUND else 0) for k in KINDS}
    assert result.profile[0].tolist() == pytest.approx([0, 0, 0, 0, 0, 1])
    assert result.profile[1].tolist() == pytest.approx([1, 0, 0, 0, 0, 0])
    assert result.profile[2:].sum() == 0


def test_results_are_told_by_bucket():
    activities = (Activity("a", 0, 2), Activity("a", 10, 15), Activity("a", 20, 40))
    video = AnnotatedVideo("v", "testing", 100.0, activities)
    annotations = Annotations(CLASSES, (video,))
    result = diagnose(annotations, {"v": activities[1:]}, THUMOS)
    rows = {(r.characteristic, r.bucket): r for r in result.sensitivity}
    assert rows["all", "all"].recall == pytest.approx(2 / 3)
    assert (rows["length", "XS"].recall, rows["length", "S"].recall) == (0, 1)
    assert (rows["length", "XS"].normalized, rows["length", "XL"].normalized) == (0, 1)
    assert np.isnan(rows["length", "M"].recall)
    assert np.isnan(rows["length", "M"].normalized)
    assert rows["coverage", "XS"].activities == 1
    assert rows["coverage", "M"].activities == 1  # 5 of 100 seconds
    assert rows["coverage", "XL"].activities == 1
    assert rows["instances", "S"].activities == 3


def test_every_detection_has_one_kind_and_tables_are_whole():
    result = diagnosis_of([*RIGHT, Activity("a", 3, 12, 0.7)], ACTIVITYNET)
    assert result.profile[:2].sum(axis=1) == pytest.approx([1, 1])
    assert result.protocol == ACTIVITYNET.name
    for header, rows in (
        result.impact_table(),
        result.profile_table(),
        result.sensitivity_table(),
    ):
        assert rows
        assert all(len(row) == len(header) for row in rows)
        assert all(isinstance(cell, str | float | int) for row in rows for cell in row)


def plain_kind(row, activities, threshold) -> FalsePositive:
    # As long as 0 / 0 is no hit, it is no overlap.
    overlaps = [np.nan_to_num(plain_overlap(row, activity)) for activity in activities]
    most = max(overlaps, default=0.0)
    if most < SMALL.least_overlap:
        return FalsePositive.BACKGROUND
    same = activities[overlaps.index(most)].label == row.label
    if most >= threshold:
        return FalsePositive.DOUBLE if same else FalsePositive.WRONG_LABEL
    return FalsePositive.LOCALIZATION if same else FalsePositive.CONFUSION


def plain_area(hits, full: float, count: int) -> float:
    """Interpolated AP with recall 1 counted as `full` right detections."""
    recall = [sum(hits[: n + 1]) / count for n in range(len(hits))]
    misses = [n + 1 - sum(hits[: n + 1]) for n in range(len(hits))]
    precision = [
        r * full / (r * full + m) if r or m else 0 for r, m in zip(recall, misses, strict=True)
    ]
    best = [max(precision[n:]) for n in range(len(hits))]
    return sum(p for p, hit in zip(best, hits, strict=True) if hit) / count


def plain_impacts(annotations, predictions):
    """Average mAP_N of the highest scores, and by kind their part and what mAP_N gains."""
    truths = {video.id: video.activities for video in annotations.videos}
    counts = {c: sum(a.label == c for v in truths.values() for a in v) for c in CLASSES}
    counts = {label: count for label, count in counts.items() if count}
    full = sum(counts.values()) / len(counts)
    base: list[float] = []
    without: dict[FalsePositive, list[float]] = {kind: [] for kind in KINDS}
    seen: list[FalsePositive | None] = []
    for threshold in SMALL.thresholds:
        matching = SegmentProtocol("", (threshold,))
        for label, count in counts.items():
            rows = [(v, r) for v, found in predictions.items() for r in found if r.label == label]
            rows.sort(key=lambda item: -item[1].confidence)
            limit = SMALL.detections_per_activity * count
            hits, _, _ = plain_right(annotations, predictions, label, threshold, matching)
            hits = hits[:limit]
            kinds = [
                None if hit else plain_kind(row, truths.get(video, ()), threshold)
                for hit, (video, row) in zip(hits, rows, strict=False)
            ]
            seen += kinds
            base.append(plain_area(hits, full, count))
            for kind, results in without.items():
                left = [hit for hit, of in zip(hits, kinds, strict=True) if of != kind]
                results.append(plain_area(left, full, count))
    parts = {kind: seen.count(kind) / max(1, len(seen)) for kind in KINDS}
    gains = {kind: np.mean(results) - np.mean(base) for kind, results in without.items()}
    return float(np.mean(base)), parts, gains


@given(data_sets)
def test_impacts_are_their_definition(data_set):
    annotations, predictions = build(data_set)
    annotations = sound(annotations)
    predictions = distinct(predictions, 0)
    result = diagnose(annotations, predictions, SMALL)
    base, parts, gains = plain_impacts(annotations, predictions)
    assert result.normalized == pytest.approx(base)
    assert {i.kind: i.part for i in result.impacts} == pytest.approx(parts)
    assert {i.kind: i.gain for i in result.impacts} == pytest.approx(gains)


@given(data_sets)
def test_buckets_hold_every_activity_once_and_their_recalls_average_to_the_whole(data_set):
    annotations, predictions = build(data_set)
    result = diagnose(annotations, predictions, SMALL)
    whole, *rows = result.sensitivity
    for buckets in SMALL.buckets:
        own = [row for row in rows if row.characteristic == buckets.characteristic]
        found = sum(row.recall * row.activities for row in own if row.activities)
        assert sum(row.activities for row in own) == whole.activities
        assert found == pytest.approx(whole.recall * whole.activities)


@given(data_sets)
def test_perfect_detections_have_no_errors(data_set):
    annotations = sound(build(data_set)[0])
    perfect = {video.id: video.activities for video in annotations.videos}
    for protocol in PROTOCOLS:
        result = diagnose(annotations, perfect, protocol)
        assert result.normalized == pytest.approx(1.0)
        assert sum(impact.part for impact in result.impacts) == 0
        assert result.sensitivity[0].recall == pytest.approx(1.0)


def test_no_detections_and_no_activities():
    result = diagnosis_of([])
    assert result.normalized == 0.0
    assert result.sensitivity[0].recall == 0.0
    video = AnnotatedVideo("v", "testing", 10.0, (Activity("a", 3, 3), Activity("a", 0, 11)))
    with pytest.raises(AnnotationError, match="nothing to diagnose"):
        diagnose(Annotations(CLASSES, (video,)), {})
