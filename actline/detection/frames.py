"""Per-frame detection: video to windows to probabilities to activities."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actline.detection.activities import find_activities
from actline.detection.model import Model
from actline.names import id_of
from actline.timeline import FrameScores, Timeline
from actline.video.decode import probe
from actline.video.windows import WindowedVideo


def detect(
    video: str | Path,
    model: Model,
    *,
    min_seconds: float = 0.0,
    max_gap: float = 0.0,
    frame_rate: float = 24.0,
    on_frames: Callable[[int], None] | None = None,
) -> Timeline:
    """Find what happens in a video, and when.

    Memory does not grow with the video's length but for the result itself: one window of frames
    is held at a time.

    Args:
        video: a video file, or a folder of frames.
        model: from `actline.load_model`.
        min_seconds: shorter activities are dropped.
        max_gap: seconds; stretches of one class with a shorter gap between them are one.
        frame_rate: of a frame folder.
        on_frames: called with the number of frames that were newly seen, for progress.

    Returns:
        Activities, per-frame probabilities, and where Grid Pool sampled.

    Raises:
        VideoError: the video cannot be read.
    """
    video = Path(video)
    duration = probe(video, frame_rate=frame_rate).duration
    scores, sampled = score_video(video, model, frame_rate=frame_rate, on_frames=on_frames)
    thresholds = model.card.thresholds or (0.5,) * len(model.classes)
    activities = find_activities(
        scores,
        np.asarray(thresholds, np.float32),
        duration=duration,
        min_seconds=min_seconds,
        max_gap=max_gap,
    )
    return Timeline(id_of(video), duration, activities, scores, sampled)


def score_video(
    video: Path,
    model: Model,
    *,
    frame_rate: float = 24.0,
    on_frames: Callable[[int], None] | None = None,
) -> tuple[FrameScores, NDArray[np.float64] | None]:
    """Per-frame probabilities, and the seconds at which Grid Pool sampled (None without one).

    Raises:
        VideoError: the video cannot be read.
    """
    windows = WindowedVideo(video, model.view, frame_rate=frame_rate, on_frames=on_frames)
    times = windows.times
    total = np.zeros((len(times), len(model.classes)), np.float32)
    weight = np.zeros((len(times), 1), np.float32)
    sampled: list[NDArray[np.float64]] = []
    for window in windows:
        logits, positions = model.window_logits(window.clip)
        fade = window.weights[:, None]
        total[window.frames] += fade * logits.sigmoid().numpy()
        weight[window.frames] += fade
        if positions is not None:
            index = positions.numpy().astype(np.float64) * (len(fade) - 1)
            sampled.append(np.interp(index, np.arange(len(fade)), times[window.frames]))
    probabilities = total / weight
    looked_at = np.unique(np.concatenate(sampled)) if sampled else None
    return FrameScores(model.classes, times, probabilities), looked_at
