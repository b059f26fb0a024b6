"""A data set's videos as training reads them: when their frames are sampled, and their pixels."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actline.annotations.annotations import AnnotatedVideo
from actline.video.decode import ShortSide, read_clip
from actline.video.decoded import decoded_video, read_decoded_clip
from actline.video.find import find_video
from actline.video.folders import folder_frames
from actline.video.sampling import Sampling, sample_times


class Footage:
    """The videos of a folder, all sampled in the same way.

    Args:
        videos: the folder, of video files or of folders of frames.
        sampling: which of their frames are taken.
        frame_rate: of folders of frames; 0 means their count over the annotated duration.
        decoded: a folder in which videos are kept decoded; None decodes them for every clip.
    """

    def __init__(
        self,
        videos: Path,
        sampling: Sampling,
        *,
        frame_rate: float = 24.0,
        decoded: Path | None = None,
    ) -> None:
        self.videos = videos
        self.sampling = sampling
        self.frame_rate = frame_rate
        self.decoded = decoded
        self._times: dict[str, NDArray[np.float64]] = {}
        self._paths: dict[str, Path] = {}
        self._decoded: dict[tuple[str, int], Path] = {}

    def times(self, video: AnnotatedVideo) -> NDArray[np.float64]:
        """When the sampled frames of a video are, in seconds: (N,); looked up once.

        Raises:
            VideoError: the video is missing or unreadable.
        """
        if video.id not in self._times:
            path = self._path(video)
            rate = folder_rate(video, path, self.frame_rate)
            self._times[video.id] = sample_times(path, self.sampling, frame_rate=rate)
        return self._times[video.id]

    def read(
        self, video: AnnotatedVideo, times: NDArray[np.float64], *, size: ShortSide
    ) -> NDArray[np.uint8]:
        """The frames on display at increasing times, at least one: (T, H, W, 3), RGB.

        Raises:
            VideoError: the video is missing or unreadable.
        """
        path = self._path(video)
        rate = folder_rate(video, path, self.frame_rate)
        if self.decoded is None:
            return read_clip(path, times, size=size, frame_rate=rate)
        key = video.id, size.pixels
        if key not in self._decoded:
            self._decoded[key] = decoded_video(
                self.decoded, video.id, path, size=size, frame_rate=rate
            )
        return read_decoded_clip(self._decoded[key], times)

    def _path(self, video: AnnotatedVideo) -> Path:
        if video.id not in self._paths:
            self._paths[video.id] = find_video(self.videos, video.id)
        return self._paths[video.id]


def folder_rate(video: AnnotatedVideo, path: Path, frame_rate: float) -> float:
    """The rate of a frame folder; 0 means its count over the annotated duration.

    Raises:
        VideoError: the folder holds no frames, or one is missing.
    """
    if frame_rate > 0 or not path.is_dir() or not video.duration:
        return frame_rate or 24.0
    return len(folder_frames(path)) / video.duration
