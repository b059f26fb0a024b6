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

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actline.errors import VideoError
from actline.stored.limits import lifted, limits
from actline.video.container import demuxed, opened
from actline.video.packets import (
    LARGEST,
    UNKNOWN,
    Join,
    Packets,
    find_joins,
    read_packets,
    without_leaps,
)
from actline.video.truncation import goes_on, is_cut_off

# What stored times and features are made by; counted up when the same file gets other times.
CLOCK = 2
# How much of a video's end may be missing before it counts as damaged, in seconds.
LOST_SECONDS = 1.0
# A frame counts as shown so much before its timestamp. Matroska, webm and flash round timestamps to
# milliseconds, the first one too; without this, sampling a file at its own rate would skip frames
# and repeat others. `allowance` has less for frames closer together.
EARLY_SECONDS = 1.001e-3
# Formats that FFmpeg marks so may leap in time; it takes leaps above so many seconds for joins.
_DISCONTINUOUS = 0x0200  # AVFMT_TS_DISCONT
_LEAP_SECONDS = 10.0
_REORDERED = 16  # frames that codecs reorder over
_NO_TIMESTAMPS = 0x0080  # AVFMT_NOTIMESTAMPS
# A stretch without a new frame is told when it is longer than so many seconds and frames.
_GAP_SECONDS, _GAP_FRAMES = 2.0, 10
# With a larger share of frames without a timestamp, frames are counted.
_MISSING_SHARE = 0.05
# Formats in which H.264 and its like may come with timestamps of decoding alone.
_DECODING_ORDER = ("avi", "mxf", "mxf_opatom", "asf")
# Formats in which a seek leads to a key frame whose timestamps are right. In others the packets
# after a seek may get others' timestamps (program streams), or there is nothing to seek by.
_SOUGHT = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "avi", "flv", "asf")
# So many packets must tell how long their frames last, for the last one to be believed.
_RIGHT_SHARE = 0.9
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
    beyond = VideoError(
        f"{path} has timestamps too large to count with; copy it again or re-encode it"
    )
    if packets.out_of_range:
        raise beyond
    _check_pixels(path, container.size, len(packets.pts) * width * height)
    joins = find_joins(
        packets,
        second=round(1 / base),
        leap=round(_LEAP_SECONDS / base),
        leaps=bool(int(form.flags) & _DISCONTINUOUS),
        filled=lambda begin, end: _others_go_on(path, stream.index, begin * base, end * base),
    )
    if any(abs(join.ticks) > LARGEST for join in joins):
        raise beyond
    stamps, note = _stamps(packets, joins, container, stream)
    start = int(stamps[0])
    begins = start * base
    first = max(0.0, begins - min([begins, *_other_starts(container, stream)]))
    times = np.asarray((stamps - start) * base + first, np.float64)
    lasts = Fraction(_end_of_last(stamps, packets, stream) - start)
    ended = float(lasts * (stream.time_base or Fraction(1, 25))) + first
    _check_length(path, times, ended)
    duration, fault = ended, None
    if packets.broken_off or is_cut_off(path):
        promised, of_video = _promised(container, stream, begins)
        there = ended - first
        if promised is not None and of_video:
            duration = max(ended, promised + first)
        elif promised is not None and promised > there:
            there = max(there, _reached(path) - begins)
        if promised is not None and promised - there > LOST_SECONDS:
            duration = ended
            fault = (
                f"{path} is cut off: its header promises {promised:.1f} s, "
                f"{ended - first:.1f} s are there; copy it again"
            )
    if fault is None and goes_on(path, packets.end):
        fault = (
            f"{path} holds another recording behind the first {ended:.1f} s, which cannot be read "
            "in one file; join the two with `ffmpeg -f concat`"
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
    notes = (*_leaps_told(packets, joins, header), *_gaps_told(times))
    return header, ShownTimes(times, duration, notes if note is None else (note, *notes))


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


def _stamps(
    packets: Packets, joins: Sequence[Join], container: InputContainer, stream: VideoStream
) -> tuple[NDArray[np.int64], str | None]:
    """When frames are shown, in ticks, increasing; and the sentence on why they are counted."""
    kept = packets.kept
    stamps = without_leaps(packets.stamps, joins)[kept]
    known = stamps != UNKNOWN
    rate = float(stream.average_rate or 25)
    frame = 1 / (rate * float(stream.time_base or 1 / 25))  # in ticks
    count = len(stamps)
    # What FFmpeg makes up for a bare stream, without a container, may be wrong.
    if int(container.format.flags) & _NO_TIMESTAMPS or not known.any():
        counted = np.round(np.arange(count) * frame).astype(np.int64)
        return counted, f"no timestamps: frames are counted, {rate:.6g} a second"
    missing = int(np.count_nonzero(packets.pts[kept] == UNKNOWN))
    many_missing = missing > _MISSING_SHARE * count
    of_decoding = (
        container.format.name in _DECODING_ORDER
        and stream.codec_context.has_b_frames
        and bool((np.diff(stamps[known]) >= 0).all())
    )
    distinct = np.unique(stamps[known])
    # In program streams, packets get the timestamps of others.
    repeated = container.format.name == "mpeg" and len(distinct) < count
    if not (many_missing or of_decoding or repeated):
        return distinct, None
    if known.all() and len(distinct) >= max(2, count - 1) and not repeated:
        if len(distinct) < count:  # what FFmpeg makes of the last one repeats the one before
            distinct = np.append(distinct, distinct[-1] + np.median(np.diff(distinct)))
        told = "timestamps of decoding, not of display: frames are counted over them"
        return distinct.astype(np.int64), told
    # The stream's own rate is exact, if what timestamps there are agree.
    placed = np.flatnonzero(known)
    steps = int(placed[-1] - placed[0])
    mean = float(distinct[-1] - distinct[0]) / steps if steps else 0.0
    near = np.median(np.diff(stamps[placed]) / np.diff(placed)) if steps else 0.0
    if steps and near > 0:
        joined = not 0.9 < mean / near < 1.1  # leaps between them are not of frames
        found = near if joined else mean
        # Two of them lie further apart in decoding than in display by up to so many frames.
        if abs(found / frame - 1) > max(0.02, 0.1 if joined else 0.0, _REORDERED / steps):
            frame = found
    counted = distinct[0] + np.round(np.arange(count) * frame).astype(np.int64)
    without = f"{missing} of {count} frames without a timestamp"
    if not missing:
        without = f"{count - len(distinct)} of {count} frames with the timestamp of another"
    second = 1 / (frame * float(stream.time_base or 1 / 25))
    return counted, f"{without}: frames are counted, {second:.6g} a second"


def _other_starts(container: InputContainer, stream: VideoStream) -> list[float]:
    """When the sound and the other pictures of a file begin, by its own timestamps."""
    return [
        float(other.start_time * other.time_base)
        for other in (*container.streams.audio, *container.streams.video)
        if other.index != stream.index
        and other.start_time is not None
        and other.time_base is not None
        and not Disposition(other.disposition) & Disposition.attached_pic
    ]


def _end_of_last(stamps: NDArray[np.int64], packets: Packets, stream: VideoStream) -> float:
    """The tick at which the last frame ends: after the frames' median distance, or as it says.

    Packets are believed where they tell the others' lengths rightly: in some formats they all tell
    the same.
    """
    lasting, dts = packets.lasting[packets.kept], packets.dts[packets.kept]
    if len(stamps) == 1:
        frame = 1 / float((stream.average_rate or 25) * (stream.time_base or 1 / 25))
        return int(stamps[0]) + (int(lasting[0]) or frame)
    ended = int(stamps[-1]) + float(np.median(np.diff(stamps)))
    if (dts == UNKNOWN).any() or len(lasting) < len(stamps):
        return ended
    right = np.abs(np.diff(dts) - lasting[:-1]) <= 1
    if np.mean(right & (lasting[:-1] > 0)) < _RIGHT_SHARE:
        return ended
    whole = min(int(lasting.sum(dtype=np.float64)), int(dts[-1] - dts[0] + lasting[-1]))
    return max(ended, int(stamps[0]) + whole)


def _promised(
    container: InputContainer, stream: VideoStream, start: float
) -> tuple[float | None, bool]:
    """How many seconds the header promises, and whether of the video, or of all that is there.

    Args:
        start: second of the first frame, on the clock of the timestamps.
    """
    if stream.duration is not None and stream.time_base is not None:
        length = float(stream.duration * stream.time_base)
        # The length of a cut off avi is guessed by its size, but its frames are counted.
        counted = stream.frames / float(stream.average_rate or 25)
        return (max(length, counted) if container.format.name == "avi" else length), True
    clock = stream.metadata.get("DURATION", "").split(":")
    if len(clock) == 3:
        with contextlib.suppress(ValueError, OverflowError):
            length = int(clock[0]) * 3600 + int(clock[1]) * 60 + float(clock[2]) - start
            if math.isfinite(length):
                return length, True
    return (container.duration / av.time_base - start if container.duration else None), False


def _reached(path: Path) -> float:
    """Seconds, by the timestamps, at which the last of a file's streams ends."""
    with opened(path) as (container, _):
        return max((at + lasts for _, at, lasts in _timed_packets(container)), default=0.0)


def _others_go_on(path: Path, own: int, begin: float, end: float) -> bool:
    """Whether another stream than `own` has something well between two seconds of timestamps."""
    with opened(path) as (container, _):
        return any(
            index != own and begin + _GAP_SECONDS < at < end - _GAP_SECONDS
            for index, at, _ in _timed_packets(container)
        )


def _timed_packets(container: InputContainer) -> Iterator[tuple[int, float, float]]:
    """Of every packet of a file the stream, and the seconds of its timestamp and length."""
    for packet in demuxed(container):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and not packet.is_corrupt:
            base = float(packet.time_base)
            yield packet.stream_index, stamp * base, (packet.duration or 0) * base


def _leaps_told(packets: Packets, joins: Sequence[Join], header: Header) -> Iterator[str]:
    """A sentence for leaps back and one for leaps ahead."""
    stamps = without_leaps(packets.stamps, joins)
    for back, what in ((True, "run backwards"), (False, "leap ahead")):
        those = [join for join in joins if (join.leap < 0) == back]
        if not those:
            continue
        after = stamps[those[0].number :]
        at = header.seconds(int(after[after != UNKNOWN].min()))
        by = abs(those[0].leap) * header.base
        times = "" if len(those) == 1 else f" {len(those)} times, first"
        yield f"timestamps {what}{times} at {at:.1f} s, by {by:.1f} s: what follows is joined on"


def _gaps_told(times: NDArray[np.float64]) -> Iterator[str]:
    """A sentence for stretches without a new frame that are long for the video."""
    if len(times) < 3:
        return
    gaps = np.diff(times)
    long = np.flatnonzero(gaps > max(_GAP_SECONDS, _GAP_FRAMES * float(np.median(gaps))))
    if len(long):
        begin, end = times[long[0]], times[long[0] + 1]
        more = "" if len(long) == 1 else f", and in {len(long) - 1} more stretches"
        yield f"no new frame from {begin:.1f} to {end:.1f} s{more}: the one before stays"
