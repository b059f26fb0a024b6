"""What every loaded model is: from a video to a timeline, whatever the checkpoint."""

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Protocol

from actline.names import id_of
from actline.timeline import Timeline
from actline.video.find import Video


class Detector(Protocol):
    """A model that finds what happens in a video, and when.

    `actline.load_model` returns one: `FrameDetector`, `ClipDetector` or `SegmentDetector`.

    Attributes:
        per_frame: whether its timelines hold per-frame scores.
        reads_videos: whether it reads the videos themselves, rather than stored features.
    """

    per_frame: bool = True
    reads_videos: bool = True

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that activities can have; none where they come from outside."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all weights."""
        ...

    @property
    def settings(self) -> Mapping[str, object]:
        """What its detections depend on besides weights, as plain JSON values."""
        return {}

    def inputs_of(self, video: Video) -> Mapping[str, object]:
        """What the detections in a video depend on besides its file, as plain JSON values."""
        return {}

    def detect(
        self,
        video: str | PathLike[str] | Video,
        *,
        threshold: float | None = None,
        min_seconds: float = 0.0,
        max_gap: float = 0.0,
        frame_rate: float = 24.0,
        on_frames: Callable[[int], None] | None = None,
    ) -> Timeline:
        """Find what happens in a video, and when.

        Args:
            video: a video file, or a folder of frames.
            threshold: of the probability per frame, for all classes, in place of the checkpoint's
                own; of segments, the least confidence.
            min_seconds: shorter activities are dropped.
            max_gap: seconds; stretches of one class with a shorter gap between them are one. For
                per-frame detection alone.
            frame_rate: of a frame folder.
            on_frames: called with the number of frames that were newly seen, for progress.

        Raises:
            VideoError: the video cannot be read.
        """
        ...


def as_video(video: str | PathLike[str] | Video) -> Video:
    """A video that is named by its path, with the id that its results have."""
    return video if isinstance(video, Video) else Video(id_of(video), Path(video))
