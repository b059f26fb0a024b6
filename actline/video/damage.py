"""Damage inside a video that reading it passes over, found by decoding all of it."""

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
    """What of a video cannot be decoded.

    Attributes:
        frames: how many the video has.
        lost: how many of them the container or the decoder tell to be damaged. While reading, the
            frame before stays on display for those that the decoder gives up.
        first: seconds of the first lost one; None without any, or where the file does not tell.
    """

    frames: int
    lost: int
    first: float | None


def find_damage(path: str | Path) -> Damage:
    """Decode a whole video, of a folder of frames every picture, and count what is lost.

    What a decoder does not notice is not found: pictures that look wrong but follow the format,
    and packets that are missing without a trace.

    Raises:
        VideoError: the video cannot be read; or its end cannot be, for more than a second.
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
        # Threads of frames tell of an error only some packets later.
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
    # Before the first frame lies what an edit list cuts away.
    among = [time for time in lost if time >= header.first]
    return Damage(len(file.times), len(among) + unknown, min(among, default=None))
