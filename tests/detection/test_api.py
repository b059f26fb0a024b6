"""The calls of the package: whatever the checkpoint, load_model gives what detects; many videos."""

import doctest
import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CLASSES, write_video

import actline
from actline.cli.main import main
from actline.detection.batch import Outcome
from actline.detection.clips import ClipDetector
from actline.detection.frames import FrameDetector
from actline.detection.given import with_given
from actline.detection.segments import SegmentDetector
from actline.errors import CheckpointError, OutputError, VideoError
from actline.features.snippets import SnippetOrigin, load_snippets
from actline.models.bmn import BMNConfig
from actline.models.cards import ChainCard, LabelConfig, ModelCard, SegmentCard
from actline.models.checkpoint import save_checkpoint, weights_hash
from actline.models.x3d import X3DConfig
from actline.timeline.suppression import SuppressionConfig
from actline.video.windows import WindowedVideo

SMALL = {"widths": (8, 8, 8, 16), "depths": (1, 1, 1, 1), "head_width": 16}
WIDTH = 36
SHOWN = {"size": 32, "mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225), "rate": 5.0}
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks are quicker so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def kit(tmp_path_factory) -> Path:
    """Untrained checkpoints of every kind, and videos."""
    folder = tmp_path_factory.mktemp("kit")
    torch.manual_seed(0)
    config = X3DConfig(**SMALL)
    card = ModelCard(network=config, classes=CLASSES, window=16, overlap=4, **SHOWN)
    frames = config.build(2).eval()
    save_checkpoint(folder / "model.safetensors", frames, card)
    per_clip = X3DConfig(**SMALL, per_frame=False)
    clip_card = ModelCard(network=per_clip, classes=CLASSES, window=8, overlap=4, **SHOWN)
    save_checkpoint(folder / "classifier.safetensors", per_clip.build(2).eval(), clip_card)
    bmn = BMNConfig(WIDTH, temporal_scale=8, width=8, pair_width=8, map_width=8, samples=4)
    pooling = "mean over space and over the snippet's frames"
    origin = SnippetOrigin("X3D", weights_hash(frames), 0.4, 0.4, pooling)
    suppression = SuppressionConfig(top_k=10)
    stage_card = SegmentCard(bmn, CLASSES, origin, suppression)
    stage = bmn.build().eval()
    save_checkpoint(folder / "bmn.safetensors", stage, stage_card)
    links = torch.nn.ModuleDict({"backbone": frames, "proposals": stage})
    chain = ChainCard(card, origin, 0.4, stage_card, None, LabelConfig())
    save_checkpoint(folder / "chain.safetensors", links, chain)
    (folder / "videos").mkdir()
    for number, name in enumerate(NAMES):
        path = folder / "videos" / f"{name}.mp4"
        write_video(path, CLASSES[number % 2], (1.0, 2.5), seconds=4.0, rate=10)
    shutil.copy(folder / "videos" / "a.mp4", folder / "video.mp4")
    return folder


KINDS = {
    "model.safetensors": FrameDetector,
    "classifier.safetensors": ClipDetector,
    "chain.safetensors": SegmentDetector,
}


@pytest.mark.parametrize("name", KINDS)
def test_every_checkpoint_is_loaded_and_used_in_the_same_way(kit, name):
    model = actline.load_model(kit / name, device="cpu")
    assert type(model) is KINDS[name]
    assert model.classes == CLASSES
    timeline = model.detect(kit / "video.mp4", threshold=0.0)
    same = actline.detect(kit / "video.mp4", model, threshold=0.0)
    assert same.activities == timeline.activities
    assert (timeline.video, timeline.duration) == ("video", 4.0)
    assert timeline.activities
    assert (timeline.scores is not None) == model.per_frame
    assert {one.label for one in timeline.activities} <= set(CLASSES)
    short = model.detect(kit / "video.mp4", threshold=0.0, min_seconds=9.0)
    assert not short.activities


def test_a_classifier_gives_each_frame_the_mean_of_its_windows(kit):
    """Against the windows one by one: 20 frames in windows of 8, each 4 after the last."""
    model = actline.load_model(kit / "classifier.safetensors", device="cpu")
    assert isinstance(model, ClipDetector)
    scores = model.detect(kit / "video.mp4").scores
    assert scores is not None and scores.probabilities.shape == (20, 2)
    np.testing.assert_allclose(scores.probabilities.sum(axis=1), 1.0, rtol=1e-5)
    windows = WindowedVideo(kit / "video.mp4", model.view)
    each = [model.window_probabilities(window.clip)[0] for window in windows]
    assert all(torch.equal(one, one[:1].expand(8, -1)) for one in each)
    first, second = each[0][0].numpy(), each[1][0].numpy()
    np.testing.assert_allclose(scores.probabilities[:4], np.broadcast_to(first, (4, 2)), rtol=1e-5)
    fade = (np.arange(4) + 1)[:, None] / 5  # of the second window, over the frames of both
    both = (fade * second + fade[::-1] * first) / (fade + fade[::-1])
    np.testing.assert_allclose(scores.probabilities[4:8], both, rtol=1e-5)


def test_a_stage_alone_is_refused_with_what_else_it_takes(kit):
    with pytest.raises(CheckpointError, match=r"works on features.*chain --backbone … --proposals"):
        actline.load_model(kit / "bmn.safetensors", device="cpu")


def statuses(outcomes: Iterator[Outcome]) -> dict[str, str]:
    return {one.video.id: one.status for one in outcomes}


@pytest.mark.parametrize("name", KINDS)
def test_many_videos_are_detected_in_once_and_those_that_fail_are_reported(kit, tmp_path, name):
    model = actline.load_model(kit / name, device="cpu")
    videos = tmp_path / "videos"
    shutil.copytree(kit / "videos", videos)
    (videos / "bad.mp4").write_text("no video")
    outcomes = list(actline.detect_all(videos, model, out=tmp_path / "out"))
    assert [one.video.id for one in outcomes] == ["a", "b", "bad", "c"]
    assert [one.status for one in outcomes] == ["done", "done", "failed", "done"]
    assert isinstance(outcomes[2].error, VideoError)
    for outcome in outcomes:
        if outcome.result is not None:
            written = json.loads((tmp_path / "out" / f"{outcome.video.id}.json").read_text())
            assert len(written["results"][outcome.video.id]) == len(outcome.result.activities)
    said: list[str] = []
    again = actline.detect_all(videos, model, out=tmp_path / "out", say=said.append)
    assert statuses(again) == {"a": "skipped", "b": "skipped", "bad": "failed", "c": "skipped"}
    assert said == ["3 of 4 videos are done already"]
    with pytest.raises(OutputError, match="other settings"):
        actline.detect_all(videos, model, out=tmp_path / "out", min_seconds=1.0)
    more = actline.detect_all(videos, model, out=tmp_path / "out", min_seconds=1.0, overwrite=True)
    assert statuses(more)["a"] == "done"


def test_the_command_takes_up_what_python_began(kit, tmp_path, capsys):
    model = actline.load_model(kit / "model.safetensors", device="cpu")
    out = tmp_path / "out"
    first = actline.detect_all(kit / "videos", model, out=out, share="0/3", formats=("json",))
    assert statuses(first) == {"a": "done"}
    command = ["detect", str(kit / "videos"), "--checkpoint", str(kit / "model.safetensors")]
    assert main([*command, "--out", str(out), "--formats", "json", "--device", "cpu"]) == 0
    assert "1 of 3 videos are done already" in capsys.readouterr().out


def test_without_a_folder_nothing_is_written(kit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = actline.load_model(kit / "model.safetensors", device="cpu")
    outcomes = list(actline.detect_all([kit / "videos" / "a.mp4", kit / "videos" / "b.mp4"], model))
    assert [one.video.id for one in outcomes if one.result is not None] == ["a", "b"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", KINDS)
def test_several_workers_find_what_one_finds(kit, tmp_path, name):
    model = actline.load_model(kit / name, device="cpu")
    found = []
    for workers in (1, 3):
        outcomes = actline.detect_all(
            kit / "videos", model, out=tmp_path / str(workers), workers=workers, formats=("json",)
        )
        assert statuses(outcomes) == dict.fromkeys(NAMES, "done")
        found.append([(tmp_path / str(workers) / f"{one}.json").read_bytes() for one in NAMES])
    assert found[0] == found[1]


def test_a_run_that_is_left_in_the_middle_goes_on_later(kit, tmp_path):
    model = actline.load_model(kit / "model.safetensors", device="cpu")
    for workers in (1, 2):
        out = tmp_path / str(workers)
        run = actline.detect_all(kit / "videos", model, out=out, workers=workers)
        first = next(run)
        run.close()  # type: ignore[attr-defined]
        rest = statuses(actline.detect_all(kit / "videos", model, out=out))
        assert rest[first.video.id] == "skipped"
        assert set(rest) == set(NAMES)
        assert all((out / f"{name}.json").is_file() for name in NAMES)


def test_features_are_extracted_from_python_as_by_the_command(kit, tmp_path):
    checkpoint = kit / "model.safetensors"
    ours = list(actline.extract(kit / "videos", checkpoint, out=tmp_path / "ours", snippets=0.4))
    assert [one.status for one in ours] == ["done"] * 3
    command = ["extract", str(kit / "videos"), "--checkpoint", str(checkpoint), "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "theirs"), "--snippets", "0.4"]) == 0
    for outcome in ours:
        path = outcome.result
        assert path is not None
        theirs = load_snippets(tmp_path / "theirs" / path.name)
        assert torch.equal(load_snippets(path).features, theirs.features)
    again = actline.extract(kit / "videos", checkpoint, out=tmp_path / "theirs", snippets=0.4)
    assert statuses(again) == dict.fromkeys(NAMES, "skipped")
    fine = actline.extract(kit / "videos", checkpoint, out=tmp_path / "fine", cells=1, workers=2)
    assert statuses(fine) == dict.fromkeys(NAMES, "done")


def test_a_chain_takes_stored_features_of_the_annotated_videos(kit, tmp_path):
    chain = actline.load_model(kit / "chain.safetensors", device="cpu")
    frames = kit / "model.safetensors"
    features = tmp_path / "features"
    assert len(list(actline.extract(kit / "videos", frames, out=features, snippets=0.4))) == 3
    rows = [f"{name},move,1.0,2.5" for name in NAMES[:2]]
    (tmp_path / "annotations.csv").write_text("\n".join(["video,label,start,end", *rows]) + "\n")
    stored = with_given(chain, features=features, annotations=tmp_path / "annotations.csv")
    found = {one.video.id: one.result for one in actline.detect_all(None, stored)}
    assert list(found) == list(NAMES[:2])
    for name, timeline in found.items():
        assert timeline is not None
        assert timeline.activities == chain.detect(kit / "videos" / f"{name}.mp4").activities
    assert with_given(chain) is chain
    per_frame = actline.load_model(frames, device="cpu")
    with pytest.raises(CheckpointError, match="features: only for a chain"):
        with_given(per_frame, features=features)
    with pytest.raises(VideoError, match="no video is named"):
        actline.detect_all(None, chain)


@pytest.mark.parametrize("name", ["load_model", "detect", "detect_all", "extract"])
def test_the_examples_of_the_calls_run(kit, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(kit / "videos", "videos")
    shutil.copy(kit / "video.mp4", "video.mp4")
    shutil.copy(kit / "model.safetensors", "model.safetensors")
    call = getattr(actline, name)
    known = {"actline": actline, "model": actline.load_model("model.safetensors", device="cpu")}
    tests = doctest.DocTestFinder().find(call, name, globs=known)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    results = [runner.run(test) for test in tests]
    assert sum(one.attempted for one in results) > 0
    assert sum(one.failed for one in results) == 0


def test_what_the_package_offers_is_what_it_names():
    for name in actline.__all__:
        assert callable(getattr(actline, name)), name
    assert list(itertools.filterfalse(actline.__all__.__contains__, actline._HOMES)) == []
