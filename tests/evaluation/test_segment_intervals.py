"""Intervals of segment mAP: videos weighed by a draw are videos drawn so often."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.evaluation.segment_intervals import _weighing, bootstrap_segment_precision
from actline.evaluation.segments import (
    ACTIVITYNET,
    PROTOCOLS,
    THUMOS,
    detection_average_precision,
)
from actline.timeline import Activity


def example(seed: int, videos: int = 5) -> tuple[Annotations, dict[str, list[Activity]]]:
    """Videos with activities of three classes, and detections near them, no two scores equal."""
    random = np.random.default_rng(seed)
    annotated, found = [], {}
    for number in range(videos):
        truth = []
        for _ in range(random.integers(1, 4)):
            start = random.uniform(0, 50)
            label = "abc"[random.integers(3)]
            truth.append(Activity(label, start, start + random.uniform(4, 20)))
        unsure = (Activity("Ambiguous", 60.0, 70.0),)
        annotated.append(AnnotatedVideo(f"v{number}", "testing", 80.0, tuple(truth), unsure))
        rows = [
            Activity(
                one.label if random.random() < 0.8 else "a",
                one.start + random.normal(0, 2),
                one.end + random.normal(0, 2),
                float(random.random()),
            )
            for one in truth * 3
        ]
        rows.append(Activity("b", 61.0, 69.0, float(random.random())))
        found[f"v{number}"] = rows
    found["unknown"] = [Activity("a", 0.0, 5.0, float(random.random()))]
    return Annotations(("a", "b", "c"), tuple(annotated)), found


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda one: one.name)
def test_every_video_once_is_the_score_itself(protocol):
    annotations, found = example(0)
    score = detection_average_precision(annotations, found, protocol)
    weighing = _weighing(annotations, found, protocol)
    assert weighing.mean(np.ones(5)) == pytest.approx(score.average, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 50), st.lists(st.integers(0, 3), min_size=5, max_size=5))
def test_a_weight_is_as_many_copies_of_the_video(seed, times):
    annotations, found = example(seed)
    videos, copies = [], {"unknown": found["unknown"]}
    for video, count in zip(annotations.videos, times, strict=True):
        for copy in range(count):
            name = f"{video.id}-{copy}"
            videos.append(AnnotatedVideo(name, "testing", 80.0, video.activities, video.ambiguous))
            copies[name] = found[video.id]
    for protocol in (ACTIVITYNET, THUMOS):
        weighed = _weighing(annotations, found, protocol).mean(np.array(times, float))
        if not videos:
            assert weighed == 0.0
            continue
        drawn = Annotations(annotations.classes, tuple(videos))
        plain = detection_average_precision(drawn, copies, protocol)
        # One of several right copies of a score may be listed after wrong ones of other videos,
        # never of the same score: the interpolated precision is the same for all copies.
        assert weighed == pytest.approx(plain.average, abs=1e-9)


def test_the_interval_lies_around_the_score_and_narrows_with_videos():
    widths = []
    for videos in (8, 80):
        annotations, found = example(3, videos)
        score = detection_average_precision(annotations, found).average
        interval = bootstrap_segment_precision(annotations, found, ACTIVITYNET, draws=200)
        assert interval.low < score < interval.high
        again = bootstrap_segment_precision(annotations, found, ACTIVITYNET, draws=200)
        assert (interval.low, interval.high) == (again.low, again.high)
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0]
