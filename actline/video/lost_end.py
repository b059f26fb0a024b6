"""Whether a video's end is missing: the duration in its header, compared with its packets."""

import contextlib
import math
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from actline.video.other_streams import last_end
from actline.video.packets import Packets
from actline.video.truncation import goes_on, is_cut_off

# How many seconds of a video's end may be missing before it counts as damaged.
LOST_SECONDS = 1.0


def length_and_fault(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    packets: Packets,
    *,
    begins: float,
    first: float,
    ended: float,
) -> tuple[float, str | None]:
    """A video's duration, and the error message if its end is missing, else None.

    A file that is cut off by no more than `LOST_SECONDS` lasts as long as its header states.

    Args:
        begins: time of the first frame in seconds, on the clock of the timestamps.
        first: time of the first frame in seconds, on the file's clock.
        ended: time in seconds at which the last frame ends, on the file's clock.
    """
    duration, fault = ended, None
    if packets.broken_off or is_cut_off(path):
        promised, of_video = _promised(container, stream, begins)
        there = ended - first
        if promised is not None and of_video:
            duration = max(ended, promised + first)
        elif promised is not None and promised > there:
            there = max(there, last_end(path) - begins)
        if promised is not None and promised - there > LOST_SECONDS:
            duration = ended
            fault = (
                f"{path} is cut off: its header states {promised:.1f} s, "
                f"but it has only {ended - first:.1f} s; copy it again"
            )
    if fault is None and goes_on(path, packets.end):
        fault = (
            f"{path} holds another recording after the first {ended:.1f} s, which cannot be read "
            "in one file; join the two with `ffmpeg -f concat`"
        )
    return duration, fault


def _promised(
    container: InputContainer, stream: VideoStream, start: float
) -> tuple[float | None, bool]:
    """The duration in the header, and whether it is that of the video or of the whole file.

    Args:
        start: time of the first frame in seconds, on the clock of the timestamps.
    """
    if stream.duration is not None and stream.time_base is not None:
        length = float(stream.duration * stream.time_base)
        # The duration of a cut off avi is estimated from its size, but its frame count is stored.
        counted = stream.frames / float(stream.average_rate or 25)
        return (max(length, counted) if container.format.name == "avi" else length), True
    clock = stream.metadata.get("DURATION", "").split(":")
    if len(clock) == 3:
        with contextlib.suppress(ValueError, OverflowError):
            length = int(clock[0]) * 3600 + int(clock[1]) * 60 + float(clock[2]) - start
            if math.isfinite(length):
                return length, True
    return (container.duration / av.time_base - start if container.duration else None), False
