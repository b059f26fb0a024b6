"""Decoding: frames by the time they are shown at, from video files and folders of frames.

Times are seconds on the file's own clock, as players show it (`actline.video.timestamps`).
The frame at a time is the one on display then: the last whose timestamp is not later, but for
the millisecond that containers round timestamps to. Before the first frame it is the first.

What is damaged: packets that cannot be decoded are passed over, and the frame before stays on
display. A file that is cut off at most a second before the end that its header tells is taken as it
is, the last frame being held; one that lacks more is a VideoError that says how much is there.
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

# A wanted frame further ahead than this is sought, one closer is reached by decoding.
SEEK_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video is.

    Attributes:
        duration: seconds on the file's clock at which the last frame ends.
        width, height: as shown, that is after rotation. Pixels are taken as square, as the
            published pipelines do.
        frame_rate: mean frames per second.
        rotation: degrees counter-clockwise that frames are turned by when shown; those that the
            file shows mirrored, before left and right are exchanged.
        codec: name, or "frames" for a folder.
    """

    path: Path
    duration: float
    width: int
    height: int
    frame_rate: float
    rotation: int
    codec: str


def probe(path: str | Path, *, frame_rate: float = 24.0) -> VideoInfo:
    """Tell what a video is, by its packets and first frame.

    The duration is that of `shown_times`; of a file that is cut off, as much as is there.

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
    """Decode a video's first frame: quick, as nothing after it is read.

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
    """The time of every frame, sorted; read without decoding pixels.

    Shape:
        returns (N,) seconds.

    Raises:
        VideoError: the video cannot be read, or its end is missing.
    """
    return shown_times(path, frame_rate=frame_rate).times


def shown_times(path: str | Path, *, frame_rate: float = 24.0) -> ShownTimes:
    """The time of every frame, when the last one ends, and what is unusual about them.

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

    Frames that nobody asks for are decoded where others are made from them, but not converted. Of
    memory, a video's length takes that of its times alone. A frame's pixels do not depend on
    which times were asked for before it.

    Args:
        times: seconds on the file's clock, in increasing order.
        size: of the frames, after rotation.
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
    """The frames at `times`, at least one, together: (T, H, W, 3).

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
    check_frame_size(path, width, height)  # of a header without sizes, the first frame's
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
    """Until when the frame shown at `last`, which none was decoded after, may be asked for.

    A last frame may be on display for long; but not if others should have come after it.
    """
    file = shown(path)
    until = file.duration + LOST_SECONDS
    if time > until or last < file.times[-1] - LOST_SECONDS:
        raise ends_early(path, last, time)
    return until


def _upright(header: Header, frame: VideoFrame) -> tuple[int, int]:
    """Width and height once frames are turned.

    By the header, as some streams change their size on the way: all frames are given one size,
    the same after a seek.
    """
    width, height = header.width or frame.width, header.height or frame.height
    return (height, width) if orientation(frame).transposed else (width, height)


class _Converter:
    """Colours and size in one pass, then turned upright.

    One for a whole video, as setting up the conversion costs more than converting a small frame.
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
