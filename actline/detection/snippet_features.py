"""Snippet features of whole videos: what BMN and TCANet look at in place of frames."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from actline.detection.frames import card_sampling, windows
from actline.detection.model import Model
from actline.detection.windows import window_middles, window_starts
from actline.errors import CheckpointError, FeatureError
from actline.features.snippets import SnippetFeatures, SnippetOrigin
from actline.models.checkpoint import ModelCard, weights_hash
from actline.models.slowfast import SlowFast
from actline.models.x3d import X3D
from actline.video.decode import ShortSide, probe, read_frames
from actline.video.sampling import check_samples, sample_times
from actline.video.transforms import to_clip

POOLING = "mean over space and over the snippet's frames"


def snippet_origin_of(model: Model, interval: float) -> SnippetOrigin:
    """What features of this model, `interval` seconds apart, depend on.

    Raises:
        CheckpointError: the model is neither an X3D nor a SlowFast.
    """
    name = type(model.network).__name__
    if not isinstance(model.network, X3D | SlowFast):
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
    twice but where windows over a long video overlap. (TCANet's published features were made so
    too: "keep t", every eighth frame.) A frame belongs to the window in whose middle it lies most.

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
    network, card = model.network, model.card
    assert isinstance(network, X3D | SlowFast), "checked by snippet_origin_of"
    duration = probe(video, frame_rate=frame_rate).duration
    times = sample_times(video, card_sampling(card), frame_rate=frame_rate)
    check_samples(video, float(times[-1]) / interval, frames=len(times))
    snippet = torch.from_numpy((times / interval + 1e-6).astype("int64"))
    count = torch.bincount(snippet)
    if len(times) > 1 and interval < float(np.median(np.diff(times))) - 1e-6:
        raise FeatureError(
            f"{video}: some snippets of {interval:g} s have no frame; make them longer"
        )
    starts = window_starts(len(times), window=card.window, overlap=card.overlap)
    middles = window_middles(starts, window=card.window, frames=len(times))
    frames = read_frames(video, times, size=ShortSide(card.size), frame_rate=frame_rate)
    transform = model.transform()
    total: Tensor | None = None
    for (start, window), (begin, end) in zip(
        windows(frames, starts, card.window), middles, strict=True
    ):
        clip = transform(to_clip(window)).unsqueeze(0).to(model.device)
        output = network.per_frame(clip.contiguous(memory_format=torch.channels_last_3d))
        found = torch.cat([output.features[0], probabilities(output.logits[0], card)]).float().cpu()
        if total is None:
            total = found.new_zeros(found.shape[0], len(count))
        total.index_add_(1, snippet[begin:end], found[:, begin - start : end - start])
        if on_frames is not None:
            on_frames(end - begin)
    assert total is not None, "a video has a frame"
    seen = torch.where(count > 0, torch.arange(len(count)), int(snippet[0])).cummax(0).values
    mean = (total / count)[:, seen]
    features, scores = mean.split([len(mean) - len(card.classes), len(card.classes)])
    duration = max(duration, math.nextafter(float(times[-1]), math.inf))
    return SnippetFeatures(features, interval, duration, 0.0, scores, card.classes)


def probabilities(logits: Tensor, card: ModelCard) -> Tensor:
    """Of classes (K, T): exclusive after training on whole clips, independent otherwise."""
    per_frame = getattr(card.network, "per_frame", True)
    return logits.sigmoid() if per_frame else logits.softmax(dim=0)
