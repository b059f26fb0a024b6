"""Pretraining on trimmed videos runs for real, resumes without a trace, and leads to detection."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import CLASSES, write_recipe, write_video

from actline.annotations.read import read_annotations
from actline.annotations.usable import present, videos_with_classes
from actline.cli.main import main
from actline.datasets.batches import derived_seed
from actline.datasets.frame_clips import ClipConfig
from actline.datasets.trimmed_clips import (
    ClipRequest,
    TrimmedClips,
    class_of,
)
from actline.errors import AnnotationError, RecipeError, VideoError
from actline.models.checkpoint import load_checkpoint, read_card
from actline.models.transfer import start_from
from actline.models.x3d import X3DConfig
from actline.pretraining.augmentation import augment
from actline.pretraining.volume_freeze import label_frames
from actline.training.pretraining import PretrainingJob, PretrainingRecipe
from actline.training.tasks import read_recipe
from actline.training.train import train

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
    result = train(recipe, device="cpu")
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
        train(recipe, device="cpu")
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
    result = train(read_recipe(pretraining(tmp_path / "r.yaml", kinetics, **changes)), device="cpu")
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
    assert isinstance(recipe, PretrainingRecipe)
    checkpoint = train(recipe, device="cpu").best
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


def test_views_begin_at_whole_steps_from_the_first_frame(kinetics):
    annotations, _ = present(read_annotations(kinetics), kinetics / "videos")
    for frames, starts in ((4, (0, 2, 4)), (8, (0, 0, 0)), (12, (0, 0, 0))):
        config = ClipConfig(rate=5, frames=frames, size=32, short_sides=(32,), flip=0.0)
        clips = TrimmedClips(annotations, kinetics / "videos", config, seed=0)
        views = clips.views(0, 3)
        assert views.shape == (3, 3, frames, 32, 32)
        whole = TrimmedClips(
            annotations, kinetics / "videos", replace(config, frames=10), seed=0
        ).views(0, 2)[0]
        for view, start in zip(views, starts, strict=True):
            expected = [(start + n) % 10 for n in range(frames)]
            assert torch.equal(view, whole[:, expected])
        assert torch.equal(clips.views(0, 1)[0], clips.central(0))


@pytest.fixture(scope="module")
def untrimmed(tmp_path_factory) -> Path:
    """Charades' JSON: videos of several classes each, of one, and of none."""
    folder = tmp_path_factory.mktemp("untrimmed")
    (folder / "videos").mkdir()
    actions = {
        "both": [[0, 0.5, 1.5], [1, 2.5, 3.5]],
        "again": [[0, 0.0, 1.0], [0, 1.0, 2.0], [1, 0.0, 4.0]],
        "one": [[1, 1.0, 3.0]],
        "none": [],
    }
    content = {}
    for name, given in actions.items():
        write_video(folder / "videos" / f"{name}.mp4", CLASSES[0], (0.5, 1.5), seconds=4.0, rate=10)
        for subset, ending in (("training", ""), ("testing", "-test")):
            content[name + ending] = {"subset": subset, "duration": 4.0, "actions": given}
        (folder / "videos" / f"{name}-test.mp4").symlink_to(folder / "videos" / f"{name}.mp4")
    (folder / "annotations.json").write_text(json.dumps(content))
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return folder


def several(path: Path, untrimmed: Path, **changes) -> Path:
    data = {
        "annotations": str(untrimmed / "annotations.json"),
        "classes": str(untrimmed / "classes.txt"),
        "videos": str(untrimmed / "videos"),
        "workers": 0,
    }
    changes = {
        "method": "classification",
        "classes_per_video": "several",
        "data": data,
        "network": {**X3D, "per_frame": False},
        **changes,
    }
    return pretraining(path, untrimmed, **changes)


def test_untrimmed_videos_of_several_classes_are_classified(untrimmed, tmp_path, capsys):
    recipe = read_recipe(several(tmp_path / "r.yaml", untrimmed, views=3))
    result = train(recipe, device="cpu")
    assert "mAP over videos (3 views)" in capsys.readouterr().out
    card = read_card(result.best)
    assert card.classes == CLASSES
    assert 0 < result.best_score <= 1
    one = several(tmp_path / "one.yaml", untrimmed, classes_per_video="one")
    assert main(["train", str(one), "--device", "cpu"]) == 1
    error = capsys.readouterr().err
    assert "video both-test shows 2 classes" in error
    assert "classes_per_video=several" in error
    with pytest.raises(RecipeError, match=r"several.* is for method classification"):
        read_recipe(several(tmp_path / "r.yaml", untrimmed, method="detection", network=X3D))


