"""Which frames of a video are sampled."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actline.errors import VideoError
from actline.stored.limits import lifted, limits
from actline.video.decode import shown_times

# This many samples take little time, even of a video with few frames.
_FEW_SAMPLES = 20_000


@dataclass(frozen=True, slots=True)
class AtRate:
    """Frames at 0, 1 / rate, 2 / rate, … seconds from the first frame."""

    frames_per_second: float

    def __post_init__(self) -> None:
        if not 0 < self.frames_per_second < math.inf:
            raise ValueError("frames_per_second must be positive")


@dataclass(frozen=True, slots=True)
class EveryNth:
    """Every `stride`-th source frame, in the order of their timestamps."""

    stride: int

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ValueError("stride must be at least 1")


Sampling = AtRate | EveryNth


def sample_times(
    path: str | Path, sampling: Sampling, *, frame_rate: float = 24.0
) -> NDArray[np.float64]:
    """The times of a video's sampled frames, which depend only on the file and the sampling.

    The first is the time of the first frame, whatever it is on the file's clock.

    Shape:
        returns (T,) seconds on the file's clock, at least one.

    Raises:
        VideoError: the video cannot be read, or would be sampled more often than the limits allow.
    """
    shown = shown_times(path, frame_rate=frame_rate)
    if isinstance(sampling, EveryNth):
        return shown.times[:: sampling.stride]
    first = float(shown.times[0])
    count = (shown.duration - first) * sampling.frames_per_second
    check_samples(path, count, frames=len(shown.times))
    return np.arange(max(1, math.ceil(count - 1e-9))) / sampling.frames_per_second + first


def check_samples(path: str | Path, samples: float, *, frames: int) -> None:
    """Check the number of samples of a video against its number of frames, before the work.

    A file with a few frames may state that they are shown for days.

    Raises:
        VideoError: it would be sampled more often than the limits allow.
    """
    most = limits().samples_per_frame
    if samples > _FEW_SAMPLES and samples > most * frames:
        raise VideoError(
            f"{path} has {frames} frames for {samples:.0f} samples, more than {most} per frame: "
            "its timestamps are wrong or it is a still image; re-encode it, or "
            f"{lifted('samples_per_frame')}"
        )
