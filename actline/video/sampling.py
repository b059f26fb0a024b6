"""Which frames of a video are looked at, and where a video is."""

import math
import re
from dataclasses import dataclass
from functools import lru_cache
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


def find_video(folder: str | Path, video_id: str) -> Path:
    """The video of that id: `folder`/ID.mp4 or another ending, or the folder of frames `folder`/ID.

    Endings may be in capitals, as cameras write them. Videos may also lie one folder down, as those
    of Kinetics in a folder for each class; of an id such as `abc_000010_000020` the file or folder
    may be named `abc`.

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
        listed = _listed(folder, folder.stat().st_mtime_ns) if folder.is_dir() else {}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(
            f"cannot look for video {video_id!r} in {folder}: {reason}; check name and folder"
        ) from error
    for name in (video_id, _CLIP_TIMES.sub("", video_id)):
        if name in listed:
            return listed[name]
    raise VideoError(
        f"no video {video_id} in {folder} (looked for .mp4, .mkv, … and a folder of frames); "
        "check data.videos, or leave the video out of the annotations"
    )


_CLIP_TIMES = re.compile(r"_\d{6}_\d{6}$")  # first and last second of a Kinetics clip


@lru_cache(maxsize=4)
def _listed(folder: Path, _changed: int) -> dict[str, Path]:
    """Videos by name, in `folder` whatever their endings' case, and one folder down.

    Listed once until the folder changes: of a large data set thousands of videos may be missing.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            found.setdefault(path.stem, path)
        elif path.is_dir():
            for inside in path.iterdir():
                if inside.suffix.lower() in (".jpg", ".jpeg", ".png"):
                    break  # a folder of frames, not one of videos
                if inside.suffix.lower() in VIDEO_SUFFIXES:
                    found.setdefault(inside.stem, inside)
                elif inside.is_dir():
                    found.setdefault(inside.name, inside)
    return found
