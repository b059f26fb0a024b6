"""Per-frame detection: video to windows to probabilities to activities."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actline.detection.activities import find_activities
from actline.detection.model import Model
from actline.detection.windows import blend_weights, window_starts
from actline.models.checkpoint import ModelCard
from actline.names import id_of
from actline.timeline import FrameScores, Timeline
from actline.video.ahead import ahead
from actline.video.decode import ShortSide, probe, read_frames
from actline.video.sampling import AtRate, EveryNth, Sampling, sample_times
from actline.video.transforms import to_clip


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
    card = model.card
    times = sample_times(video, card_sampling(card), frame_rate=frame_rate)
    starts = window_starts(len(times), window=card.window, overlap=card.overlap)
    transform = model.transform()
    total = np.zeros((len(times), len(card.classes)), np.float32)
    weight = np.zeros((len(times), 1), np.float32)
    sampled: list[NDArray[np.float64]] = []
    frames = read_frames(video, times, size=ShortSide(card.size), frame_rate=frame_rate)
    seen = 0
    for start, window in windows(frames, starts, card.window):
        clip = transform(to_clip(window))
        logits, positions = model.window_logits(clip)
        end = start + len(window)
        fade = blend_weights(len(window), card.overlap, first=start == 0, last=end == len(times))[
            :, None
        ]
        total[start:end] += fade * logits.sigmoid().numpy()
        weight[start:end] += fade
        if positions is not None:
            index = positions.numpy().astype(np.float64) * (len(window) - 1)
            sampled.append(np.interp(index, np.arange(len(window)), times[start:end]))
        if on_frames is not None:
            on_frames(end - seen)
        seen = end
    probabilities = total / weight
    looked_at = np.unique(np.concatenate(sampled)) if sampled else None
    return FrameScores(card.classes, times, probabilities), looked_at


def windows(
    frames: Iterator[NDArray[np.uint8]], starts: list[int], size: int
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Cut a stream of frames into windows: (start, frames (T, H, W, 3)).

    Every frame is decoded once; what two windows share is kept.
    """
    held: deque[NDArray[np.uint8]] = deque()
    held_from = 0
    # The next window is decoded while the network works on this one.
    with closing(ahead(frames, most=size)) as upcoming:
        for start in starts:
            while held and held_from < start:
                held.popleft()
                held_from += 1
            while len(held) < size and (frame := next(upcoming, None)) is not None:
                held.append(frame)
            yield start, np.stack(held)


def card_sampling(card: ModelCard) -> Sampling:
    """How the model's videos are sampled."""
    if card.stride is not None:
        return EveryNth(card.stride)
    assert card.rate is not None, "every card has a rate or a stride"
    return AtRate(card.rate)
