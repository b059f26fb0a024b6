"""Segment mAP equals ActivityNet's published evaluator and, slowly done, each definition."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.errors import AnnotationError, PredictionError
from actline.evaluation.segments import (
    ACTIVITYNET,
    PROTOCOLS,
    THUMOS,
    THUMOS_TOOLKIT,
    THUMOS_TOOLKIT_WIDE,
    SegmentProtocol,
    detection_average_precision,
)
from actline.timeline import Activity

CLASSES = ("a", "b")


def from_published(database, results):
    """ActivityNet's two files in memory."""
    videos = tuple(
        AnnotatedVideo(
            key,
            video["subset"],
            video["duration"],
            tuple(Activity(a["label"], *a["segment"]) for a in video["annotations"]),
        )
        for key, video in database["database"].items()
    )
    rows = {
        key: [Activity(r["label"], *r["segment"], r["score"]) for r in found]
        for key, found in results["results"].items()
    }
    classes = tuple(sorted({a.label for video in videos for a in video.activities}))
    return Annotations(classes, videos), rows


def published_case(goldens):
    path = goldens.folder / "evaluation_data.py"
    spec = importlib.util.spec_from_file_location("evaluation_data", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stored = json.loads((goldens.folder / "activitynet_eval.json").read_text())
    data = module.make(stored["seed"], stored["videos"], stored["predictions_per_video"])
    return stored, *from_published(*data)


def plain_overlap(a, b) -> float:
    """ActivityNet's: 0 / 0 is not a number, and not below any threshold."""
    shared = max(0.0, min(a.end, b.end) - max(a.start, b.start))
    union = (a.end - a.start) + (b.end - b.start) - shared
    return shared / union if union else float("nan")


def spanned_overlap(a, b) -> float:
    """The toolkit's: ends in either order, over what both span."""
    (a0, a1), (b0, b1) = sorted((a.start, a.end)), sorted((b.start, b.end))
    shared = min(a1, b1) - max(a0, b0)
    return shared / (max(a1, b1) - min(a0, b0)) if shared > 0 else 0.0


def reversed_sort(values) -> list[int]:
    return np.argsort(np.array(values, float))[::-1].tolist()


def plain_right(annotations, predictions, label, threshold, protocol):
    """Of one class's predictions by falling score: right or not, and whether each counts."""
    truths = {v.id: [a for a in v.truth if a.label == label] for v in annotations.videos}
    ambiguous = {v.id: v.ambiguous for v in annotations.videos}
    rows = [(v, r) for v, found in predictions.items() for r in found if r.label == label]
    right = [False] * len(rows)
    if protocol.matching == "detections first":
        overlap_of = plain_overlap
        rows = [rows[i] for i in reversed_sort([r.confidence for _, r in rows])]
        free = {v: [True] * len(found) for v, found in truths.items()}
        for place, (video, row) in enumerate(rows):
            overlaps = [plain_overlap(row, a) for a in truths.get(video, [])]
            for index in reversed_sort(overlaps):
                if not overlaps[index] < threshold and free[video][index]:
                    free[video][index] = False
                    right[place] = True
                    break
    else:
        overlap_of = spanned_overlap
        rows.sort(key=lambda row: (-row[1].confidence, row[0]))
        for video, activities in truths.items():
            for activity in activities:
                best, most = None, threshold
                for place, (of_video, row) in enumerate(rows):
                    overlap = spanned_overlap(row, activity)
                    if of_video == video and not right[place] and overlap > most:
                        best, most = place, overlap
                if best is not None:
                    right[best] = True
    touched = [any(overlap_of(r, a) > 0 for a in ambiguous.get(v, ())) for v, r in rows]
    counted = [
        hit or not (protocol.ambiguous and touch) for hit, touch in zip(right, touched, strict=True)
    ]
    return right, counted, sum(len(found) for found in truths.values())


def plain_precision(annotations, predictions, label, threshold, protocol) -> float:
    right, counted, total = plain_right(annotations, predictions, label, threshold, protocol)
    hits = [hit for hit, counts in zip(right, counted, strict=True) if counts]
    precision = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
    if protocol.interpolated:
        precision = [max(precision[n:]) for n in range(len(precision))]
    return sum(p for p, hit in zip(precision, hits, strict=True) if hit) / total


# Whole seconds and few scores, so that ties are everywhere.
segment = st.tuples(
    st.sampled_from(["a", "b"]), st.integers(0, 8), st.integers(0, 5), st.integers(0, 3)
)
segments = st.lists(segment, max_size=8)
data_sets = st.lists(st.tuples(segments, segments, segments), min_size=1, max_size=3)


def build(data_set):
    """Annotations, with a class "a" at least once, and predictions, one more video's too."""
    videos, predictions = [], {}
    for number, (truth, ambiguous, found) in enumerate(data_set):
        # Some of no length, some backwards, some twice: as published files have them.
        activities = [Activity(label, s, s + n - 1) for label, s, n, _ in truth]
        if not number:
            activities.append(Activity("a", 1.0, 4.0))
        unsure = tuple(Activity("Ambiguous", s, s + n + 1) for _, s, n, _ in ambiguous[:2])
        videos.append(AnnotatedVideo(f"v{number}", "testing", 20.0, tuple(activities), unsure))
        rows = [Activity(label, s, s + n - 1, score / 4) for label, s, n, score in found]
        predictions[f"v{number}" if number != 1 else "other"] = rows
    return Annotations(CLASSES, tuple(videos)), predictions


def sound(annotations: Annotations) -> Annotations:
    """Without activities of no length, which a detection of them may not find."""
    videos = tuple(
        replace(v, activities=tuple(a for a in v.activities if a.end > a.start))
        for v in annotations.videos
    )
    return replace(annotations, videos=videos)


def test_the_published_evaluator_is_reproduced(goldens):
    stored, annotations, predictions = published_case(goldens)
    score = detection_average_precision(annotations, predictions)
    assert score.thresholds == pytest.approx(stored["tiou"], abs=0)
    assert np.abs(score.mean - stored["mAP"]).max() < 1e-9
    assert score.average == pytest.approx(stored["average_mAP"], abs=1e-9)
    assert (score.videos, score.missing, score.unknown_videos) == (stored["videos"], (), ())


@given(data_sets, st.sampled_from([ACTIVITYNET, THUMOS, THUMOS_TOOLKIT_WIDE]))
def test_every_protocol_is_its_definition_ties_included(data_set, protocol):
    annotations, predictions = build(data_set)
    score = detection_average_precision(annotations, predictions, protocol)
    for number, threshold in enumerate(protocol.thresholds):
        for column, label in enumerate(CLASSES):
            if score.activities[column]:
                assert score.per_class[number, column] == pytest.approx(
                    plain_precision(annotations, predictions, label, threshold, protocol)
                )
            else:
                assert np.isnan(score.per_class[number, column])
    assert score.average == pytest.approx(np.nanmean(score.per_class, axis=1).mean())


@given(data_sets)
def test_perfect_predictions_give_one(data_set):
    annotations = sound(build(data_set)[0])
    perfect = {video.id: video.activities for video in annotations.videos}
    for protocol in PROTOCOLS:
        assert detection_average_precision(annotations, perfect, protocol).average == 1.0


def distinct(predictions, seed: int):
    """The same segments with scores of which no two are equal."""
    count = sum(len(rows) for rows in predictions.values())
    scores = iter(np.random.default_rng(seed).permutation(count) + 1.0)
    return {
        v: [replace(r, confidence=float(next(scores))) for r in rows]
        for v, rows in predictions.items()
    }


@given(data_sets, st.integers(0, 9))
def test_the_order_of_predictions_does_not_matter(data_set, seed):
    annotations, predictions = build(data_set)
    predictions = distinct(predictions, seed)
    turned = {video: rows[::-1] for video, rows in reversed(predictions.items())}
    for protocol in PROTOCOLS:
        one = detection_average_precision(annotations, predictions, protocol)
        other = detection_average_precision(annotations, turned, protocol)
        assert np.array_equal(one.per_class, other.per_class, equal_nan=True)


@given(data_sets, st.integers(0, 9))
def test_a_false_positive_of_lowest_score_raises_nothing(data_set, seed):
    annotations, predictions = build(data_set)
    predictions = distinct(predictions, seed)
    before = detection_average_precision(annotations, predictions)
    more = {**predictions, "v0": [*predictions["v0"], Activity("a", 90.0, 95.0, 0.1)]}
    after = detection_average_precision(annotations, more)
    assert (after.per_class[:, 0] <= before.per_class[:, 0]).all()


def test_a_duplicate_detection_is_wrong_the_second_time():
    video = AnnotatedVideo("v", "testing", 20.0, (Activity("a", 0, 4), Activity("a", 10, 14)))
    rows = [Activity("a", 0, 4, 0.9), Activity("a", 0, 4, 0.8), Activity("a", 10, 14, 0.7)]
    score = detection_average_precision(Annotations(CLASSES, (video,)), {"v": rows})
    assert score.mean == pytest.approx(np.full(10, (1 + 2 / 3) / 2))


def test_detections_on_ambiguous_segments_count_neither_way():
    video = AnnotatedVideo(
        "v", "testing", 20.0, (Activity("a", 10, 14),), (Activity("Ambiguous", 0, 4),)
    )
    rows = {"v": [Activity("a", 3.9, 6, 0.9), Activity("a", 10, 14, 0.8)]}
    annotations = Annotations(CLASSES, (video,))
    assert detection_average_precision(annotations, rows, THUMOS).average == 1.0
    assert detection_average_precision(annotations, rows, THUMOS_TOOLKIT).average == 1.0
    assert detection_average_precision(annotations, rows, ACTIVITYNET).average == 0.5


def test_what_does_not_fit_together_is_counted_apart():
    videos = (
        AnnotatedVideo("v", "testing", 20.0, (Activity("a", 0, 4),)),
        AnnotatedVideo("w", "testing", 20.0, (Activity("a", 0, 4),)),
        AnnotatedVideo("empty", "testing", 20.0, ()),
    )
    rows = {
        "v": [Activity("a", 0, 4, 0.5), Activity("c", 0, 4, 0.9), Activity("b", 0, 4, 0.9)],
        "x": [Activity("a", 0, 4, 0.9), Activity("c", 5, 4, 0.9)],
        "w": [],
    }
    score = detection_average_precision(Annotations(CLASSES, videos), rows)
    assert score.protocol == ACTIVITYNET.name
    assert (score.videos, score.missing, score.unknown_videos) == (3, ("w",), ("x",))
    assert (score.unknown_video_predictions, score.unknown_class_predictions) == (1, 2)
    # The unknown video's detection is a false positive, as in the published evaluator.
    assert score.average == pytest.approx(0.25)
    assert np.isnan(score.per_class[:, 1]).all()


def test_no_predictions_give_zero_and_no_activities_an_error():
    video = AnnotatedVideo("v", "testing", 20.0, (Activity("a", 0, 4),))
    assert detection_average_precision(Annotations(CLASSES, (video,)), {}).average == 0.0
    with pytest.raises(AnnotationError, match="nothing to score"):
        detection_average_precision(Annotations(CLASSES, (replace(video, activities=()),)), {})


def test_segments_of_no_length_or_backwards_are_as_in_each_published_code():
    video = AnnotatedVideo("v", "testing", 20.0, (Activity("a", 0, 4), Activity("a", 7, 7)))
    annotations = Annotations(CLASSES, (video,))

    def score(*rows, protocol=ACTIVITYNET):
        return detection_average_precision(annotations, {"v": rows}, protocol)

    # ActivityNet's divides 0 by 0 and takes the outcome for a hit, and any other for a miss.
    assert score(Activity("a", 7, 7, 0.9), Activity("a", 4, 0, 0.8)).average == 1.0
    assert score(Activity("a", 7, 8, 0.9), Activity("a", 5, 0, 0.8)).average == 0.0
    # The toolkit takes ends in either order, and no segment without length.
    found = Activity("a", 7, 7, 0.9), Activity("a", 4, 0, 0.8)
    assert score(*found, protocol=THUMOS_TOOLKIT).average == 0.25
    assert score(*found).backward_predictions == 1


def test_the_toolkit_orders_equal_scores_by_video_then_as_given():
    """Detections of one score: NumPy's sort, which is not stable, would order them otherwise."""
    names = [f"video_test_{number:07d}" for number in range(40)]
    videos = tuple(AnnotatedVideo(n, "testing", 20.0, (Activity("a", 0, 4),)) for n in names)
    # The first half of the videos, whose ids come first, has the hits: precision 1 up to there.
    rows = {
        name: [Activity("a", 0 if number < 20 else 10, 4 if number < 20 else 14, 0.5)]
        for number, name in enumerate(names)
    }
    shuffled = {name: rows[name] for name in sorted(names, key=lambda name: name[::-1])}
    score = detection_average_precision(Annotations(CLASSES, videos), shuffled, THUMOS_TOOLKIT)
    assert score.average == 0.5


def test_the_truth_is_scored_as_listed_and_in_that_order():
    """The toolkit's truths take detections in turn: by start they would take others."""
    mended = (Activity("a", 0, 10), Activity("a", 2, 12))
    listed = (Activity("a", 2, 12), Activity("a", 0, 10), Activity("a", 2, 12))
    video = AnnotatedVideo("v", "testing", 20.0, mended, listed=listed)
    rows = {"v": [Activity("a", 1, 11, 0.9), Activity("a", 0, 8, 0.8)]}
    protocol = SegmentProtocol(
        "one", (0.75,), matching="activities first", interpolated=False, ambiguous=True
    )
    annotations = Annotations(CLASSES, (video,))
    score = detection_average_precision(annotations, rows, protocol)
    assert score.activities.tolist() == [3, 0]
    assert score.average == pytest.approx(2 / 3)
    annotations = Annotations(CLASSES, (replace(video, listed=None),))
    assert detection_average_precision(annotations, rows, protocol).average == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    "row",
    [
        Activity("a", 0, 4, float("nan")),
        Activity("a", float("nan"), 4),
        Activity("a", 0, float("inf")),
    ],
)
def test_numbers_that_are_not_finite_are_told(row):
    video = AnnotatedVideo("v", "testing", 20.0, (Activity("a", 0, 4),))
    with pytest.raises(PredictionError, match="video v has a prediction whose"):
        detection_average_precision(Annotations(CLASSES, (video,)), {"v": [row]})


def test_thresholds_must_be_overlaps():
    for thresholds in ((), (0.0,), (1.1,), (0.5,) * 63):
        with pytest.raises(ValueError, match="tIoU thresholds"):
            SegmentProtocol("x", thresholds)
