"""A stream's packets as arrays, and jumps in their timestamps."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actline.video.container import video_packets
from actline.video.tables import most_frames, too_many_frames

UNKNOWN = -(1 << 63)
# Sums and differences of timestamps below this stay within 64 bits.
LARGEST = 1 << 60


@dataclass(frozen=True, eq=False, slots=True)
class Packets:
    """A stream's packets in decoding order, without empty ones.

    Attributes:
        pts, dts: (N,) presentation and decoding timestamps, in ticks or `UNKNOWN`.
        lasting: (N,) durations of frames in ticks, as stated in the packets, or 0.
        key: (N,) whether it is a key frame.
        kept: (N,) whether its frame is shown: not damaged, nor cut away by an edit list.
        end: position in the file, in bytes, at which the last packet ends; 0 if unknown.
        broken_off: whether reading ended with an error, before the end of the file.
    """

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    lasting: NDArray[np.int64]
    key: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    end: int
    broken_off: bool

    @property
    def out_of_range(self) -> bool:
        """Whether a timestamp is too large for the arithmetic."""
        known = np.concatenate([self.pts, self.dts])
        known = known[known != UNKNOWN]
        return bool(((known > LARGEST) | (known < -LARGEST)).any())

    @property
    def stamps(self) -> NDArray[np.int64]:
        """(N,) presentation timestamps, else decoding timestamps, else `UNKNOWN`."""
        return np.where(self.pts != UNKNOWN, self.pts, self.dts)


@dataclass(frozen=True, slots=True)
class Join:
    """A jump in timestamps: from the packet `number` on, `ticks` are added to them.

    Attributes:
        leap: ticks from the decoding timestamp before the jump to the one after.
    """

    number: int
    ticks: int
    leap: int


def read_packets(path: Path, container: InputContainer, stream: VideoStream) -> Packets:
    """Read a stream's packets to the end of what can be read.

    Raises:
        VideoError: there are more packets than the file has bytes.
    """
    most = most_frames(container.size)
    pts, dts, lasting = array("q"), array("q"), array("q")
    key, kept = bytearray(), bytearray()
    end, errors = 0, list[bool]()
    found = video_packets(container, stream, on_error=lambda: errors.append(True))
    for number, packet in enumerate(found):
        if number > most:
            raise too_many_frames(path)
        if not packet.size:
            continue
        end = max(end, (packet.pos or 0) + packet.size)
        pts.append(UNKNOWN if packet.pts is None else packet.pts)
        dts.append(UNKNOWN if packet.dts is None else packet.dts)
        lasts = packet.duration or 0
        lasting.append(lasts if 0 < lasts < LARGEST else 0)
        key.append(packet.is_keyframe)
        # Discarded packets are decoded, but their frames are cut away by an edit list.
        kept.append(not (packet.is_corrupt or packet.is_discard))
    return Packets(
        np.array(pts, np.int64),
        np.array(dts, np.int64),
        np.array(lasting, np.int64),
        np.frombuffer(key, np.bool_),
        np.frombuffer(kept, np.bool_),
        end,
        bool(errors),
    )


def find_joins(
    packets: Packets, *, second: int, leap: int, leaps: bool, filled: Callable[[int, int], bool]
) -> tuple[Join, ...]:
    """Find where one recording follows another, from the timestamps.

    That is where decoding timestamps run backwards, at a key frame or by more than a second, and,
    if `leaps` or if they run backwards elsewhere, where they jump ahead by more than `leap` ticks.
    The later recording is shown from the end of the earlier one.

    Args:
        second: one second in ticks.
        filled: whether other streams continue between two ticks, so that only video is missing.
    """
    clock = packets.dts
    if np.mean(clock != UNKNOWN) < 0.5:
        return ()
    known = np.flatnonzero(clock != UNKNOWN)
    ahead = np.diff(clock[known])
    gap = int(np.median(ahead[ahead > 0])) if (ahead > 0).any() else 1
    stamps = packets.stamps
    leapt = (ahead < 0) & (packets.key[known[1:]] | (-ahead > second))
    latest = UNKNOWN  # of this recording so far, as decoding timestamps of some formats fluctuate
    begin = 0
    for index in np.flatnonzero(leapt):
        number = known[index + 1]
        latest = max(latest, int(stamps[begin:number].max(initial=UNKNOWN)))
        leapt[index] = stamps[number] <= latest
        begin, latest = number, UNKNOWN if leapt[index] else latest
    if leaps or leapt.any():
        for index in np.flatnonzero(ahead > leap):
            leapt[index] = not filled(int(clock[known[index]]), int(clock[known[index + 1]]))
    numbers = known[1:][leapt]
    shown = packets.kept & (stamps != UNKNOWN)
    joins: list[Join] = []
    ticks, end = 0, None
    by_leap = dict(zip(numbers.tolist(), ahead[leapt].tolist(), strict=True))
    for begin, until in zip([0, *by_leap], [*by_leap, len(stamps)], strict=True):
        part = stamps[begin:until][shown[begin:until]]
        if len(part) and end is not None:
            ticks = end - int(part.min())
        if len(part):
            end = int(part.max()) + ticks + gap
        if begin:
            joins.append(Join(begin, ticks, by_leap[begin]))
    return tuple(joins)


def without_leaps(stamps: NDArray[np.int64], joins: Sequence[Join]) -> NDArray[np.int64]:
    """Timestamps (N,) of all packets, continuous across jumps."""
    moved = stamps.copy()
    for join, until in zip(joins, [*joins[1:], None], strict=True) if joins else ():
        part = moved[join.number : None if until is None else until.number]
        part[part != UNKNOWN] += join.ticks
    return moved


def rejoined(packets: Iterator[Packet], joins: Sequence[Join]) -> Iterator[Packet | None]:
    """All packets of a stream, from its first, with timestamps that are continuous across jumps.

    None marks where the decoder must be drained, as another recording begins.
    """
    coming, ticks, number = list(joins[::-1]), 0, 0
    for packet in packets:
        if packet.size:
            if coming and coming[-1].number == number:
                ticks = coming.pop().ticks
                if packet.is_keyframe:
                    yield None
            number += 1
        if ticks:
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        yield packet
