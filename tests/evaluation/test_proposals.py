"""Average recall equals ActivityNet's published evaluator and, slowly done, its definition."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_segments import (
    build,
    data_sets,
    distinct,
    plain_overlap,
    published_case,
    reversed_sort,
    sound,
)

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.errors import AnnotationError, PredictionError
from actline.evaluation.proposals import (
    ACTIVITYNET,
    PROTOCOLS,
    THUMOS,
    ProposalProtocol,
    average_recall,
)
from actline.timeline import Activity


def plain_curve(annotations, proposals, protocol: ProposalProtocol):
    """Recall at each threshold and percentage, and the average numbers of proposals."""
    truths = {v.id: v.activities for v in annotations.videos if v.activities}
    total = sum(len(rows) for rows in proposals.values())
    most = protocol.most if protocol.most is not None else total / len(truths)
    kept = {}
    for video in truths:
        rows = proposals.get(video, [])
        ranked = [rows[i] for i in reversed_sort([r.confidence for r in rows])]
        kept[video] = ranked[: int(len(rows) * (most * len(truths) / total))] if total else []
    left = sum(len(rows) for rows in kept.values())
    recall = np.zeros((len(protocol.thresholds), 100))
    if not left:
        return recall, np.arange(1, 101) / 100 * most
    parts = np.arange(1, 101) / 100 * (most * len(truths) / left)
    for t, threshold in enumerate(protocol.thresholds):
        for n, part in enumerate(parts):
            for video, activities in truths.items():
                rows = kept[video][: int(len(kept[video]) * part)]
                for activity in activities:
                    recall[t, n] += any(plain_overlap(r, activity) >= threshold for r in rows)
    return recall / sum(len(a) for a in truths.values()), parts * (left / len(truths))


def test_the_published_evaluator_is_reproduced(goldens):
    stored, annotations, predictions = published_case(goldens)
    score = average_recall(annotations, predictions)
    assert {str(n): recall for n, recall in score.at.items()} == pytest.approx(
        stored["AR"], abs=1e-9
    )
    assert score.area == pytest.approx(stored["AUC"], abs=1e-9)
    assert score.recall[:, -1] == pytest.approx(stored["recall_at_100"], abs=1e-9)
    assert score.average_recall.shape == score.average_numbers.shape == (100,)
    assert score.proposals_per_video == stored["predictions_per_video"]


FEW = replace(ACTIVITYNET, thresholds=(0.5, 0.8), most=2)
ALL = replace(THUMOS, thresholds=(0.5, 1.0))


@given(data_sets, st.sampled_from([FEW, ALL]))
def test_the_curve_is_its_definition_ties_included(data_set, protocol):
    annotations, proposals = build(data_set)
    score = average_recall(annotations, proposals, protocol)
    recall, numbers = plain_curve(annotations, proposals, protocol)
    assert score.recall == pytest.approx(recall)
    assert score.average_numbers == pytest.approx(numbers)
    assert 0 <= score.area <= 100


@given(data_sets)
def test_recall_grows_with_the_number_of_proposals(data_set):
    annotations, proposals = build(data_set)
    for protocol in (*PROTOCOLS, FEW):
        score = average_recall(annotations, proposals, protocol)
        assert (np.diff(score.recall, axis=1) >= 0).all()
        assert list(score.at.values()) == sorted(score.at.values())


@given(data_sets, st.integers(0, 9))
def test_neither_order_nor_labels_matter(data_set, seed):
    annotations, proposals = build(data_set)
    proposals = distinct(proposals, seed)
    turned = {
        video: [replace(row, label="anything") for row in rows[::-1]]
        for video, rows in reversed(proposals.items())
    }
    one, other = average_recall(annotations, proposals), average_recall(annotations, turned)
    assert np.array_equal(one.recall, other.recall)


@given(data_sets)
def test_perfect_proposals_find_everything(data_set):
    annotations = sound(build(data_set)[0])
    perfect = {video.id: video.activities for video in annotations.videos}
    for protocol in PROTOCOLS:
        assert average_recall(annotations, perfect, protocol).recall[:, -1].min() == 1.0


def test_videos_without_proposals_are_missed_and_told():
    videos = tuple(
        AnnotatedVideo(name, "testing", 20.0, (Activity("a", 0, 4),)) for name in ("v", "w")
    )
    rows = {"v": [Activity("", 0, 4, 0.5)], "x": [Activity("", 0, 4, 0.5)]}
    score = average_recall(Annotations(("a",), videos), rows, THUMOS)
    assert score.protocol == THUMOS.name
    assert (score.videos, score.activities) == (2, 2)
    assert (score.missing, score.unknown_videos) == (("w",), ("x",))
    assert score.recall[:, -1] == pytest.approx(np.full(11, 0.5))


def test_no_proposals_give_zero_and_no_activities_an_error():
    video = AnnotatedVideo("v", "testing", 20.0, (Activity("a", 0, 4),))
    annotations = Annotations(("a",), (video,))
    for protocol in PROTOCOLS:
        score = average_recall(annotations, {}, protocol)
        assert score.area == 0.0
        assert set(score.at.values()) == {0.0}
    with pytest.raises(AnnotationError, match="nothing to score"):
        average_recall(Annotations(("a",), (replace(video, activities=()),)), {})
    with pytest.raises(PredictionError, match="score is not a finite number"):
        average_recall(annotations, {"v": [Activity("", 0, 4, float("nan"))]})
