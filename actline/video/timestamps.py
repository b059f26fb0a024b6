"""Display times of a video file's frames: the definition of time in this package.

Times are seconds on the file's own clock, which players show and subtitles and ELAN use: 0 is where
the first of the file's streams begins, audio or video, as in FFmpeg's `start_time`. If the video
begins 2 s after the audio, its first frame is at 2.0; no frame is sampled before it, and a request
for an earlier one gives the first. In most files the first frame is at 0.

Times are read from the packets, once, without decoding; headers are not trusted:

- A frame is shown at its packet's timestamp, after edit lists, whatever the frame rate.
- Where timestamps run backwards (joined transport streams, a restarted camera), the later part
follows the end of the earlier one. In formats whose timestamps may jump (transport and program
streams, Ogg), so does the part after a jump of more than 10 s in all streams, as in FFmpeg. Jumps
in other formats are kept: the previous frame stays on display.
- Where frames have no timestamps, or only decoding timestamps, frames are counted in the order in
which the decoder outputs them: over the existing timestamps, else at the stream's frame rate.
- A video lasts until its last frame ends. That frame lasts as long as its packet says, if packets
are reliable in this, else the median distance between frames. The duration in the header is used
only to detect a file that is cut off.

Anything unusual is reported in `ShownTimes.notes`.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actline.errors import VideoError
from actline.stored.limits import lifted, limits
from actline.video.container import opened
from actline.video.frame_ticks import end_of_last, frame_ticks
from actline.video.lost_end import length_and_fault
from actline.video.other_streams import other_starts, others_go_on
from actline.video.packets import LARGEST, Join, Packets, find_joins, read_packets
from actline.video.time_notes import gaps_told, leaps_told

# Version of stored times and features; increased when the same file gets other times.
CLOCK = 2
# A frame counts as shown this long before its timestamp. Matroska, webm and flash round timestamps
# to milliseconds, including the first; without this, sampling a file at its own rate would skip
# some frames and repeat others. `allowance` is smaller for frames closer together.
EARLY_SECONDS = 1.001e-3
# Formats that FFmpeg marks like this may jump in time; it treats longer jumps as joins.
_DISCONTINUOUS = 0x0200  # AVFMT_TS_DISCONT
_LEAP_SECONDS = 10.0
# Formats in which a seek leads to a key frame with correct timestamps. In others the packets after
# a seek may get wrong timestamps (program streams), or there is no index to seek by.
_SOUGHT = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "avi", "flv", "asf")
_FEW_PIXELS = 4_000_000_000  # in all frames together; decoding them takes seconds


@dataclass(frozen=True, eq=False, slots=True)
class ShownTimes:
    """Display times of a file's frames.

    Attributes:
        times: (N,) seconds on the file's clock, increasing, at least one.
        duration: seconds on that clock at which the last frame ends.
        notes: sentences on anything unusual about the file's times.
    """

    times: NDArray[np.float64]
    duration: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """What is needed to read a file's frames.

    Attributes:
        width, height: as encoded, before rotation.
        rate: mean frames per second.
        duration: as `ShownTimes.duration`.
        first: time of the first frame on the file's clock, in seconds.
        start, base: the first timestamp, and the length of one tick in seconds.
        ordered: whether timestamps are display times; if not, frames are counted.
        seekable: whether a seek gives the same frames as reading from the start.
        early: how many seconds before its timestamp a frame counts as shown.
        joins: jumps in the timestamps.
        fault: the error for a file whose end is missing or cannot be read, else None.
    """

    codec: str
    width: int
    height: int
    rate: float
    duration: float
    first: float
    start: int
    base: float
    ordered: bool
    seekable: bool
    early: float
    joins: tuple[Join, ...]
    fault: str | None

    def seconds(self, stamp: int) -> float:
        """A timestamp, after joins, in seconds on the file's clock."""
        return (stamp - self.start) * self.base + self.first


def allowance(times: NDArray[np.float64]) -> float:
    """How many seconds before its timestamp a frame counts as shown.

    `EARLY_SECONDS`; above 500 frames per second, a quarter of the distance between frames.
    """
    if len(times) < 2:
        return EARLY_SECONDS
    gap = float(np.median(np.diff(times)))
    return EARLY_SECONDS if gap >= 2 * EARLY_SECONDS else gap / 4


def on_display(shown_times: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which frame is on display at each of `times`, for reading and for stored frames alike.

    It is the last one whose timestamp is not later, except for `allowance`; before the first frame,
    the first.

    Shape:
        shown_times: (N,) seconds, sorted, at least one; times: (T,) seconds; returns (T,) indices.
    """
    found = np.searchsorted(shown_times, times + allowance(shown_times), side="right") - 1
    return np.maximum(found, 0)


def shown(path: Path) -> ShownTimes:
    """Display times of all frames, from the packets alone; cached while the file is unchanged.

    Raises:
        VideoError: the file cannot be read, more than a second of its end is missing, or another
            recording follows that cannot be read.
    """
    header, found = _scanned(path, _version(path))
    if header.fault is not None:
        raise VideoError(header.fault)
    return found


def read_header(path: Path) -> Header:
    """What is needed to read a file's frames; cached while the file is unchanged.

    Raises:
        VideoError: the file cannot be read, or has no frames.
    """
    return _header(path, _version(path))


def _version(path: Path) -> tuple[int, ...]:
    """A key that changes with the file; empty if the file cannot be accessed."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ()  # opening it says why
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=1 << 16)
def _header(path: Path, version: tuple[int, ...]) -> Header:
    return _scanned(path, version)[0]


