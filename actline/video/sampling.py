"""Which frames of a video are looked at, and where a video is."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actline.errors import VideoError
from actline.video.decode import shown_times

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

    Shape:
        returns (T,) seconds, at least one, the first 0.

    Raises:
        VideoError: the video cannot be read.
    """
    shown = shown_times(path, frame_rate=frame_rate)
    if isinstance(sampling, EveryNth):
        return shown.times[:: sampling.stride]
    count = math.ceil(shown.duration * sampling.frames_per_second - 1e-9)
    return np.arange(max(1, count)) / sampling.frames_per_second


def find_video(folder: str | Path, video_id: str) -> Path:
    """The video of that id: `folder`/ID.mp4 or another ending, or the folder of frames `folder`/ID.

    Endings may be in capitals, as cameras write them.

    Raises:
        VideoError: there is none.
    """
    folder = Path(folder)
    endings = (*VIDEO_SUFFIXES, *(suffix.upper() for suffix in VIDEO_SUFFIXES))
    try:
        for path in (folder / f"{video_id}{ending}" for ending in endings):
            if path.is_file():
                return path
        bare = folder / video_id
        if bare.is_dir() or bare.is_file():
            return bare
        mixed = _mixed_case(bare)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(
            f"cannot look for video {video_id!r} in {folder}: {reason}; check name and folder"
        ) from error
    if mixed is not None:
        return mixed
    raise VideoError(
        f"no video {video_id} in {folder} (looked for .mp4, .mkv, … and a folder of frames); "
        "check data.videos, or leave the video out of the annotations"
    )


def _mixed_case(bare: Path) -> Path | None:
    """The video `bare` with an ending such as .Mp4.

    Looked for last, as it reads the whole folder.
    """
    try:
        names = sorted(path.name for path in bare.parent.iterdir())
    except FileNotFoundError:
        return None
    for name in names:
        path = bare.with_name(name)
        if path.stem == bare.name and path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            return path
    return None
