"""The other streams of a video's file: where they begin and end, and whether they continue."""

from collections.abc import Iterator
from pathlib import Path

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from actline.video.container import demuxed, opened
from actline.video.time_notes import GAP_SECONDS


def other_starts(container: InputContainer, stream: VideoStream) -> list[float]:
    """When a file's audio and other video streams begin, in seconds of their timestamps."""
    return [
        float(other.start_time * other.time_base)
        for other in (*container.streams.audio, *container.streams.video)
        if other.index != stream.index
        and other.start_time is not None
        and other.time_base is not None
        and not Disposition(other.disposition) & Disposition.attached_pic
    ]


def last_end(path: Path) -> float:
    """The time at which the last of a file's streams ends, in seconds of the timestamps."""
    with opened(path) as (container, _):
        return max((at + lasts for _, at, lasts in _timed_packets(container)), default=0.0)


def others_go_on(path: Path, own: int, begin: float, end: float) -> bool:
    """Whether a stream other than `own` has packets well inside an interval, in seconds."""
    with opened(path) as (container, _):
        return any(
            index != own and begin + GAP_SECONDS < at < end - GAP_SECONDS
            for index, at, _ in _timed_packets(container)
        )


def _timed_packets(container: InputContainer) -> Iterator[tuple[int, float, float]]:
    """Stream, timestamp and duration in seconds of every packet of a file."""
    for packet in demuxed(container):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and not packet.is_corrupt:
            base = float(packet.time_base)
            yield packet.stream_index, stamp * base, (packet.duration or 0) * base
