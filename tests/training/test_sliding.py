"""BMN slid over long videos: every activity is within a window, and proposals at their place."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_segments import (
    DURATION,
    HELD_OUT,
    INTERVAL,
    LENGTH,
    SEGMENTS,
    WIDTH,
    write_annotations,
    write_bmn,
    write_features,
)
from torch import nn

from actline.annotations.read import read_annotations
from actline.annotations.usable import trainable
from actline.cli.main import main
from actline.datasets.segments import SlidWindows, segments_within
from actline.errors import AnnotationError
from actline.features.folder import FeatureFolder
from actline.features.snippets import SnippetFeatures, sliding_windows
from actline.models.bmn import BMN, BMNConfig, BMNOutput
from actline.models.bmn_stage import merge_windows
from actline.models.checkpoint import load_segment_checkpoint
from actline.models.stage import stage_of
from actline.timeline.intervals import temporal_iou
from actline.timeline.proposals import Proposals
from actline.training.tasks import read_recipe
from actline.training.train import train

CPU = torch.device("cpu")


@given(count=st.integers(1, 70), length=st.integers(1, 30), offset=st.sampled_from([0.0, 1.5]))
def test_windows_overlap_by_half_and_reach_from_the_first_snippet_to_the_last(
    count: int, length: int, offset: float
):
    values = torch.arange(1.0, count + 1)[None]
    video = SnippetFeatures(values, 0.5, offset + count * 0.5, offset)
    windows = sliding_windows(video, length)
    starts = [round((window.offset - offset) / 0.5) for window in windows]
    assert starts[0] == 0
    assert starts[-1] == max(count - length, 0)
    assert all(0 < gap <= max(length // 2, 1) for gap in np.diff(starts))
    for start, window in zip(starts, windows, strict=True):
        assert window.features.shape == (1, length)
        assert window.duration == length * 0.5
        own = values[:, start : start + length]
        torch.testing.assert_close(window.features[:, : own.shape[1]], own)
        assert not window.features[:, own.shape[1] :].any()


def test_a_window_learns_activities_that_it_shows_most_of():
    segments = np.array([[1.0, 3.0], [8.5, 10.4], [8.0, 12.0], [20.0, 30.0], [4.0, 4.0]])
    within = segments_within(segments, 0.0, 10.3)
    np.testing.assert_allclose(within, [[1 / 10.3, 3 / 10.3], [8.5 / 10.3, 1.0]])
    np.testing.assert_allclose(segments_within(segments, 19.0, 20.0), [[0.05, 0.55]])


def test_proposals_of_windows_are_put_together_by_score_within_the_video():
    first = Proposals(np.array([1.0, 2.0]), np.array([3.0, 9.0]), np.array([0.9, 0.1]))
    second = Proposals(np.array([8.0, 10.5]), np.array([12.0, 11.0]), np.array([0.5, 0.4]))
    found = merge_windows([first, second], duration=10.0)
    np.testing.assert_array_equal(found.start, [1.0, 8.0, 2.0])
    np.testing.assert_array_equal(found.end, [3.0, 10.0, 9.0])
    np.testing.assert_array_equal(found.score, [0.9, 0.5, 0.1])


class Seeing(BMN):
    """A BMN that reads off the first channel where its window's activity starts and ends."""

    def forward(self, features: torch.Tensor) -> BMNOutput:
        T = self.config.temporal_scale
        on = nn.functional.pad((features[:, 0] > 0.5).float(), (1, 1))  # (1, T + 2)
        change = on.diff(dim=1)
        whole = change.max() > 0 > change.min() and on[0, 1] == on[0, T] == 0
        return BMNOutput(
            start=change[:, :T].clamp(min=0.01),
            end=(-change[:, :T]).clamp(min=0.01),
            confidence=torch.full((1, 2, T, T), 1.0 if whole else 0.1),
        )


def test_proposals_lie_where_they_are_in_the_video_not_in_the_window():
    start, end = 11.0, 14.0
    times = (torch.arange(LENGTH) + 0.5) * INTERVAL
    values = torch.zeros(WIDTH, LENGTH)
    values[0] = ((times > start) & (times < end)).float()
    config = BMNConfig(WIDTH, temporal_scale=16, width=8, pair_width=8, map_width=8, sliding=True)
    seeing = Seeing(config)
    found = seeing.stage()(SnippetFeatures(values, INTERVAL, DURATION))
    assert (found.start[0], found.end[0]) == (start, end)
    assert found.start.min() >= 0 and found.end.max() <= DURATION


def test_training_slides_and_detection_with_its_checkpoint_does_too(tmp_path):
    annotations = write_annotations(tmp_path / "annotations.json")
    features = write_features(tmp_path / "features")
    recipe = write_bmn(
        tmp_path / "slid" / "r.yaml",
        annotations,
        features,
        # Eleven seconds: the longest activity that is trained on fits.
        network={"temporal_scale": 22, "sliding": True},
        optimizer={"kind": "adamw", "lr": 0.01},
        epochs=60,
    )
    checkpoint = train(read_recipe(recipe), device="cpu").last
    bmn, _ = load_segment_checkpoint(checkpoint)
    assert isinstance(bmn, BMN) and bmn.config.sliding
    folder = FeatureFolder(features)
    overlaps = []
    for video in read_annotations(annotations).videos:
        if video.id in HELD_OUT:
            found = stage_of(bmn)(folder.load(video))
            first, last = SEGMENTS[video.id]
            overlaps.append(temporal_iou(found.start, found.end, first, last)[:20].max())
    assert min(overlaps) > 0.5


def test_windows_without_an_activity_are_not_trained_on(tmp_path):
    annotations = trainable(
        read_annotations(write_annotations(tmp_path / "annotations.json")), min_seconds=0.0
    )
    features = FeatureFolder(write_features(tmp_path / "features"))
    windows = SlidWindows(annotations, features, length=22)
    every = sum(len(sliding_windows(features.load(v), 22)) for v in annotations.videos)
    assert 0 < len(windows) < every
    for index in range(len(windows)):
        sample = windows[0, index]
        assert len(sample.segments) and 0 <= sample.segments.min() <= sample.segments.max() <= 1
        # The first channel is high where the activity is.
        inside = (torch.arange(22) + 0.5) / 22
        shown = ((inside > sample.segments[0, 0]) & (inside < sample.segments[0, 1])).float()
        assert torch.corrcoef(torch.stack((sample.features[0], shown)))[0, 1] > 0.8
    with pytest.raises(AnnotationError, match="temporal_scale"):
        SlidWindows(annotations, features, length=4)


def test_features_of_a_fixed_number_cannot_be_slid_over(tmp_path, capsys):
    annotations = write_annotations(tmp_path / "annotations.json")
    (tmp_path / "public").mkdir()
    for name in SEGMENTS:
        np.save(tmp_path / "public" / f"{name}.npy", np.zeros((20, WIDTH), np.float32))
    recipe = write_bmn(
        tmp_path / "fixed" / "r.yaml",
        annotations,
        tmp_path / "public",
        network={"sliding": True},
        data={"interval": 0.0},
    )
    assert main(["train", str(recipe), "--device", "cpu"]) == 1
    assert "network.sliding=false" in capsys.readouterr().err
