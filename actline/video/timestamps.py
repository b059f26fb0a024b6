"""When a video file's frames are shown: its header's word for it, and that of its packets.

A container's header is not believed where its packets can be asked: when frames are shown, and
how much of the file is really there, is read from the packets, without decoding.
"""

import contextlib
import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actline.errors import VideoError
from actline.video.container import demuxed, opened

# How much of a video's end may be missing before it counts as damaged, in seconds.
LOST_SECONDS = 1.0
# A frame counts as shown so much before its timestamp. Matroska, webm and flash round timestamps to
# milliseconds, the first one too; without this, sampling a file at its own rate would skip frames
# and repeat others.
EARLY_SECONDS = 1.001e-3
# The first timestamp is looked for among so many packets: codecs reorder over at most 16 frames.
_HEAD_PACKETS = 64


@dataclass(frozen=True, eq=False, slots=True)
class Shown:
    """When a file's frames are shown.

    Attributes:
        times: (N,) seconds from the first frame, increasing, the first 0.
        duration: seconds until the last frame ends.
    """

    times: NDArray[np.float64]
    duration: float


def on_display(shown_times: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which frame is on display at each of `times`, in reading and in anything kept of it.

    It is the last one whose timestamp is not later, but for `EARLY_SECONDS`.

    Shape:
        shown_times: (N,) seconds, sorted, at least one; times: (T,) seconds; returns (T,) indices.
    """
    found = np.searchsorted(shown_times, times + EARLY_SECONDS, side="right") - 1
    return np.maximum(found, 0)


@dataclass(frozen=True, slots=True)
class Header:
    """What a file's beginning tells.

    Attributes:
        width, height: as coded, before rotation.
        rate: mean frames per second.
        duration: seconds, if the header tells the video's own.
        start, base: the first timestamp, and the seconds of one tick.
        ordered: whether timestamps are of display. Bare streams have none, and those of some avi
            files are of decoding.
    """

    codec: str
    width: int
    height: int
    rate: float
    duration: float | None
    start: int
    base: float
    ordered: bool


def shown(path: Path) -> Shown:
    """When each frame is shown, from the packets alone.

    Raises:
        VideoError: the file cannot be read, or ends more than a second before its header says.
    """
    with opened(path) as (container, stream):
        base, rate = float(stream.time_base or 0), float(stream.average_rate or 25)
        stamps, reached = _scan(container, stream)
        if not len(stamps):
            raise VideoError(f"{path} has no frames; copy it again")
        start = float(stamps[0]) * base
        promised, of_video = _promised(container, stream, start)
    times = (stamps - stamps[0]) * base
    # A frame lasts until the next one. How long the last one lasts, packets do not tell reliably:
    # their durations may be of the decoding order.
    gap = float(np.median(np.diff(times))) if len(times) > 1 else 1 / rate
    ended = float(times[-1]) + gap
    if promised is None:
        return Shown(times, ended)
    if promised - max(ended, reached - start) > LOST_SECONDS:
        raise VideoError(
            f"{path} is cut off: its header promises {promised:.1f} s, "
            f"{ended:.1f} s are there; copy it again"
        )
    # The last frame may be held for longer than the others.
    return Shown(times, max(ended, promised) if of_video else ended)


def read_header(path: Path) -> Header:
    """Read a file's header and first packets.

    Raises:
        VideoError: the file cannot be read, or has no frames.
    """
    with opened(path) as (container, stream):
        codec = stream.codec_context
        # Read now, as decoding changes it in streams that change their size.
        width, height = codec.width, codec.height
        head = [
            packet
            for packet in itertools.islice(demuxed(container, stream), _HEAD_PACKETS)
            if packet.size and not packet.is_corrupt
        ]
        stamps = _stamps(head, stream)
        if not len(stamps):
            raise VideoError(f"{path} has no frames; copy it again")
        start, base = int(stamps[0]), float(stream.time_base or 0)
        promised, of_video = _promised(container, stream, start * base)
        return Header(
            codec.name,
            width,
            height,
            float(stream.average_rate or stream.base_rate or 0),
            promised if of_video else None,
            start,
            base,
            _tells_display_times(container, stream, head),
        )


def _scan(container: InputContainer, stream: VideoStream) -> tuple[NDArray[np.int64], float]:
    """The stream's timestamps, and the seconds that the file's packets reach to.

    Where only the file as a whole tells its length, sound counts too, as it may be longer.
    """
    only_file = stream.duration is None and "DURATION" not in stream.metadata
    reached: dict[int, int] = {}  # ticks, by stream

    def watched() -> Iterator[Packet]:
        for packet in demuxed(container, *([] if only_file else [stream])):
            if packet.is_corrupt:
                continue
            stamp, index = _stamp(packet), packet.stream_index
            if stamp is not None:
                reached[index] = max(reached.get(index, 0), stamp + (packet.duration or 0))
            if packet.size and index == stream.index:
                yield packet

    stamps = _stamps(watched(), stream)
    seconds = [
        ticks * float(container.streams[index].time_base or 0) for index, ticks in reached.items()
    ]
    return stamps, max(seconds, default=0.0)


def _stamp(packet: Packet) -> int | None:
    return packet.pts if packet.pts is not None else packet.dts


def _stamps(packets: Iterable[Packet], stream: VideoStream) -> NDArray[np.int64]:
    """Timestamps in the stream's time base, sorted: of display, else of decoding, else counted.

    Discarded packets are decoded, but cut away by an edit list: their frames are never shown.
    """
    known, count = array("q"), 0
    for packet in packets:
        if packet.is_discard:
            continue
        count += 1
        stamp = _stamp(packet)
        if stamp is not None:
            known.append(stamp)
    if not known and stream.time_base:
        # A bare stream, without a container, has nothing but its rate.
        length = 1 / (float(stream.average_rate or 25) * float(stream.time_base))
        return np.unique(np.round(np.arange(count) * length).astype(np.int64))
    return np.unique(np.array(known, np.int64))


def _tells_display_times(
    container: InputContainer, stream: VideoStream, head: Sequence[Packet]
) -> bool:
    """Whether timestamps are of display: bare streams have none, avi may have those of decoding."""
    stamps = [packet.pts for packet in head]
    known = [stamp for stamp in stamps if stamp is not None]
    if not known and all(packet.dts is None for packet in head):
        return False
    in_decoding_order = len(known) < len(stamps) or known == sorted(known)
    reordered = stream.codec_context.has_b_frames
    return not (container.format.name == "avi" and reordered and in_decoding_order)


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
        with contextlib.suppress(ValueError):
            return int(clock[0]) * 3600 + int(clock[1]) * 60 + float(clock[2]) - start, True
    return (container.duration / av.time_base - start if container.duration else None), False
