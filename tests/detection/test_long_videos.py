"""Long videos: one window of frames at a time, and results that hardly depend on the windows."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from tiny import begin_late, write_data, write_recipe, write_video

import actline
from actline.cli.main import main
from actline.detection.frames import score_video
from actline.detection.load import load_model
from actline.models.checkpoint import save_checkpoint
from actline.training.tasks import read_recipe
from actline.training.train import train

# Mean and largest change of a probability when the windows lie elsewhere (docs/detect.md).
MEAN_TOLERANCE, LARGEST_TOLERANCE = 0.02, 0.25


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    data = write_data(folder / "data")
    network = {"widths": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "head_width": 16}
    coarse_fine = {"pooling": "grid", "cells": 1, "fine": network, "coarse": network}
    recipe = write_recipe(folder / "r.yaml", data, network=coarse_fine, epochs=4, fine_loss=1.0)
    best = train(read_recipe(recipe), device="cpu").best
    video = folder / "long.mp4"
    write_video(video, "move", (20.0, 45.0), seconds=60.0, rate=10)
    return video, load_model(best, device="cpu")


def test_results_hardly_depend_on_where_the_windows_lie(kit):
    video, model = kit
    card = replace(model.card, window=64, overlap=32)
    reference, _ = score_video(video, replace(model, card=card))
    moved, _ = score_video(video, replace(model, card=replace(card, overlap=24)))
    change = np.abs(reference.probabilities - moved.probabilities)
    assert change.mean() < MEAN_TOLERANCE
    assert change.max() < LARGEST_TOLERANCE


def test_a_video_within_one_window_does_not_depend_on_overlap(kit):
    video, model = kit
    results = [
        score_video(video, replace(model, card=replace(model.card, window=400, overlap=o)))[0]
        for o in (0, 32)
    ]
    assert np.array_equal(results[0].probabilities, results[1].probabilities)


def test_grid_pool_samples_lie_in_the_video_in_order(kit):
    video, model = kit
    timeline = actline.detect(video, model)
    assert timeline.sampled is not None
    assert (np.diff(timeline.sampled) > 0).all()
    assert timeline.sampled[0] >= 0
    assert timeline.sampled[-1] <= timeline.duration


def test_a_video_that_begins_late_has_the_same_scores_later(kit, tmp_path):
    video, model = kit
    late = begin_late(video, tmp_path / "late.mp4", seconds=2.0)
    plain, moved = actline.detect(video, model), actline.detect(late, model)
    assert plain.scores is not None
    assert moved.scores is not None
    assert np.array_equal(plain.scores.probabilities, moved.scores.probabilities)
    assert np.allclose(moved.scores.times, plain.scores.times + 2)
    assert moved.duration == pytest.approx(plain.duration + 2)
    for before, after in zip(plain.activities, moved.activities, strict=True):
        assert (after.label, after.confidence) == (before.label, before.confidence)
        assert after.start == pytest.approx(before.start + 2)
        assert after.end == pytest.approx(before.end + 2)


def test_a_gap_in_the_video_is_told(kit, tmp_path, capsys):
    video, model = kit
    path = begin_late(video, tmp_path / "v.mp4", seconds=0.0, gap=30.0)
    checkpoint = tmp_path / "m.safetensors"
    save_checkpoint(checkpoint, model.network, model.card)
    command = ["detect", str(path), "--checkpoint", str(checkpoint), "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert "v.mp4: no new frame from 29.9 to 60.0 s" in capsys.readouterr().out


@pytest.mark.slow
def test_memory_grows_with_the_window_not_with_the_video(kit, tmp_path):
    _, model = kit
    peaks = []
    for seconds in (60, 240):
        video = tmp_path / f"{seconds}.mp4"
        write_video(video, "move", (2.0, 5.0), seconds=seconds, rate=10)
        tracemalloc.start()
        actline.detect(video, model)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 1_000_000, json.dumps(peaks)
