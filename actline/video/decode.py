"""Decoding: frames by the time they are shown at, from video files and folders of frames.

Times are seconds from the first shown frame, by the file's own timestamps, never by counting.
The frame at a time is the one on display then: the last whose timestamp is not later.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import av.stream
import numpy as np
from numpy.typing import NDArray

from actline.errors import VideoError

# A wanted frame further ahead than this is sought, one closer is reached by decoding.
SEEK_SECONDS = 4.0
# How much of a video's end may be missing before it counts as damaged.
LOST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ShortSide:
    """Resize so that the shorter side has `pixels`, keeping the aspect ratio."""

    pixels: int


@dataclass(frozen=True, slots=True)
class Exact:
    """Resize to exactly `width` x `height`."""

    width: int
    height: int


Size = ShortSide | Exact


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video's header tells.

    Attributes:
        duration: seconds.
        width, height: as shown, that is after rotation.
        frame_rate: mean frames per second.
        rotation: degrees counter-clockwise that frames are turned by when shown.
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
    """Read a video's header; of a folder of frames, count them.

    Args:
        frame_rate: of a folder of frames.

    Raises:
        VideoError: the video cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        files = _folder_frames(path)
        picture = _open_picture(files[0])
        width, height = picture.size
        return VideoInfo(path, len(files) / frame_rate, width, height, frame_rate, 0, "frames")
    with _opened(path) as (container, stream):
        rotation = _first_frame(path, container, stream).rotation % 360
        width, height = stream.codec_context.width, stream.codec_context.height
        if rotation % 180:
            width, height = height, width
        return VideoInfo(
            path,
            _header_duration(container, stream) or _shown_duration(path),
            width,
            height,
            float(stream.average_rate or stream.base_rate or 0),
            rotation,
            stream.codec_context.name,
        )


def frame_times(path: str | Path, *, frame_rate: float = 24.0) -> NDArray[np.float64]:
    """The time of every frame, sorted, the first 0; read without decoding pixels.

    Shape:
        returns (N,) seconds.

    Raises:
        VideoError: the video cannot be read, or ends long before its header says.
    """
    path = Path(path)
    if path.is_dir():
        return np.arange(len(_folder_frames(path))) / frame_rate
    with _opened(path) as (container, stream):
        stamps, promised = _timestamps(path, container, stream), _stream_duration(stream)
        base = stream.time_base
    times = (stamps - stamps[0]) * float(base)
    if promised is not None and promised - times[-1] > LOST_SECONDS + 0.02 * promised:
        raise VideoError(
            f"{path} is cut off: its header promises {promised:.1f} s, "
            f"{times[-1]:.1f} s are there; copy it again"
        )
    return times


