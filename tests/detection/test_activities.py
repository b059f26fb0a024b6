"""Activities are the stretches of frames at or above their class's threshold."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from actline.detection.activities import find_activities
from actline.timeline import FrameScores


def scores_of(rows) -> FrameScores:
    probabilities = np.asarray(rows, np.float32)
    classes = tuple("abc"[: probabilities.shape[1]])
    return FrameScores(classes, np.arange(len(rows)) * 0.5, probabilities)


def test_activities_are_stretches_above_the_threshold():
    scores = scores_of([[0.9, 0.1], [0.7, 0.6], [0.1, 0.6], [0.2, 0.1], [0.8, 0.9]])
    found = find_activities(scores, np.array([0.5, 0.5], np.float32), duration=2.4)
    assert [(a.label, a.start, a.end) for a in found] == [
        ("a", 0.0, 1.0),
        ("b", 0.5, 1.5),
        ("a", 2.0, 2.4),
        ("b", 2.0, 2.4),
    ]
    assert found[0].confidence == np.float64(np.float32(0.9) + np.float64(np.float32(0.7))) / 2


@given(st.lists(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=2), min_size=1))
def test_activities_equal_a_plain_loop(rows):
    scores = scores_of(rows)
    duration = len(rows) * 0.5
    found = find_activities(scores, np.array([0.5, 0.3], np.float32), duration=duration)
    plain = set()
    for column, threshold in enumerate((np.float32(0.5), np.float32(0.3))):
        start = None
        for index, value in enumerate([*scores.probabilities[:, column], -1.0]):
            if value >= threshold and start is None:
                start = index
            elif value < threshold and start is not None:
                plain.add(("ab"[column], start * 0.5, index * 0.5))
                start = None
    assert {(a.label, a.start, a.end) for a in found} == plain


def test_short_gaps_are_closed_and_short_activities_dropped():
    scores = scores_of([[1.0], [0.0], [1.0], [0.0], [0.0], [0.0], [1.0], [0.0]])
    threshold = np.array([0.5], np.float32)
    found = find_activities(scores, threshold, duration=4.0, max_gap=0.6, min_seconds=0.6)
    assert [(a.start, a.end) for a in found] == [(0.0, 1.5)]
