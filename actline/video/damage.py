"""Damage inside a video, which reading skips, found by decoding the whole video."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from av.packet import Packet

from actline.video.container import is_folder, opened, video_packets
from actline.video.folders import folder_frames, read_folder
from actline.video.frames import attempted, ends_early, undecodable
from actline.video.lost_end import LOST_SECONDS
from actline.video.packets import rejoined
from actline.video.size import Exact
from actline.video.timestamps import read_header, shown


@dataclass(frozen=True, slots=True)
class Damage:
    """The part of a video that cannot be decoded.

    Attributes:
        frames: number of frames in the video.
        lost: how many of them the container or the decoder report as damaged. When the video is
            read, the previous frame stays on display in place of those that the decoder drops.
        first: time of the first lost frame in seconds; None if there is none, or if it is unknown.
    """

    frames: int
    lost: int
    first: float | None


def find_damage(path: str | Path) -> Damage:
    """Decode a whole video, or every image of a folder of frames, and count the lost frames.

    Damage that the decoder does not notice is not found: images that look wrong but are valid, and
    packets that are missing without a trace.

    Raises:
        VideoError: the video cannot be read, or more than a second of its end cannot be.
    """
    path = Path(path)
    if is_folder(path):
        files = folder_frames(path)
        for _ in read_folder(path, range(len(files)), size=Exact(16, 16), frame_rate=1):
            pass
        return Damage(len(files), 0, None)
    file, header = shown(path), read_header(path)
    lost: set[float] = set()
    unknown, last = 0, None

    def seconds(stamp: int | None) -> float | None:
        return None if stamp is None else header.seconds(stamp)

    with opened(path) as (container, stream):
        # With frame threads, an error is reported only some packets later.
        stream.thread_type = "SLICE"

        def watched() -> Iterator[Packet | None]:
            for packet in rejoined(video_packets(container, stream, marks=True), header.joins):
                corrupt = packet is not None and packet.is_corrupt
                marked = seconds(packet.pts) if packet is not None and corrupt else None
                if marked is not None:
                    lost.add(marked)
                yield packet

        for index, (stamp, frame) in enumerate(attempted(path, watched(), stream.codec_context)):
            time = seconds(stamp)
            if not header.ordered:
                time = float(file.times[min(index, len(file.times) - 1)])
            if frame is not None:
                last = last if time is None else time
            elif time is not None:
                lost.add(time)
            else:
                unknown += 1
    if last is None:
        raise undecodable(path)
    if last < file.times[-1] - LOST_SECONDS:
        raise ends_early(path, last, float(file.times[-1]))
    # Times before the first frame are cut away by an edit list.
    among = [time for time in lost if time >= header.first]
    return Damage(len(file.times), len(among) + unknown, min(among, default=None))
