"""A stream's packets as arrays, and where their timestamps leap."""

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
    """A stream's packets in the order of decoding, those without content left out.

    Attributes:
        pts, dts: (N,) timestamps of display and of decoding, in ticks or `UNKNOWN`.
        lasting: (N,) ticks that frames last by their packets' word, or 0.
        key: (N,) which are key frames.
        kept: (N,) whose frames are shown: not damaged, nor cut away by an edit list.
        end: the byte of the file at which the last of them ends, where that is known, else 0.
        broken_off: whether reading ended by an error, before the end of the file.
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
        """Whether a timestamp is too large to count with."""
        known = np.concatenate([self.pts, self.dts])
        known = known[known != UNKNOWN]
        return bool(((known > LARGEST) | (known < -LARGEST)).any())

    @property
    def stamps(self) -> NDArray[np.int64]:
        """(N,) timestamps of display, else of decoding, else `UNKNOWN`."""
        return np.where(self.pts != UNKNOWN, self.pts, self.dts)


@dataclass(frozen=True, slots=True)
class Join:
    """Where timestamps leap: from the packet `number` on, `ticks` are added to them.

    Attributes:
        leap: ticks from the time of decoding before to that after.
    """

    number: int
    ticks: int
    leap: int


def read_packets(path: Path, container: InputContainer, stream: VideoStream) -> Packets:
    """Read a stream's packets to the end of what can be read.

    Raises:
        VideoError: there are more than the file has bytes.
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
        # Discarded packets are decoded, but cut away by an edit list.
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
    """Where a recording follows another one, by its timestamps.

    That is where times of decoding run backwards, at a key frame or by more than a second, and, if
    `leaps` or if they run backwards elsewhere, where they leap ahead by more than `leap` ticks.
    What follows is shown from the end of what was before.

    Args:
        second: in ticks.
        filled: whether other streams go on between two ticks, so that only pictures are missing.
    """
    clock = packets.dts
    if np.mean(clock != UNKNOWN) < 0.5:
        return ()
    known = np.flatnonzero(clock != UNKNOWN)
    ahead = np.diff(clock[known])
    gap = int(np.median(ahead[ahead > 0])) if (ahead > 0).any() else 1
    stamps = packets.stamps
    leapt = (ahead < 0) & (packets.key[known[1:]] | (-ahead > second))
    latest = UNKNOWN  # of the recording so far, as some formats' times of decoding waver
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
    """Timestamps (N,) of all packets, going on where they leapt."""
    moved = stamps.copy()
    for join, until in zip(joins, [*joins[1:], None], strict=True) if joins else ():
        part = moved[join.number : None if until is None else until.number]
        part[part != UNKNOWN] += join.ticks
    return moved


def rejoined(packets: Iterator[Packet], joins: Sequence[Join]) -> Iterator[Packet | None]:
    """All packets of a stream from its first, with timestamps that go on where they leapt.

    None stands where the decoder has to give all that it holds, as another recording begins.
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