def read_frames(
    path: str | Path, times: Iterable[float], *, size: Size, frame_rate: float = 24.0
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frame on display at each of `times`, resized while decoding.

    Frames that nobody asks for are decoded where the codec needs them, but not converted. Memory
    does not grow with the video's length.

    Args:
        times: seconds, in increasing order.
        size: of the frames, after rotation.
        frame_rate: of a folder of frames.

    Shape:
        yields (H, W, 3), RGB.

    Raises:
        VideoError: the video cannot be read, or ends more than a second before a wanted time.
    """
    path = Path(path)
    if path.is_dir():
        yield from _read_folder(path, times, size, frame_rate)
        return
    wanted = iter(times)
    first = next(wanted, None)
    if first is None:
        return
    yield from _frames_at(path, _frames_from(path, first), first, wanted, size)


def read_clip(
    path: str | Path, times: Iterable[float], *, size: Size, frame_rate: float = 24.0
) -> NDArray[np.uint8]:
    """The frames at `times` together: (T, H, W, 3).

    Raises:
        VideoError: as `read_frames`.
    """
    return np.stack(list(read_frames(path, times, size=size, frame_rate=frame_rate)))


# --- video files ---


class _opened:  # noqa: N801 - used as a function
    """Open a file and choose its video stream, turning every failure into one line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> tuple[Any, Any]:
        self.container = _open_container(self.path)
        streams = [
            stream
            for stream in self.container.streams.video
            # Cover art is stored as a video stream of one picture.
            if not int(stream.disposition) & int(av.stream.Disposition.attached_pic)
        ]
        if not streams:
            self.container.close()
            raise VideoError(f"{self.path} has no video, only other streams; give a video file")

        def preference(stream: Any) -> tuple[bool, int]:
            default = bool(int(stream.disposition) & int(av.stream.Disposition.default))
            return default, stream.codec_context.width * stream.codec_context.height

        stream = max(streams, key=preference)
        stream.thread_type = "AUTO"
        return self.container, stream

    def __exit__(self, *_: object) -> None:
        self.container.close()


def _open_container(path: Path) -> Any:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise VideoError(f"no video at {path}; check the path") from error
    except OSError as error:
        raise VideoError(f"cannot read {path}: {error.strerror}") from error
    if size == 0:
        raise VideoError(f"{path} is empty; copy it again")
    try:
        return av.open(str(path))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "unknown format"
        raise VideoError(
            f"{path} is not a video that can be read ({reason}); copy it again or re-encode it"
        ) from error


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Packets of the stream up to the end of what can be read."""
    demuxed = container.demux(stream)
    while True:
        try:
            packet = next(demuxed)
        except (StopIteration, av.error.FFmpegError):
            return
        yield packet


def _timestamps(path: Path, container: Any, stream: Any) -> NDArray[np.int64]:
    stamps = [
        packet.pts if packet.pts is not None else packet.dts
        for packet in _packets(container, stream)
        if packet.size and not packet.is_discard and not packet.is_corrupt
    ]
    known = np.array([stamp for stamp in stamps if stamp is not None], np.int64)
    if not len(known):
        raise VideoError(f"{path} has no frames; copy it again")
    return np.unique(known)


def _first_stamp(path: Path, container: Any, stream: Any) -> int:
    """The smallest timestamp, looked for among the first packets only."""
    earliest: int | None = None
    for seen, packet in enumerate(_packets(container, stream)):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if packet.size and not packet.is_discard and not packet.is_corrupt and stamp is not None:
            earliest = stamp if earliest is None else min(earliest, stamp)
        # Codecs reorder over at most 16 frames.
        if seen > 64 and earliest is not None:
            break
    if earliest is None:
        raise VideoError(f"{path} has no frames; copy it again")
    return earliest


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Frames in the order they are shown; what cannot be decoded is passed over."""
    for packet in _packets(container, stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        for frame in frames:
            if frame.pts is not None and not frame.is_corrupt:
                yield frame


def _first_frame(path: Path, container: Any, stream: Any) -> Any:
    for frame in _decoded(container, stream):
        return frame
    raise VideoError(f"{path}: no frame of it can be decoded; copy it again or re-encode it")


def _frames_from(path: Path, time: float) -> Iterator[tuple[float, Any]]:
    """Frames with their times, from one that is shown at `time` or before, on to the end."""
    with _opened(path) as (container, stream):
        start, base = _first_stamp(path, container, stream), stream.time_base
    if time > SEEK_SECONDS:
        with _opened(path) as (container, stream):
            sought = _timed(_sought(container, stream, start + int(time / base)), start, base)
            for begin, frame in sought:
                # Frames before the first key frame lean on what was not decoded.
                if not frame.key_frame:
                    continue
                if begin <= time:
                    yield begin, frame
                    yield from sought
                    return
                break
    # Opened anew rather than sought back: not every container can be sought in.
    with _opened(path) as (container, stream):
        yield from _timed(_decoded(container, stream), start, base)


def _sought(container: Any, stream: Any, stamp: int) -> Iterator[Any]:
    """Frames from the key frame before `stamp`; none where the container cannot be sought in."""
    try:
        container.seek(stamp, stream=stream, backward=True, any_frame=False)
    except (av.error.FFmpegError, OSError):
        return
    yield from _decoded(container, stream)


def _timed(frames: Iterable[Any], start: int, base: Fraction) -> Iterator[tuple[float, Any]]:
    return ((float((frame.pts - start) * base), frame) for frame in frames)


def _frames_at(
    path: Path,
    frames: Iterator[tuple[float, Any]],
    first: float,
    rest: Iterator[float],
    size: Size,
) -> Iterator[NDArray[np.uint8]]:
    shown_at, shown = next(frames, (0.0, None))
    if shown is None:
        raise VideoError(f"{path}: no frame of it can be decoded; copy it again or re-encode it")
    upcoming = next(frames, None)
    picture: NDArray[np.uint8] | None = None
    time: float | None = first
    while time is not None:
        # Timestamps are exact fractions, wanted times are not: a microsecond is no difference.
        while upcoming is not None and upcoming[0] <= time + 1e-6:
            shown_at, shown = upcoming
            picture = None
            upcoming = next(frames, None)
        if upcoming is None and time - shown_at > LOST_SECONDS + _frame_seconds(shown):
            raise VideoError(
                f"{path} can be decoded for {shown_at:.1f} s only, not to {time:.1f} s; "
                "copy it again or re-encode it"
            )
        if picture is None:
            picture = _converted(shown, size)
        yield picture
        time = next(rest, None)


def _frame_seconds(frame: Any) -> float:
    return float(frame.duration * frame.time_base) if frame.duration else 0.0


def _converted(frame: Any, size: Size) -> NDArray[np.uint8]:
    """Colours and size in one pass, then turned upright."""
    quarter_turns = round(frame.rotation / 90) % 4
    sideways = quarter_turns % 2 == 1
    shown = (frame.height, frame.width) if sideways else (frame.width, frame.height)
    width, height = target_size(*shown, size)
    if sideways:
        width, height = height, width
    picture = frame.reformat(width, height, "rgb24", interpolation="BILINEAR").to_ndarray()
    return np.ascontiguousarray(np.rot90(picture, quarter_turns)) if quarter_turns else picture


def target_size(width: int, height: int, size: Size) -> tuple[int, int]:
    """Width and height that a picture of `width` x `height` is resized to."""
    if isinstance(size, Exact):
        return size.width, size.height
    scale = size.pixels / min(width, height)
    return max(size.pixels, round(width * scale)), max(size.pixels, round(height * scale))


def _stream_duration(stream: Any) -> float | None:
    if stream.duration is None:
        return None
    return float(stream.duration * stream.time_base)


def _header_duration(container: Any, stream: Any) -> float | None:
    duration = _stream_duration(stream)
    if duration is None and container.duration:
        duration = container.duration / av.time_base
    return duration if duration and duration > 0 else None


def _shown_duration(path: Path) -> float:
    times = frame_times(path)
    gap = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return float(times[-1]) + gap


# --- folders of frames ---


def _folder_frames(folder: Path) -> list[Path]:
    """The pictures `NAME-000001.jpg`, `NAME-000002.jpg`, … in order."""
    try:
        numbered = {
            int(match[1]): path
            for path in folder.iterdir()
            if (match := re.fullmatch(r".*?(\d+)\.(?:jpe?g|png)", path.name, re.IGNORECASE))
        }
    except OSError as error:
        raise VideoError(f"cannot read the folder {folder}: {error.strerror}") from error
    if not numbered:
        raise VideoError(f"{folder} holds no frames such as {folder.name}-000001.jpg")
    first, last = min(numbered), max(numbered)
    if last - first + 1 != len(numbered):
        missing = next(number for number in range(first, last) if number not in numbered)
        raise VideoError(f"{folder}: frame {missing} is missing; extract the frames again")
    return [numbered[number] for number in range(first, last + 1)]


def _read_folder(
    folder: Path, times: Iterable[float], size: Size, frame_rate: float
) -> Iterator[NDArray[np.uint8]]:
    files = _folder_frames(folder)
    last: tuple[int, NDArray[np.uint8]] | None = None
    for time in times:
        index = min(max(0, int(time * frame_rate + 1e-6)), len(files) - 1)
        if last is None or last[0] != index:
            last = index, _read_picture(files[index], size)
        yield last[1]


def _open_picture(path: Path) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(path)
    except (UnidentifiedImageError, OSError) as error:
        raise VideoError(f"{path} is not a picture that can be read; extract it again") from error


def _read_picture(path: Path, size: Size) -> NDArray[np.uint8]:
    from PIL import Image

    with _open_picture(path) as picture:
        width, height = target_size(picture.width, picture.height, size)
        # JPEG decodes at a fraction of its size for free.
        picture.draft("RGB", (width, height))
        try:
            resized = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        except OSError as error:
            raise VideoError(f"{path} is damaged; extract it again") from error
        return np.asarray(resized)
