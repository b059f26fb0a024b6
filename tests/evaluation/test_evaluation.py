"""Average precision is the published meter's; protocols and intervals follow their definitions."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from actline.annotations.annotations import AnnotatedVideo, Annotations, frame_labels
from actline.cli.main import main
from actline.errors import PredictionError
from actline.evaluation.average_precision import average_precision
from actline.evaluation.bootstrap import bootstrap_mean_precision
from actline.evaluation.charades import (
    LocalizeFrames,
    evaluate_localize,
    localize,
    read_submission,
    write_submission,
)
from actline.evaluation.frames import evaluate_dense
from actline.evaluation.thresholds import choose_thresholds
from actline.timeline import Activity, FrameScores, Timeline
from actline.timeline.write import save_formats

CLASSES = ("a", "b")


def plain_precision(scores, targets) -> float:
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    hits, total = 0, 0.0
    for rank, index in enumerate(order, 1):
        if targets[index]:
            hits += 1
            total += hits / rank
    return total / max(hits, 1)


def test_average_precision_equals_the_published_meter(goldens):
    stored = goldens.arrays("ap_meter")
    ours = average_precision(stored["scores"], stored["targets"])
    assert np.abs(ours - stored["ap"]).max() < 1e-6


frames = st.lists(st.tuples(st.floats(0, 1, width=16), st.booleans()), min_size=1, max_size=30)


@given(frames)
def test_average_precision_equals_its_definition(rows):
    scores, targets = np.array([[s] for s, _ in rows]), np.array([[t] for _, t in rows])
    assert average_precision(scores, targets)[0] == pytest.approx(
        plain_precision(scores[:, 0], targets[:, 0])
    )


@given(frames)
def test_weights_count_frames_as_often(rows):
    scores, targets = np.array([[s] for s, _ in rows]), np.array([[t] for _, t in rows])
    ones = average_precision(scores, targets, np.ones(len(rows)))
    assert ones[0] == pytest.approx(average_precision(scores, targets)[0])


@given(frames)
def test_thresholds_reach_the_best_f1(rows):
    scores = np.array([[s] for s, _ in rows], np.float32)
    targets = np.array([[t] for _, t in rows], np.float32)

    def f1(threshold) -> float:
        taken = scores[:, 0] >= threshold
        hits = (taken & (targets[:, 0] > 0)).sum()
        return 2 * hits / max(1, taken.sum() + targets.sum())

    best = max(f1(threshold) for threshold in scores[:, 0])
    if targets.any():
        assert f1(np.float32(choose_thresholds(scores, targets)[0])) == pytest.approx(best)


def example(seed: int = 0, videos: int = 6) -> tuple[Annotations, dict[str, FrameScores]]:
    generator = np.random.default_rng(seed)
    annotated, predictions = [], {}
    for index in range(videos):
        start = float(generator.uniform(0, 5))
        activities = (Activity("a", start, start + 3), Activity("b", 1.0, 4.0))
        annotated.append(AnnotatedVideo(f"v{index}", "testing", 10.0, activities))
        times = np.arange(50) / 5
        scores = generator.random((50, 2)).astype(np.float32)
        scores[(times > start) & (times < start + 3), 0] += 0.4
        predictions[f"v{index}"] = FrameScores(CLASSES, times, np.minimum(scores, 1))
    return Annotations(CLASSES, tuple(annotated)), predictions


def test_missing_videos_are_scored_and_left_out_apart():
    annotations, predictions = example()
    full = evaluate_dense(annotations, predictions)
    assert full.mean == full.mean_available
    del predictions["v0"]
    part = evaluate_dense(annotations, predictions)
    assert part.mean < part.mean_available
    assert part.videos == 6


@pytest.mark.parametrize("rate", [1, 5, 24])
def test_a_missing_video_has_labels_at_the_rate_of_the_predictions(rate):
    """At one a second it would weigh little beside predictions of 24, and hide what it lacks."""
    activities = (Activity("a", 2.0, 6.0), Activity("b", 1.0, 9.0))
    videos = tuple(AnnotatedVideo(v, "testing", 10.0, activities) for v in ("v", "w", "x"))
    annotations = Annotations(CLASSES, videos)
    times = np.arange(10 * rate) / rate
    inside = [(times > a.start) & (times < a.end) for a in activities]
    perfect = FrameScores(CLASSES, times, np.stack(inside, axis=1).astype(np.float32))
    assert evaluate_dense(annotations, dict.fromkeys("vwx", perfect)).mean == 1.0
    part = evaluate_dense(annotations, {"v": perfect, "w": perfect})
    assert part.frames == 3 * len(times)
    # Two thirds of the positives come first, the others among frames of score 0.
    assert 0.7 < part.mean < 0.9
    by_label_rate = evaluate_dense(annotations, {"v": perfect, "w": perfect}, label_rate=rate)
    assert part.mean == pytest.approx(by_label_rate.mean)


def test_frames_are_scored_with_the_truth_as_listed():
    """At 0 s an activity from before the video is on; mended to start there it would not be."""
    video = AnnotatedVideo(
        "v", "testing", 2.0, (Activity("a", 0.0, 1.5),), listed=(Activity("a", -1.0, 1.5),)
    )
    times = np.array([0.0, 1.0, 1.9])
    scores = np.array([[0.9], [0.8], [0.1]], np.float32)
    result = evaluate_dense(
        Annotations(("a",), (video,)), {"v": FrameScores(("a",), times, scores)}
    )
    assert (result.mean, result.classes[0].frames) == (1.0, 2)


def test_the_interval_holds_the_estimate_and_narrows_with_videos():
    widths = {5: 0.0, 40: 0.0}
    for seed in range(8):
        for videos in widths:
            annotations, predictions = example(seed, videos)
            result = evaluate_dense(annotations, predictions, draws=100)
            assert result.interval is not None
            assert result.interval.low - 0.02 <= result.mean <= result.interval.high + 0.02
            widths[videos] += result.interval.high - result.interval.low
    assert widths[40] < widths[5]


def test_every_video_drawn_once_is_the_estimate_itself():
    class Once:
        def integers(self, count, size):
            return np.arange(size) % count

    _, predictions = example()
    scores = np.concatenate([p.probabilities for p in predictions.values()])
    targets = (np.random.default_rng(1).random(scores.shape) > 0.5).astype(np.float32)
    interval = bootstrap_mean_precision(
        scores, targets, np.repeat(np.arange(6), 50), draws=1, generator=Once()
    )
    assert interval.low == pytest.approx(average_precision(scores, targets).mean())


def test_localize_takes_25_frames_and_its_file_round_trips(tmp_path):
    annotations, predictions = example()
    submission = localize(annotations, predictions)
    direct = evaluate_localize(annotations, submission)
    assert direct.frames == 25 * 6
    assert "Charades_v1_localize" in direct.protocol
    write_submission(submission, tmp_path / "s.txt")
    again = evaluate_localize(annotations, read_submission(tmp_path / "s.txt", 2))
    marked = tmp_path / "marked.txt"
    marked.write_text("\ufeff" + (tmp_path / "s.txt").read_text(), encoding="utf-8")
    assert read_submission(marked, 2).keys() == submission.keys()
    assert again.mean == pytest.approx(direct.mean, abs=1e-6)
    # The CSV of the authors' code holds a time in place of the frame's number.
    rows = [
        f"{video},{1 + i * 10 / 25},{row[0]} {row[1]}"
        for video, table in submission.items()
        for i, row in enumerate(table)
    ]
    (tmp_path / "s.csv").write_text("\n".join(rows))
    theirs = evaluate_localize(annotations, read_submission(tmp_path / "s.csv", 2))
    assert theirs.mean == pytest.approx(direct.mean, abs=1e-6)


@pytest.mark.parametrize("frames", [167, 250, 733, 749, 750, 1000, 31])
def test_the_authors_frames_are_their_label_rows(frames):
    """Against the arithmetic of train_coarse_fineFEAT.py on n labels, one a source frame."""
    rate, stride = 24.0, 10
    duration = frames / rate
    generator = np.random.default_rng(frames)
    sampled = frames // stride
    logits = generator.normal(0, 3, (sampled, 2))
    scores = FrameScores(
        ("a", "b"),
        np.arange(sampled) * stride / rate,
        (1 / (1 + np.exp(-logits))).astype(np.float32),
    )
    activities = tuple(
        Activity(label, start, end)
        for label in ("a", "b")
        for start, end in np.sort(generator.uniform(0, duration, (2, 2)), axis=1)
    )
    video = AnnotatedVideo("v", "testing", duration, activities)
    annotations = Annotations(("a", "b"), (video,))

    labels = sampled * stride
    dense = functional.interpolate(torch.from_numpy(logits.T[None]), labels, mode="linear")[0].T
    rows = np.arange(labels)[1 :: int(labels / 25.0)][:25]
    at = LocalizeFrames("authors", rate, stride)
    submission = localize(annotations, {"v": scores}, at)
    expected = torch.sigmoid(dense).numpy()[rows]
    assert submission["v"][: len(rows)] == pytest.approx(expected, abs=1e-5)
    # The truth of the log, at the same rows; of the script, at i / 25 of the duration.
    log = evaluate_localize(annotations, submission, replace(at, at="authors-log"))
    truth = frame_labels(activities, ("a", "b"), rows / rate)
    if len(rows) == 25 and truth.any():
        theirs = average_precision(submission["v"], truth)[truth.any(axis=0)]
        assert log.mean == pytest.approx(theirs.mean(), abs=1e-6)
    assert "scores and truth at" in log.protocol
    script = evaluate_localize(annotations, submission, at)
    assert "scores at the Coarse-Fine authors' rows" in script.protocol
    assert script.mean == evaluate_localize(annotations, submission).mean


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("v0 26 0.1 0.2", "not a frame from 1 to 25"),
        ("v0 1 0.1", "1 scores for 2 classes"),
        ("v0 1 0.1 nan", "not a finite number"),
        ("v0 1 0.1 x", "not a number"),
        ("v0 1", "expected a video, a frame"),
        ("v0 1 0.1 0.2\nv0 1 0.1 0.2", "appears twice"),
        ("v0 1 0.1 0.2", "frame 2 of v0 is missing"),
    ],
)
def test_a_malformed_submission_names_its_line(tmp_path, line, said):
    (tmp_path / "s.txt").write_text(line)
    with pytest.raises(PredictionError, match=said):
        read_submission(tmp_path / "s.txt", 2)


def test_the_command_names_the_protocol_wherever_a_number_is(tmp_path, capsys):
    annotations, predictions = example()
    for video, scores in predictions.items():
        save_formats(Timeline(video, 10.0, (), scores), tmp_path / "found")
    database = {
        v.id: {
            "subset": "testing",
            "duration": 10.0,
            "annotations": [{"label": a.label, "segment": [a.start, a.end]} for a in v.activities],
        }
        for v in annotations.videos
    }
    (tmp_path / "annotations.json").write_text(json.dumps({"database": database}))
    command = ["evaluate", str(tmp_path / "found"), str(tmp_path / "annotations.json")]
    for protocol in ("dense", "charades-localize"):
        out = tmp_path / f"{protocol}.json"
        assert main([*command, "--protocol", protocol, "--bootstrap", "20", "--out", str(out)]) == 0
        assert "per-frame mAP" in capsys.readouterr().out
        assert "per-frame mAP" in json.loads(out.read_text())["protocol"]
