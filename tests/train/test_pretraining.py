"""Pretraining on trimmed videos runs for real, resumes without a trace, and leads to detection."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import CLASSES, write_recipe, write_video

from actline.cli.main import main
from actline.data.dense import ClipConfig
from actline.data.read import read_annotations
from actline.data.trimmed import ClipRequest, TrimmedClips, class_of, labelled, present
from actline.errors import AnnotationError, RecipeError, VideoError
from actline.evaluate.validation import train_and_validate
from actline.models.config import X3DConfig
from actline.train.checkpoint import load_checkpoint, read_card, start_from
from actline.train.recipe import PretrainingRecipe, read_recipe

CLIP = {"rate": 5, "frames": 8, "size": 32, "short_sides": [32, 36], "flip": 0.5}
X3D = {"widths": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "head_width": 16, "dropout": 0.5}
STREAM = {"widths": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "head_width": 16}
SLOWFAST = {"width": 8, "depths": [1, 1, 1, 1], "dropout": 0.0}


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory) -> Path:
    """Official CSV files, and videos in folders of their class, some of which are missing."""
    folder = tmp_path_factory.mktemp("kinetics")
    rows: dict[str, list[list[object]]] = {"train": [], "validate": []}
    for index in range(10):
        label, split = CLASSES[index % 2], "validate" if index >= 8 else "train"
        rows[split].append([label, f"tube{index:07d}", 3, 5, split])
        if index == 5:
            continue
        path = folder / "videos" / label / f"tube{index:07d}_000003_000005.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, label, (0.0, 2.0), seconds=2.0, rate=10)
    for split, content in rows.items():
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
            writer.writerows(content)
    return folder


def pretraining(path: Path, kinetics: Path, **changes) -> Path:
    changes = {
        "task": "pretraining",
        "method": "detection",
        "data": {
            "annotations": str(kinetics),
            "videos": str(kinetics / "videos"),
            "validation_subset": "validation",
            "skip_missing": True,
            "workers": 0,
        },
        "clip": CLIP,
        "network": X3D,
        "evaluate_every": 0,
        **changes,
    }
    return write_recipe(path, kinetics, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": X3D},
        {"network": {**X3D, "per_frame": False}, "method": "classification"},
        {"network": SLOWFAST},
        {"network": {"pooling": "grid", "cells": 1, "fine": STREAM, "coarse": STREAM}},
        {"background": "none", "average": "support"},
        {"augmentation": {"augmentations": ["cutmix"], "combination": "single", "labels": "hard"}},
    ],
    ids=["x3d", "classification", "slowfast", "coarse-fine", "no background", "single"],
)
def test_networks_and_methods_train_on_kinetics_and_say_what_is_missing(
    kinetics, tmp_path, capsys, changes
):
    recipe = read_recipe(pretraining(tmp_path / "r.yaml", kinetics, **changes))
    assert isinstance(recipe, PretrainingRecipe)
    result = train_and_validate(recipe, device="cpu")
    printed = capsys.readouterr().out
    assert "1 of 10 videos are not in" in printed
    assert "top-1 accuracy" in printed
    background = recipe.method == "detection" and recipe.background == "class"
    expected = ("background", *CLASSES) if background else CLASSES
    assert read_card(result.best).classes == expected
    weights = load_file(result.best)
    assert all(bool(torch.isfinite(tensor.float()).all()) for tensor in weights.values())


def test_a_missing_video_stops_the_run_where_it_is_not_to_be_skipped(kinetics, tmp_path):
    data = {
        "annotations": str(kinetics),
        "videos": str(kinetics / "videos"),
        "validation_subset": "validation",
        "workers": 0,
    }
    recipe = read_recipe(pretraining(tmp_path / "r.yaml", kinetics, data=data))
    with pytest.raises(VideoError, match="tube0000005"):
        train_and_validate(recipe, device="cpu")
    with pytest.raises(VideoError, match="has none of the 10 annotated videos"):
        present(read_annotations(kinetics), tmp_path)


MULTIGRID = {
    "long_cycle": [[0.5, 0.7071067811865476], [1.0, 1.0]],
    "short_cycle": [],
    "stages": [0.5],
    "normalization_batch": 2,
}
LARGE_CLIP = {**CLIP, "size": 48, "short_sides": [48]}


def test_multigrid_trains_through_its_shapes(kinetics, tmp_path, monkeypatch):
    seen = []
    forward = torch.nn.functional.batch_norm

    def watched(x, *arguments, **options):
        seen.append(tuple(x.shape))
        return forward(x, *arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "batch_norm", watched)
    changes = {"multigrid": MULTIGRID, "clip": LARGE_CLIP, "batch_size": 1, "epochs": 2}
    changes["network"] = {**X3D, "splits": 1}
    result = train_and_validate(
        read_recipe(pretraining(tmp_path / "r.yaml", kinetics, **changes)), device="cpu"
    )
    frames = {shape[2] for shape in seen}
    assert frames == {4, 8}
    # A batch of four short clips is normalized in four parts: one sample with four times the
    # channels.
    assert {shape[0] for shape in seen} == {1}
    card = load_checkpoint(result.last)[1]
    assert isinstance(card.network, X3DConfig)
    assert card.network.splits == 1


def test_shapes_that_cannot_be_had_are_told_in_one_line(kinetics, tmp_path, capsys):
    recipe = pretraining(tmp_path / "r.yaml", kinetics, multigrid=MULTIGRID)
    assert main(["train", str(recipe), "--device", "cpu"]) == 1
    error = capsys.readouterr().err
    assert "clips get as small as" in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_killed_multigrid_run_ends_with_the_same_weights(kinetics, tmp_path):
    """kill -9 while shapes change, against a run left alone."""
    changes = {
        "multigrid": MULTIGRID,
        "clip": LARGE_CLIP,
        "batch_size": 1,
        "epochs": 6,
        "save_every_seconds": 0.0,
    }
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name in ("alone", "killed"):
        (tmp_path / name).mkdir()
    alone = pretraining(tmp_path / "alone" / "r.yaml", kinetics, **changes)
    killed = pretraining(tmp_path / "killed" / "r.yaml", kinetics, **changes)
    command = [sys.executable, "-m", "actline.cli.main", "train"]
    subprocess.run(
        [*command, str(alone), "--device", "cpu"], env=environment, check=True, capture_output=True
    )
    state = tmp_path / "killed" / "run" / "state.pt"
    kills = 0
    for delay in (0.1, 0.5):
        process = subprocess.Popen(
            [*command, str(killed), "--device", "cpu"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        known = state.stat().st_mtime_ns if state.exists() else 0
        while process.poll() is None:
            if state.exists() and state.stat().st_mtime_ns != known:
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        kills += process.wait() == -signal.SIGKILL
    assert kills
    subprocess.run(
        [*command, str(killed), "--device", "cpu"], env=environment, check=True, capture_output=True
    )
    ours = load_file(tmp_path / "alone" / "run" / "last.safetensors")
    theirs = load_file(tmp_path / "killed" / "run" / "last.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_head_of_other_classes_is_new_and_one_of_the_same_can_be(kinetics, tmp_path):
    recipe = read_recipe(pretraining(tmp_path / "r.yaml", kinetics))
    checkpoint = train_and_validate(recipe, device="cpu").best
    classes = read_card(checkpoint).classes
    network = recipe.network.build(len(classes))
    assert start_from(network, checkpoint, classes=classes) == []
    assert start_from(network, checkpoint, classes=("a", "b", "c")) == [
        "head.classify.bias",
        "head.classify.weight",
    ]


def test_impossible_recipes_are_refused(kinetics, tmp_path):
    for change, said in (
        ("method=classification", "per_frame must be true for method detection"),
        ("clip.labels_per_frame=4", "labels_per_frame must be 1"),
        ("augmentation.augmentations=[frieze]", "frieze"),
        ("augmentation.shortest_span=0.2", "shortest_span must be from 0.5"),
        ("multigrid={}", None),
    ):
        path = pretraining(tmp_path / "r.yaml", kinetics)
        if said is None:
            assert read_recipe(path, [change]).name == "tiny"
            continue
        with pytest.raises(RecipeError, match=said):
            read_recipe(path, [change])
    with pytest.raises(RecipeError, match="ema is not for multigrid"):
        read_recipe(path, ["multigrid={}", "ema=0.9"])


def test_a_video_shorter_than_a_clip_starts_anew(kinetics):
    annotations, _ = present(read_annotations(kinetics), kinetics / "videos")
    clips = TrimmedClips(
        annotations,
        kinetics / "videos",
        ClipConfig(rate=5, frames=8, size=32, short_sides=(32,), flip=0.0),
        seed=0,
    )
    # Two seconds at five frames a second are ten frames.
    clip = clips[ClipRequest(epoch=0, index=0, frames=24, size=32, max_stride=3)].clip
    assert clip.shape == (3, 24, 32, 32)
    assert torch.equal(clip[:, :10], clip[:, 10:20])
    small = clips[ClipRequest(epoch=0, index=0, frames=4, size=32, max_stride=2)]
    again = clips[ClipRequest(epoch=0, index=0, frames=4, size=32, max_stride=2)]
    assert torch.equal(small.clip, again.clip)
    assert small.label == CLASSES.index(annotations.videos[0].activities[0].label)
    assert clips.central(0).shape == (3, 8, 32, 32)


def test_videos_of_no_class_are_left_out_and_of_several_refused(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("video,label,start,end,duration\na,x,0,1,2\nb,,,,2\nc,x,0,1,2\nc,y,1,2,2\n")
    annotations = read_annotations(table)
    kept = labelled(annotations)
    assert [video.id for video in kept.videos] == ["a", "c"]
    assert class_of(kept.videos[0], kept) == 0
    with pytest.raises(AnnotationError, match="video c shows 2 classes"):
        class_of(kept.videos[1], kept)
    (tmp_path / "none.csv").write_text("video,label,start,end,duration\nb,,,,2\n")
    with pytest.raises(AnnotationError, match="no video has a class"):
        labelled(read_annotations(tmp_path / "none.csv"))


def test_augmentations_of_own_clips_are_drawn(kinetics, tmp_path, capsys):
    videos = [str(path) for path in sorted((kinetics / "videos").rglob("*.mp4"))[:3]]
    out = tmp_path / "augmentations.svg"
    arguments = ["plot", "augmentations", *videos, "--frames", "8", "--size", "32"]
    assert main([*arguments, "--classes", "one,two,three", "--out", str(out)]) == 0
    assert out.read_text().count("<image") == 5
    capsys.readouterr()
    for wrong in ([*arguments[:3]], [*arguments, "--classes", "one"]):
        assert main([*wrong, "--out", str(out)]) == 1
        assert "one label each" in capsys.readouterr().err
    assert main(["plot", *videos[:2]]) == 1
    assert "one picture shows one prediction" in capsys.readouterr().err
