"""Which frames of a video are looked at."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actline.video.decode import shown_times


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
            raise ValueError("stride starts at 1")


Sampling = AtRate | EveryNth


def sample_times(
    path: str | Path, sampling: Sampling, *, frame_rate: float = 24.0
) -> NDArray[np.float64]:
    """The times of a whole video's sampled frames; they depend on file and sampling alone.

    They begin with the first frame, wherever on the file's clock that is.

    Shape:
        returns (T,) seconds on the file's clock, at least one.

    Raises:
        VideoError: the video cannot be read.
    """
    shown = shown_times(path, frame_rate=frame_rate)
    if isinstance(sampling, EveryNth):
        return shown.times[:: sampling.stride]
    first = float(shown.times[0])
    count = math.ceil((shown.duration - first) * sampling.frames_per_second - 1e-9)
    return np.arange(max(1, count)) / sampling.frames_per_second + first
