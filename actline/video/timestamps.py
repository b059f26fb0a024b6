"""When a video file's frames are shown: where time is defined.

Times are seconds on the file's own clock, the one that players show and that subtitles and ELAN
count by: 0 is where the first of the file's streams begins, sound or video, as FFmpeg's
`start_time` has it. A video whose picture begins 2 s after its sound has its first frame at 2.0;
before it no frame is sampled, and who asks for one gets the first. In most files the picture comes
first and its first frame is at 0.

All of it is read from the packets, once, without decoding; headers are not believed:

- A frame is shown at its packet's timestamp, edit lists applied, whatever the frame rate.
- Where timestamps run backwards (joined transport streams, a camera that started again), the later
  part follows the end of the earlier one. In formats whose timestamps may jump (transport and
  program streams, Ogg), so does what follows a leap of more than 10 s of all streams, as in FFmpeg.
  Leaps of other formats are kept: the frame before stays on display.
- Where frames have no timestamps, or those of decoding instead of display, frames are counted, in
  the order in which the decoder shows them: over the timestamps that there are, else at the
  stream's frame rate.
- A video lasts until its last frame ends: as long as that frame's packet says where packets say it
  reliably, else as long as the frames' median distance. What a header says of the length counts
  only for a file that is cut off.

What is unusual is told in `ShownTimes.notes`.
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

# What stored times and features are made by; counted up when the same file gets other times.
CLOCK = 2
# A frame counts as shown so much before its timestamp. Matroska, webm and flash round timestamps to
# milliseconds, the first one too; without this, sampling a file at its own rate would skip frames
# and repeat others. `allowance` has less for frames closer together.
EARLY_SECONDS = 1.001e-3
# Formats that FFmpeg marks so may leap in time; it takes leaps above so many seconds for joins.
_DISCONTINUOUS = 0x0200  # AVFMT_TS_DISCONT
_LEAP_SECONDS = 10.0
# Formats in which a seek leads to a key frame whose timestamps are right. In others the packets
# after a seek may get others' timestamps (program streams), or there is nothing to seek by.
_SOUGHT = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "avi", "flv", "asf")
_FEW_PIXELS = 4_000_000_000  # of all frames, which take seconds to decode


@dataclass(frozen=True, eq=False, slots=True)
class ShownTimes:
    """When a file's frames are shown.

    Attributes:
        times: (N,) seconds on the file's clock, increasing, at least one.
        duration: seconds on that clock at which the last frame ends.
        notes: what is unusual about the file's time, a sentence each.
    """

    times: NDArray[np.float64]
    duration: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """What reading a file's frames takes to know.

    Attributes:
        width, height: as coded, before rotation.
        rate: mean frames per second.
        duration: as `ShownTimes.duration`.
        first: seconds of the first frame on the file's clock.
        start, base: the first timestamp, and the seconds of one tick.
        ordered: whether timestamps tell when frames are shown; if not, frames are counted.
        seekable: whether a seek gives the same frames as reading from the start.
        early: seconds before its timestamp from which on a frame counts as shown.
        joins: where timestamps leap.
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
        """A timestamp, joins applied, on the file's clock."""
        return (stamp - self.start) * self.base + self.first


def allowance(times: NDArray[np.float64]) -> float:
    """How many seconds before its timestamp a frame counts as shown.

    `EARLY_SECONDS`, but a quarter of the frames' distance from 500 frames a second on.
    """
    if len(times) < 2:
        return EARLY_SECONDS
    gap = float(np.median(np.diff(times)))
    return EARLY_SECONDS if gap >= 2 * EARLY_SECONDS else gap / 4


def on_display(shown_times: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which frame is on display at each of `times`, in reading and in anything kept of it.

    It is the last one whose timestamp is not later, but for `allowance`; before the first frame,
    the first.

    Shape:
        shown_times: (N,) seconds, sorted, at least one; times: (T,) seconds; returns (T,) indices.
    """
    found = np.searchsorted(shown_times, times + allowance(shown_times), side="right") - 1
    return np.maximum(found, 0)


def shown(path: Path) -> ShownTimes:
    """When each frame is shown, from the packets alone; of a file that does not change, once.

    Raises:
        VideoError: the file cannot be read, its end is missing for more than a second, or another
            recording follows that cannot be read.
    """
    header, found = _scanned(path, _version(path))
    if header.fault is not None:
        raise VideoError(header.fault)
    return found


def read_header(path: Path) -> Header:
    """What reading a file's frames takes to know; of a file that does not change, looked up once.

    Raises:
        VideoError: the file cannot be read, or has no frames.
    """
    return _header(path, _version(path))


def _version(path: Path) -> tuple[int, ...]:
    """What changes when a file does; nothing for one that cannot be looked at."""
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
    # Read now, as decoding changes it in streams that change their size.
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
        and codec.pix_fmt != "pal8",  # a palette may come with the first packet alone
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
    return VideoError(
        f"{path} has timestamps too large to count with; copy it again or re-encode it"
    )


def _check_pixels(path: Path, size: int, pixels: int) -> None:
    """Compare the pixels of all frames with the bytes of the file.

    An animation of a few kilobytes may change one pixel of a giant canvas in each of its frames.

    Raises:
        VideoError: there are more than the limits allow.
    """
    most = limits().pixels_per_byte
    if pixels > _FEW_PIXELS and pixels > most * size:
        raise VideoError(
            f"{path} unpacks to {pixels / 1e9:.3g} billion pixels, more than {most} for each of "
            f"its bytes; re-encode it smaller, or {lifted('pixels_per_byte')}"
        )


def _check_length(path: Path, times: NDArray[np.float64], ended: float) -> None:
    """Compare a video's length and its gaps with the limits: both may cost work by their seconds.

    Raises:
        VideoError: they are longer.
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
