"""Training runs for real, stops and resumes without a trace, and refuses what cannot work."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import CLASSES, write_data, write_recipe

from actline.annotations.read import read_annotations
from actline.datasets.frame_clips import collate
from actline.detection.fine_features import extract_fine
from actline.detection.load import load_model
from actline.errors import FeatureError, TrainingError
from actline.models.checkpoint import load_checkpoint, save_checkpoint, weights_hash
from actline.training.frames import FrameJob, FrameRecipe, new_network, training_clips
from actline.training.tasks import read_recipe
from actline.training.train import train
from actline.video.find import find_video

CPU = torch.device("cpu")
COARSE_FINE = {
    "pooling": "grid",
    "cells": 1,
    "fine": {"widths": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "head_width": 16},
    "coarse": {"widths": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "head_width": 16},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("tiny") / "data")


def same_weights(first: Path, second: Path) -> bool:
    ours, theirs = load_file(first), load_file(second)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def run_actline(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "actline.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_loss_falls_and_checkpoints_hold_what_detection_needs(data, tmp_path):
    recipe = read_recipe(write_recipe(tmp_path / "r.yaml", data, ema=0.5, accumulate=2))
    result = train(recipe, device="cpu")
    model = load_model(result.best, device="cpu")
    assert model.classes == ("brighten", "move")
    assert model.card.thresholds is not None
    assert len(model.card.thresholds) == 2
    assert "per-frame mAP" in (model.card.score or "")
    assert (tmp_path / "run" / "tensorboard").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_run_killed_at_any_moment_ends_with_the_same_weights(data, tmp_path, ema):
    """kill -9 at several moments, each time going on, against a run left alone."""
    changes = {"epochs": 8, "ema": ema, "save_every_seconds": 0.0, "accumulate": 1}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    alone = write_recipe(tmp_path / "a" / "r.yaml", data, **changes)
    killed = write_recipe(tmp_path / "b" / "r.yaml", data, **changes)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    finished = run_actline("train", str(alone), "--device", "cpu", env=environment)
    assert finished.returncode == 0, finished.stderr
    kills = 0
    for delay in (0.3, 0.05, 0.6, 0.2):
        process = subprocess.Popen(
            [sys.executable, "-m", "actline.cli.main", "train", str(killed), "--device", "cpu"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        state = tmp_path / "b" / "run" / "state.pt"
        known = state.stat().st_mtime_ns if state.exists() else 0
        while process.poll() is None:
            if state.exists() and state.stat().st_mtime_ns != known:
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        kills += process.wait() == -signal.SIGKILL
        process.communicate()
    assert kills >= 1
    resumed = run_actline("train", str(killed), "--device", "cpu", env=environment)
    assert resumed.returncode == 0, resumed.stderr
    for name in ("last.safetensors", "best.safetensors"):
        assert same_weights(tmp_path / "a/run" / name, tmp_path / "b/run" / name)
    leftovers = [p.name for p in (tmp_path / "b/run").iterdir() if ".part" in p.name]
    assert len(leftovers) <= kills


@pytest.mark.slow
def test_an_interrupted_run_saves_says_so_and_goes_on(data, tmp_path):
    recipe = write_recipe(tmp_path / "r.yaml", data, epochs=400, evaluate_every=0)
    process = subprocess.Popen(
        [sys.executable, "-m", "actline.cli.main", "train", str(recipe), "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list((tmp_path / "run").glob("tensorboard/*")) and process.poll() is None:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "goes on from here" in out
    assert (tmp_path / "run" / "state.pt").exists()


@pytest.mark.slow
def test_coarse_fine_trains_on_stored_features_and_jointly(data, tmp_path):
    fine = train(read_recipe(write_recipe(tmp_path / "f.yaml", data)), device="cpu")
    model = load_model(fine.best, device="cpu")
    origin = model.card.feature_origin(weights_hash(model.network))
    for index in range(6):
        video = find_video(data / "videos", f"tiny{index}")
        extract_fine(video, model, tmp_path / "features", origin=origin, cells=1)
    stored = {
        "network": COARSE_FINE,
        "init": str(fine.best),
        "features": {"folder": str(tmp_path / "features"), "checkpoint": str(fine.best)},
    }
    recipe = read_recipe(
        write_recipe(tmp_path / "c.yaml", data, out=str(tmp_path / "stored"), **stored)
    )
    result = train(recipe, device="cpu")
    trained, _ = load_checkpoint(result.last)
    before, _ = load_checkpoint(fine.best)
    assert all(
        torch.equal(trained.fine.state_dict()[k], before.state_dict()[k])
        for k in before.state_dict()
    ), "on stored features the Fine stream stays as it is"

    joint = write_recipe(
        tmp_path / "j.yaml",
        data,
        out=str(tmp_path / "joint"),
        network=COARSE_FINE,
        init=str(fine.best),
        fine_loss=1.0,
    )
    trained, _ = load_checkpoint(train(read_recipe(joint), device="cpu").last)
    assert not torch.equal(trained.fine.stem.spatial.weight, before.stem.spatial.weight), (
        "jointly it learns"
    )


def test_jointly_the_fine_stream_may_see_more_than_the_clip(data, tmp_path):
    """Clips of 8 frames (5 a second) within 14 of a video's 20, cropped and mirrored alike."""
    path = write_recipe(
        tmp_path / "j.yaml", data, network=COARSE_FINE, fine_loss=1.0, fine_frames=14, epochs=1
    )
    recipe = read_recipe(path)
    assert isinstance(recipe, FrameRecipe)
    job = FrameJob(recipe, read_annotations(data).subset("training"), device=CPU)
    places = set()
    for epoch in range(20):
        samples = [job.dataset[epoch, index] for index in range(2)]
        for sample in samples:
            assert sample.fine_clip is not None
            assert sample.clip.shape[1:] == (8, 32, 32)
            assert sample.fine_clip.shape[1:] == (14, 32, 32)
            start = sample.fine_start
            assert torch.equal(sample.clip, sample.fine_clip[:, start : start + 8])
            places.add(start)
        batch = collate(samples)
        assert batch.fine_mask is not None
        assert batch.fine_mask.shape == (2, 14)
    # In the middle, and at the video's ends moved inwards.
    assert places == set(range(7))
    same = read_recipe(path, ["fine_frames=0"])
    assert isinstance(same, FrameRecipe)
    alone = FrameJob(same, read_annotations(data).subset("training"), device=CPU).dataset[0, 0]
    assert torch.equal(alone.clip, job.dataset[0, 0].clip)
    assert torch.equal(alone.labels, job.dataset[0, 0].labels)
    result = train(recipe, device="cpu")
    assert result.best.exists()