@lru_cache(maxsize=16)
def _scanned(path: Path, version: tuple[int, ...]) -> tuple[Header, ShownTimes]:
    del version
    with opened(path) as (container, stream):
        return _scan(path, container, stream)


def _scan(path: Path, container: InputContainer, stream: VideoStream) -> tuple[Header, ShownTimes]:
    codec, form = stream.codec_context, container.format
    # Read now, as decoding updates it in streams that change their size.
    width, height = codec.width, codec.height
    base = float(stream.time_base or 1 / 25)
    indexed = bool(len(stream.index_entries)) or form.name != "avi"
    packets = read_packets(path, container, stream)
    if not packets.kept.any():
        raise VideoError(f"{path} has no frames; copy it again")
    if packets.out_of_range:
        raise _beyond(path)
    _check_pixels(path, container.size, len(packets.pts) * width * height)
    joins = _joins(path, packets, container, stream)
    stamps, note = frame_ticks(packets, joins, container, stream)
    start = int(stamps[0])
    begins = start * base
    first = max(0.0, begins - min([begins, *other_starts(container, stream)]))
    times = np.asarray((stamps - start) * base + first, np.float64)
    lasts = Fraction(end_of_last(stamps, packets, stream) - start)
    ended = float(lasts * (stream.time_base or Fraction(1, 25))) + first
    _check_length(path, times, ended)
    duration, fault = length_and_fault(
        path, container, stream, packets, begins=begins, first=first, ended=ended
    )
    header = Header(
        codec=codec.name,
        width=width,
        height=height,
        rate=float(stream.average_rate or stream.base_rate or 0),
        duration=duration,
        first=first,
        start=start,
        base=base,
        ordered=note is None,
        seekable=note is None
        and not joins
        and indexed
        and form.name in _SOUGHT
        and codec.pix_fmt != "pal8",  # only the first packet may hold a palette
        early=allowance(times),
        joins=joins,
        fault=fault,
    )
    leaps = leaps_told(packets, joins, seconds=header.seconds, base=base)
    notes = (*leaps, *gaps_told(times))
    return header, ShownTimes(times, duration, notes if note is None else (note, *notes))


def _joins(
    path: Path, packets: Packets, container: InputContainer, stream: VideoStream
) -> tuple[Join, ...]:
    """Where timestamps leap and what follows is joined on.

    Raises:
        VideoError: by more than can be counted with.
    """
    base = float(stream.time_base or 1 / 25)
    joins = find_joins(
        packets,
        second=round(1 / base),
        leap=round(_LEAP_SECONDS / base),
        leaps=bool(int(container.format.flags) & _DISCONTINUOUS),
        filled=lambda begin, end: others_go_on(path, stream.index, begin * base, end * base),
    )
    if any(abs(join.ticks) > LARGEST for join in joins):
        raise _beyond(path)
    return joins


def _beyond(path: Path) -> VideoError:
    return VideoError(f"{path} has timestamps out of range; copy it again or re-encode it")


def _check_pixels(path: Path, size: int, pixels: int) -> None:
    """Check the number of pixels in all frames against the size of the file.

    An animation of a few kilobytes may change one pixel of a huge canvas in each frame.

    Raises:
        VideoError: there are more pixels than the limits allow.
    """
    most = limits().pixels_per_byte
    if pixels > _FEW_PIXELS and pixels > most * size:
        raise VideoError(
            f"{path} unpacks to {pixels / 1e9:.3g} billion pixels, more than {most} for each of "
            f"its bytes; re-encode it smaller, or {lifted('pixels_per_byte')}"
        )


def _check_length(path: Path, times: NDArray[np.float64], ended: float) -> None:
    """Check a video's length and gaps against the limits: work may grow with both.

    Raises:
        VideoError: one is too long.
    """
    most = limits()
    hours = ended / 3600
    if not hours <= most.video_hours:
        raise VideoError(
            f"{path} lasts {hours:.4g} hours by its timestamps, more than {most.video_hours}; "
            f"re-encode it, or {lifted('video_hours')}"
        )
    gap = float(np.diff(times, prepend=0.0).max()) / 3600
    if gap > most.gap_hours:
        raise VideoError(
            f"{path} has no frame for {gap:.4g} hours, more than {most.gap_hours}; "
            f"re-encode it, or {lifted('gap_hours')}"
        )
