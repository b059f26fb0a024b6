"""What a report shows of a video file: the file itself, embedded or linked, and small frames."""

import base64
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actline.plain import plain
from actline.timeline import Timeline
from actline.video.decode import ShortSide, probe, read_frames

MOST_EMBEDDED = 50_000_000
"""Bytes of the largest file to embed; larger ones are linked."""

MOST_EMBEDDED_TOGETHER = 200_000_000
"""Bytes of all embedded files: a browser holds a page in memory more than once."""

FRAMES_SHOWN = 16
_FRAME_HEIGHT = 90  # pixels of the short side: sharp at the size shown, some 4 kB each

# What current browsers play, by the decoder's name for the codec and by container.
_CODECS = {"h264", "vp8", "vp9", "av1"}
_CONTAINERS = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",  # the same boxes; browsers refuse QuickTime's own name
    ".webm": "video/webm",
}


@dataclass(frozen=True, slots=True)
class Media:
    """How a page shows a video.

    Attributes:
        data: the file as a data URI; empty when it is not embedded.
        link: its relative address; empty when it is embedded or there is none.
        note: why it is not embedded or cannot be shown; empty when all is well.
        bytes: the embedded file's size; 0 when it is not embedded.
    """

    data: str = ""
    link: str = ""
    note: str = ""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """A small picture of the video at `time` (seconds), as a data URI."""

    time: float
    image: str


Failed = Callable[[Path, Exception], None]
"""Called with a video that exists but cannot be shown, and why."""


def media_of(video: Path, out: Path, *, embed: bool, room: int, failed: Failed) -> Media:
    """Embed `video` in the page at `out` where allowed, small enough and playable, or link it.

    Args:
        room: bytes that may still be embedded in the page.
    """
    if video.is_dir():
        return Media(note="This video is a folder of frames, which a browser does not play.")
    mime = _CONTAINERS.get(video.suffix.lower())
    try:
        codec, size = probe(video).codec, video.stat().st_size
        playable = mime is not None and codec in _CODECS
        if playable and embed and size <= min(MOST_EMBEDDED, room):
            data = base64.b64encode(video.read_bytes()).decode("ascii")
            return Media(data=f"data:{mime};base64,{data}", bytes=size)
    except Exception as error:  # whatever is wrong with one video, the others are shown
        failed(video, error)
        return Media(note=f"The video cannot be read: {plain(error, longest=300)}")
    beside = Path(os.path.relpath(video.absolute(), out.absolute().parent))
    # Bytes, as a name need not be text.
    link = quote(os.fsencode(beside.as_posix()))
    note = f"It is linked, not embedded: keep {video.name} where it is for this page to show it."
    if not playable:
        note = f"Many browsers do not play {codec} in {video.suffix or 'such a file'}. {note}"
    elif embed:
        note = f"The video has {size / 1e6:.0f} MB. {note}"
    return Media(link=link, note=note)


def frames_of(video: Path, timeline: Timeline, *, failed: Failed) -> tuple[Frame, ...]:
    """Small frames at the times where Grid Pool looked, or evenly spread where it did not.

    Of many sampled times every n-th is shown, so that the frames shown are still denser
    where the model looked more often. Empty when the video cannot be decoded.
    """
    times = frame_times_shown(timeline)
    try:
        pictures = list(read_frames(video, times, size=ShortSide(_FRAME_HEIGHT)))
        return tuple(
            Frame(float(time), _jpeg(picture))
            for time, picture in zip(times, pictures, strict=True)
        )
    except Exception as error:
        failed(video, error)
        return ()


def frame_times_shown(timeline: Timeline) -> NDArray[np.float64]:
    """The times of `frames_of`: at most `FRAMES_SHOWN`, in seconds, increasing."""
    sampled = timeline.sampled
    if sampled is not None and len(sampled):
        inside = np.sort(np.clip(sampled, 0, timeline.duration))
        chosen = np.linspace(0, len(inside) - 1, min(FRAMES_SHOWN, len(inside)))
        return inside[chosen.round().astype(int)]
    middle = (np.arange(FRAMES_SHOWN) + 0.5) / FRAMES_SHOWN
    return middle * timeline.duration


def _jpeg(picture: NDArray[np.uint8]) -> str:
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "JPEG", quality=78, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
