"""Which frames of a video are looked at, and where a video is."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actline.errors import VideoError
from actline.video.decode import frame_times

VIDEO_SUFFIXES = (
    ".mp4",
    ".mkv",
    ".webm",
    ".mov",
    ".avi",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".ts",
    ".flv",
    ".wmv",
    ".ogv",
    ".3gp",
)


@dataclass(frozen=True, slots=True)
class AtRate:
    """Frames at 0, 1 / rate, 2 / rate, … seconds."""

    frames_per_second: float


@dataclass(frozen=True, slots=True)
class EveryNth:
    """Every `stride`-th source frame, in the order of their timestamps."""

    stride: int


Sampling = AtRate | EveryNth


def sample_times(
    path: str | Path, sampling: Sampling, *, frame_rate: float = 24.0
) -> NDArray[np.float64]:
    """The times of a whole video's sampled frames; they depend on file and sampling alone.

    Shape:
        returns (T,) seconds, at least one, the first 0.

    Raises:
        VideoError: the video cannot be read.
    """
    shown = frame_times(path, frame_rate=frame_rate)
    if isinstance(sampling, EveryNth):
        return shown[:: sampling.stride]
    gap = float(np.median(np.diff(shown))) if len(shown) > 1 else 0.0
    # The last frame stays on display for a gap of its own.
    count = int(np.ceil((shown[-1] + gap) * sampling.frames_per_second - 1e-9))
    return np.arange(max(1, count)) / sampling.frames_per_second


def find_video(folder: str | Path, video_id: str) -> Path:
    """The video of that id: `folder`/ID.mp4 or another ending, or the folder of frames `folder`/ID.

    Raises:
        VideoError: there is none.
    """
    folder = Path(folder)
    for suffix in VIDEO_SUFFIXES:
        path = folder / f"{video_id}{suffix}"
        if path.is_file():
            return path
    frames = folder / video_id
    if frames.is_dir():
        return frames
    if frames.is_file():
        return frames
    raise VideoError(
        f"no video {video_id} in {folder} (looked for .mp4, .mkv, … and a folder of frames); "
        "check data.videos, or leave the video out of the annotations"
    )
