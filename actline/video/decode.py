"""Decoding frames by their display time, from video files and folders of frames.

Times are seconds on the file's own clock, the one players show (`actline.video.timestamps`).
The frame at a time is the one on display then: the last whose timestamp is not later, except for
the millisecond to which containers round timestamps. Before the first frame it is the first.

Damage: packets that cannot be decoded are skipped, and the previous frame stays on display. A file
that is cut off at most a second before the end stated in its header is accepted, and its last frame
is held; one that lacks more is a VideoError that says how much can be read.
"""

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from actline.video.container import check_frame_size, is_folder, opened, reading, video_packets
from actline.video.folders import folder_frames, picture_size, read_folder
from actline.video.frames import attempted, ends_early, timed_frames, undecodable
from actline.video.lost_end import LOST_SECONDS
from actline.video.orientation import orientation
from actline.video.size import Exact, ShortSide, Size, target_size
from actline.video.timestamps import (
    Header,
    ShownTimes,
    read_header,
    shown,
)

__all__ = [
    "Exact",
    "ShortSide",
    "Size",
    "VideoInfo",
    "check_beginning",
    "frame_times",
    "probe",
    "read_clip",
    "read_frames",
    "shown_times",
]

# Seek to a wanted frame further ahead than this; reach a closer one by decoding.
SEEK_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Properties of a video.

    Attributes:
        duration: seconds on the file's clock at which the last frame ends.
        width, height: as displayed, after rotation. Pixels are assumed to be square, as in the
            published pipelines.
        frame_rate: mean frames per second.
        rotation: degrees counter-clockwise by which frames are rotated for display; for mirrored
            frames, before left and right are swapped.
        codec: its name, or "frames" for a folder.
    """

    path: Path
    duration: float
    width: int
    height: int
    frame_rate: float
    rotation: int
    codec: str


def probe(path: str | Path, *, frame_rate: float = 24.0) -> VideoInfo:
    """Properties of a video, from its packets and first frame.

    The duration is that of `shown_times`; for a file that is cut off, that of the readable part.

    Args:
        frame_rate: of a folder of frames.

    Raises:
        VideoError: the video cannot be read.
    """
    path = Path(path)
    if is_folder(path):
        files = folder_frames(path)
        width, height = picture_size(files[0])
        return VideoInfo(path, len(files) / frame_rate, width, height, frame_rate, 0, "frames")
    header = read_header(path)
    for _, frame in timed_frames(path, header, [header.first], seek=False):
        width, height = _upright(header, frame)
        duration = header.duration
        turned = orientation(frame).rotation
        return VideoInfo(path, duration, width, height, header.rate, turned, header.codec)
    raise undecodable(path)


def check_beginning(path: str | Path) -> None:
    """Decode a video's first frame only, as a quick check.

    Raises:
        VideoError: the video cannot be read.
    """
    path = Path(path)
    if is_folder(path):
        picture_size(folder_frames(path)[0])
        return
    with opened(path) as (container, stream):
        frames = attempted(path, video_packets(container, stream), stream.codec_context)
        if all(frame is None for _, frame in itertools.islice(frames, 1)):
            raise undecodable(path)


def frame_times(path: str | Path, *, frame_rate: float = 24.0) -> NDArray[np.float64]:
    """The times of all frames, sorted; read without decoding pixels.

    Shape:
        returns (N,) seconds.

    Raises:
        VideoError: the video cannot be read, or its end is missing.
    """
    return shown_times(path, frame_rate=frame_rate).times


def shown_times(path: str | Path, *, frame_rate: float = 24.0) -> ShownTimes:
    """The times of all frames, when the last one ends, and what is unusual about them.

    Raises:
        VideoError: as `frame_times`.
    """
    path = Path(path)
    if not is_folder(path):
        return shown(path)
    count = len(folder_frames(path))
    return ShownTimes(np.arange(count) / frame_rate, count / frame_rate)


def read_frames(
    path: str | Path, times: Iterable[float], *, size: Size, frame_rate: float = 24.0
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frame on display at each of `times`, resized while decoding.

    Frames that are not requested are decoded if others refer to them, but not converted. Of a
    longer video only the list of times takes more memory. A frame's pixels do not depend on which
    times were requested before it.

    Args:
        times: seconds on the file's clock, in increasing order.
        size: size of the frames, after rotation.
        frame_rate: of a folder of frames.

    Shape:
        yields (H, W, 3), RGB, all of one size.

    Raises:
        VideoError: the video cannot be read, or ends more than a second before a wanted time.
    """
    path = Path(path)
    if is_folder(path):
        yield from read_folder(path, times, size=size, frame_rate=frame_rate)
        return
    wanted = array("d", times)
    if wanted:
        yield from _frames_at(path, wanted, size)


def read_clip(
    path: str | Path, times: Iterable[float], *, size: Size, frame_rate: float = 24.0
) -> NDArray[np.uint8]:
    """The frames at `times` (at least one) as one array: (T, H, W, 3).

    Raises:
        VideoError: as `read_frames`.
    """
    return np.stack(list(read_frames(path, times, size=size, frame_rate=frame_rate)))


def _frames_at(path: Path, times: Sequence[float], size: Size) -> Iterator[NDArray[np.uint8]]:
    header = read_header(path)
    frames = timed_frames(path, header, times, seek=times[0] > header.first + SEEK_SECONDS)
    shown_at, frame = next(frames, (0.0, None))
    if frame is None:
        raise undecodable(path)
    width, height = _upright(header, frame)
    check_frame_size(path, width, height)  # if the header has no size, the first frame's
    convert = _Converter(path, target_size(width, height, size))
    upcoming = next(frames, None)
    picture: NDArray[np.uint8] | None = None
    held_until: float | None = None
    for time in times:
        while upcoming is not None and upcoming[0] <= time + header.early:
            shown_at, frame = upcoming
            picture = None
            upcoming = next(frames, None)
        if upcoming is None and time > (held_until or shown_at + LOST_SECONDS):
            held_until = _held_until(path, shown_at, time)
        if picture is None:
            picture = convert(frame)
        yield picture


def _held_until(path: Path, last: float, time: float) -> float:
    """Until when the last decoded frame, shown at `last`, may be requested.

    The last frame of a video may be on display for long, but not if others should follow it.
    """
    file = shown(path)
    until = file.duration + LOST_SECONDS
    if time > until or last < file.times[-1] - LOST_SECONDS:
        raise ends_early(path, last, time)
    return until


def _upright(header: Header, frame: VideoFrame) -> tuple[int, int]:
    """Width and height of frames after rotation.

    From the header, as some streams change their size midway: all frames get one size, also after a
    seek.
    """
    width, height = header.width or frame.width, header.height or frame.height
    return (height, width) if orientation(frame).transposed else (width, height)


class _Converter:
    """Converts colours and size in one pass, then rotates.

    One converter for a whole video: setting it up costs more than converting a small frame.
    """

    def __init__(self, path: Path, target: tuple[int, int]) -> None:
        self.path = path
        self.target = target
        self.reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        upright = orientation(frame)
        width, height = self.target[::-1] if upright.transposed else self.target
        with reading(self.path):
            picture = self.reformatter.reformat(
                frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR
            ).to_ndarray()
        return upright(np.asarray(picture, np.uint8))