@pytest.mark.parametrize("window", [8, 12, 16])
def test_stored_features_span_what_a_window_of_detection_does(data, tmp_path, window):
    """The Gaussians' width is a share of them: it must be the same in training and detection."""
    fine = read_recipe(write_recipe(tmp_path / "f.yaml", data, window=8, overlap=4))
    assert isinstance(fine, FrameRecipe)
    network, card = new_network(fine, CLASSES)
    save_checkpoint(tmp_path / "fine.safetensors", network, card)
    model = load_model(tmp_path / "fine.safetensors", device="cpu")
    origin = model.card.feature_origin(weights_hash(model.network))
    for index in range(6):
        video = find_video(data / "videos", f"tiny{index}")  # 20 frames each
        extract_fine(video, model, tmp_path / "features", origin=origin, cells=1)
    recipe = read_recipe(
        write_recipe(
            tmp_path / "c.yaml",
            data,
            network=COARSE_FINE,
            features={
                "folder": str(tmp_path / "features"),
                "checkpoint": str(tmp_path / "fine.safetensors"),
            },
            window=window,
        )
    )
    assert isinstance(recipe, FrameRecipe)
    annotations = read_annotations(data).subset("training")
    clips = training_clips(recipe, annotations, new_network(recipe, CLASSES)[1])
    batch = collate([clips[epoch, 0] for epoch in range(8)])
    assert batch.fine_mask is not None
    assert batch.fine_start is not None
    assert batch.fine_mask.sum(dim=1).tolist() == [window] * 8
    assert ((batch.fine_start >= 0) & (batch.fine_start + 8 <= window)).all()


def test_a_window_far_from_the_clips_is_said_once(data, tmp_path, capsys):
    changes = {"epochs": 2, "evaluate_every": 1, "window": 64}
    train(read_recipe(write_recipe(tmp_path / "r.yaml", data, **changes)), device="cpu")
    assert capsys.readouterr().out.count("trained on clips of 8 frames") == 1


def test_features_of_another_checkpoint_are_refused(data, tmp_path):
    fine = train(read_recipe(write_recipe(tmp_path / "f.yaml", data, epochs=1)), device="cpu")
    model = load_model(fine.best, device="cpu")
    wrong = model.card.feature_origin("0" * 64)
    for index in range(6):
        video = find_video(data / "videos", f"tiny{index}")
        extract_fine(video, model, tmp_path / "features", origin=wrong, cells=1)
    recipe = write_recipe(
        tmp_path / "c.yaml",
        data,
        out=str(tmp_path / "stored"),
        network=COARSE_FINE,
        features={"folder": str(tmp_path / "features"), "checkpoint": str(fine.best)},
    )
    with pytest.raises(FeatureError, match="made with another checkpoint"):
        train(read_recipe(recipe), device="cpu")


def test_a_loss_that_is_not_finite_names_the_videos_and_keeps_the_checkpoint(data, tmp_path):
    good = write_recipe(tmp_path / "r.yaml", data, epochs=2, save_every_seconds=0.0)
    train(read_recipe(good), device="cpu")
    kept = (tmp_path / "run" / "best.safetensors").read_bytes()
    (tmp_path / "run" / "state.pt").unlink()
    with pytest.raises(TrainingError, match=r"the loss is nan on videos tiny\d, tiny\d"):
        # Nothing is saved on the way, which would find weights that are not finite before the loss.
        seldom = ["epochs=50", "evaluate_every=0", "save_every_seconds=1000"]
        wild = ["optimizer.lr=100", "optimizer.weight_decay=1.0", *seldom]
        train(read_recipe(good, wild), device="cpu")
    assert (tmp_path / "run" / "best.safetensors").read_bytes() == kept


def test_a_folder_with_another_recipes_run_is_not_overwritten(data, tmp_path):
    path = write_recipe(tmp_path / "r.yaml", data, epochs=1)
    train(read_recipe(path), device="cpu")
    with pytest.raises(TrainingError, match="seed was 0, is 1"):
        train(read_recipe(path, ["seed=1"]), device="cpu")


@pytest.mark.slow
def test_two_processes_train_together(data, tmp_path):
    recipe = write_recipe(tmp_path / "r.yaml", data, batch_size=1)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    command += ["-m", "actline.cli.main", "train", str(recipe), "--device", "cpu"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("best checkpoint") >= 1
    load_model(tmp_path / "run" / "best.safetensors", device="cpu")
