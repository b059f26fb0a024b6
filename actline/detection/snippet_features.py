"""Snippet features of whole videos: what BMN and TCANet look at in place of frames."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actline.detection.model import Model
from actline.errors import CheckpointError, FeatureError
from actline.features.snippets import SnippetFeatures, SnippetOrigin
from actline.models.cards import ModelCard
from actline.models.checkpoint import weights_hash
from actline.video.decode import probe
from actline.video.sampling import check_samples
from actline.video.windows import WindowedVideo

POOLING = "mean over space and over the snippet's frames"


def snippet_origin_of(model: Model, interval: float) -> SnippetOrigin:
    """What features of this model, `interval` seconds apart, depend on.

    Raises:
        CheckpointError: the model is neither an X3D nor a SlowFast.
    """
    name = type(model.network).__name__
    if model.network.frame_channels is None:
        raise CheckpointError(
            f"snippet features come from an X3D or a SlowFast; this checkpoint holds {name}"
        )
    return SnippetOrigin(name, weights_hash(model.network), interval, interval, POOLING)


@torch.inference_mode()
def extract_snippets(
    video: Path,
    model: Model,
    *,
    interval: float,
    frame_rate: float = 24.0,
    on_frames: Callable[[int], None] | None = None,
) -> SnippetFeatures:
    """Encode a video once and average its features over every `interval` seconds.

    The networks keep time, so a frame's features see what surrounds it, and no frame is encoded
    twice except where windows over a long video overlap. (TCANet's published features were made so
    too: "keep t", every eighth frame.) A frame belongs to the window in which it is most central.

    Snippets count from second 0 of the file's clock. One within a gap of the video's frames has the
    features of the one before, as that stays on display, and one before the first frame those of
    the first.

    Args:
        interval: seconds; at least the time from one sampled frame to the next.
        frame_rate: of a frame folder.
        on_frames: called with the number of frames that were newly seen, for progress.

    Returns:
        Features (C, T), and the probabilities (K, T) of the network's classes: softmax for a
        network trained on whole clips, independent ones for per-frame detection.

    Raises:
        VideoError: the video cannot be read.
        FeatureError: a snippet would have no frame.
    """
    network = model.network
    duration = probe(video, frame_rate=frame_rate).duration
    windows = WindowedVideo(video, model.view, frame_rate=frame_rate, on_frames=on_frames)
    snippet = snippet_numbers(video, windows.times, interval)
    count = torch.bincount(snippet)
    total: Tensor | None = None
    for window in windows:
        output = network.frame_output(model.batch_of(window.clip))
        scores = probabilities(output.logits[0], model.card)
        found = torch.cat([output.features[0], scores]).float().cpu()
        if total is None:
            total = found.new_zeros(found.shape[0], len(count))
        total.index_add_(1, snippet[window.middle], found[:, window.own])
    assert total is not None, "a video has a frame"
    seen = torch.where(count > 0, torch.arange(len(count)), int(snippet[0])).cummax(0).values
    mean = (total / count)[:, seen]
    features, scores = mean.split([len(mean) - len(model.classes), len(model.classes)])
    duration = max(duration, math.nextafter(float(windows.times[-1]), math.inf))
    return SnippetFeatures(features, interval, duration, 0.0, scores, model.classes)


def snippet_numbers(video: Path, times: NDArray[np.float64], interval: float) -> Tensor:
    """Which snippet each sampled frame belongs to: (T,), counted from second 0.

    Raises:
        VideoError: there are far more snippets than frames.
        FeatureError: a snippet would have no frame.
    """
    check_samples(video, float(times[-1]) / interval, frames=len(times))
    if len(times) > 1 and interval < float(np.median(np.diff(times))) - 1e-6:
        raise FeatureError(
            f"{video}: some snippets of {interval:g} s have no frame; make them longer"
        )
    return torch.from_numpy((times / interval + 1e-6).astype("int64"))


def probabilities(logits: Tensor, card: ModelCard) -> Tensor:
    """Of classes (K, T): exclusive after training on whole clips, independent otherwise."""
    return logits.sigmoid() if card.network.per_frame else logits.softmax(dim=0)