def test_a_clip_of_several_classes_has_those_that_happen_in_it(untrimmed):
    annotations = read_annotations(
        untrimmed / "annotations.json", classes=untrimmed / "classes.txt"
    ).subset("training")
    clips = TrimmedClips(
        annotations,
        untrimmed / "videos",
        ClipConfig(rate=5, frames=5, size=32, short_sides=(32,), flip=0.0),
        seed=0,
        several=True,
    )
    index = {video.id: number for number, video in enumerate(annotations.videos)}
    expected = {"both": [1, 1], "again": [1, 1], "one": [0, 1], "none": [0, 0]}
    assert {name: clips.labels[index[name]].tolist() for name in expected} == expected
    seen = set()
    for epoch in range(40):
        for name in ("both", "none"):
            sample = clips[ClipRequest(epoch, index[name], frames=5, size=32, max_stride=1)]
            seen.add((name, tuple(sample.label.tolist())))
    # A second of four never sees both of two activities that are a second apart.
    assert {("both", (1, 0)), ("both", (0, 1)), ("none", (0, 0))} <= seen
    assert ("both", (1, 1)) not in seen
    # A clip longer than the video has all of its classes.
    long = clips[ClipRequest(0, index["both"], frames=25, size=32, max_stride=1)]
    assert long.label.tolist() == [1, 1]


def test_short_videos_are_left_out_of_pretraining(kinetics, tmp_path):
    recipe = read_recipe(pretraining(tmp_path / "r.yaml", kinetics), ["data.min_seconds=3"])
    with pytest.raises(AnnotationError, match=r"every video is shorter than data\.min_seconds"):
        train(recipe, device="cpu")


def test_all_processes_of_a_step_draw_the_same_augmentations(kinetics, tmp_path):
    """The draws of a step, as the training loop seeds them, in two processes."""
    drawn: dict[tuple[str, int], list[int]] = {}
    for share in ("step", "process"):
        change = [f"augmentation.drawn_for={share}", "epochs=8"]
        recipe = read_recipe(pretraining(tmp_path / "r.yaml", kinetics), change)
        assert isinstance(recipe, PretrainingRecipe)
        annotations, _ = present(read_annotations(kinetics), kinetics / "videos")
        job = PretrainingJob(recipe, annotations.subset("training"), device=torch.device("cpu"))
        for process in range(2):
            batches = job.batches(Processes(process), first=0, last=8)  # type: ignore[arg-type]
            for step, batch in enumerate(batches):
                generator = torch.Generator().manual_seed(derived_seed(recipe.seed, step, process))
                shared = torch.Generator().manual_seed(batch.shared_seed)
                augmented = augment(
                    label_frames(batch.trimmed.clip, labels=batch.trimmed.labels + 1),
                    settings=recipe.augmentation,
                    generator=generator,
                    shared=shared,
                )
                drawn.setdefault((share, process), []).append(len(augmented.labels))
    assert drawn["step", 0] == drawn["step", 1]
    assert drawn["process", 0] != drawn["process", 1]
    # One process draws what it always has.
    assert drawn["step", 0] == drawn["process", 0]
    assert len(set(drawn["step", 0])) > 1


@dataclass
class Processes:
    """The place of one of two processes, as a launcher would give it."""

    process_index: int
    num_processes: int = 2
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


def test_videos_of_no_class_are_left_out_and_of_several_refused(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("video,label,start,end,duration\na,x,0,1,2\nb,,,,2\nc,x,0,1,2\nc,y,1,2,2\n")
    annotations = read_annotations(table)
    kept = videos_with_classes(annotations)
    assert [video.id for video in kept.videos] == ["a", "c"]
    assert class_of(kept.videos[0], kept) == 0
    with pytest.raises(AnnotationError, match="video c shows 2 classes"):
        class_of(kept.videos[1], kept)
    (tmp_path / "none.csv").write_text("video,label,start,end,duration\nb,,,,2\n")
    with pytest.raises(AnnotationError, match="no video has a class"):
        videos_with_classes(read_annotations(tmp_path / "none.csv"))


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
