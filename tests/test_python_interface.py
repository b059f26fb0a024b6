"""What `import actline` offers for training and scoring, on files as a person has them."""

import doctest
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_segments import write_annotations, write_bmn, write_features

import actline
from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.errors import PredictionError, RecipeError
from actline.evaluation import evaluate as evaluation
from actline.evaluation.results import FrameEvaluation, SegmentEvaluation
from actline.timeline import Activity, FrameScores, Timeline

TRUTH = Annotations(
    ("jump", "run"),
    (
        AnnotatedVideo(
            "a", "testing", 20.0, (Activity("jump", 2.0, 6.0), Activity("run", 8.0, 18.0))
        ),
        AnnotatedVideo("b", "testing", 20.0, (Activity("run", 0.0, 10.0),)),
    ),
)
FOUND = (
    Timeline("a", 20.0, (Activity("jump", 2.0, 6.0, 0.9), Activity("run", 8.0, 18.0, 0.8))),
    Timeline("b", 20.0, (Activity("run", 0.0, 5.0, 0.7),)),
)


def test_examples_in_docstrings_run():
    results = doctest.testmod(evaluation)
    assert results.attempted
    assert not results.failed


def test_importing_the_package_and_scoring_takes_no_torch():
    code = (
        "import sys, actline; assert 'numpy' not in sys.modules; actline.evaluate; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("protocol", ["thumos", "thumos-wide", "thumos-toolkit", "hacs"])
def test_timelines_results_and_activities_by_video_give_one_score(tmp_path: Path, protocol: str):
    path = tmp_path / "results.json"
    rows = {
        one.video: [
            {"label": a.label, "score": a.confidence, "segment": [a.start, a.end]}
            for a in one.activities
        ]
        for one in FOUND
    }
    path.write_text(json.dumps({"results": rows}))
    given = (
        path,
        FOUND,
        {one.video: one for one in FOUND},
        {one.video: one.activities for one in FOUND},
    )
    results = [
        actline.evaluate(one, TRUTH, protocol, subset="testing", errors=True) for one in given
    ]
    assert all(isinstance(result, SegmentEvaluation) for result in results)
    scores = [result.scores for result in results]
    assert scores[0] == scores[1] == scores[2] == scores[3]
    assert 0 < scores[0]["average mAP"] < 1
    written = results[0].save(tmp_path / "scores.json")
    assert json.loads(written.read_text())["mean"] == scores[0]["average mAP"]
    header, rows = results[0].table
    assert [row[0] for row in rows] == ["jump", "run"]
    assert all(len(row) == len(header) for row in rows)
    assert results[0].save(tmp_path / "classes.csv").read_text().count("\n") == 3
    assert str(results[0]).startswith("protocol: per-segment mAP")


def test_proposals_and_frames_are_scored_by_the_same_call():
    proposals = actline.evaluate(FOUND, TRUTH, "proposals", subset="testing")
    assert 0 < proposals.scores["AUC"] < 1
    assert proposals.scores["AR@100"] == max(proposals.scores.values())
    times = np.arange(0, 20, 1.0)
    frames = {
        video.id: FrameScores(
            ("run", "jump"),
            times,
            np.stack(
                [
                    [
                        any(a.label == name and a.start <= t < a.end for a in video.activities)
                        for t in times
                    ]
                    for name in ("run", "jump")
                ],
                axis=1,
            ).astype(np.float32),
        )
        for video in TRUTH.videos
    }
    for protocol in ("dense", "charades-localize"):
        result = actline.evaluate(frames, TRUTH, protocol, bootstrap=10)
        assert isinstance(result, FrameEvaluation)
        assert result.scores["mAP"] > result.scores["chance"]
        assert result.score.interval is not None


def test_options_that_mean_nothing_and_unknown_protocols_are_refused():
    with pytest.raises(PredictionError, match='did you mean "thumos"'):
        actline.evaluate(FOUND, TRUTH, "thumoss")
    for options in ({"label_rate": 24.0}, {"min_seconds": 1.0}):
        with pytest.raises(PredictionError, match="does not apply to thumos"):
            actline.evaluate(FOUND, TRUTH, "thumos", **options)
    with pytest.raises(PredictionError, match="no per-frame scores"):
        actline.evaluate(FOUND, TRUTH, "dense")
    with pytest.raises(PredictionError, match="two timelines"):
        actline.evaluate((*FOUND, FOUND[0]), TRUTH, "thumos")


def test_a_recipe_is_trained_with_values_by_key_and_goes_on_with_more_epochs(tmp_path: Path):
    features = write_features(tmp_path / "features")
    annotations = write_annotations(tmp_path / "annotations.json")
    recipe = write_bmn(tmp_path / "bmn.yaml", annotations, features)
    out = tmp_path / "run"
    changes = {"epochs": 1, "optimizer.lr": 0.001, "out": str(out)}
    first = actline.train(recipe, changes, device="cpu")
    assert first.best == out / "best.safetensors"
    assert first.best.exists()
    assert not first.stopped
    assert 0 <= first.best_score <= 1
    again = actline.train(recipe, {**changes, "epochs": 2}, device="cpu")
    assert again.best_score >= first.best_score
    with pytest.raises(RecipeError, match='did you mean "epochs"'):
        actline.train(recipe, {"epoch": 3}, device="cpu")
