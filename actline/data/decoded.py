"""Videos kept decoded on disk: for small frames that are read again in every epoch.

Opening, seeking and decoding cost far more than a step of a small network. A decoded video is one
`.npy` file of records (time, pixels), mapped into memory, so a clip reads its own frames only. The
times' name says by which clock they are.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actline.files import written_whole
from actline.video.decode import ShortSide, frame_times, read_frames
from actline.video.timestamps import CLOCK, on_display

_TIME = f"time by clock {CLOCK}"


def read_decoded_clip(
    folder: Path,
    video_id: str,
    video: Path,
    times: NDArray[np.float64],
    *,
    size: ShortSide,
    frame_rate: float = 24.0,
) -> NDArray[np.uint8]:
    """The same frames as `read_clip`, by way of the decoded video.

    That is made when it is missing, and again when the video is newer than it or its times are by
    another clock.

    Shape:
        times: (T,) seconds; returns (T, H, W, 3), RGB.

    Raises:
        VideoError: the video cannot be read.
        OutputError: the decoded video cannot be written.
    """
    decoded = folder / f"{video_id}.{size.pixels}px.npy"
    if not decoded.exists() or decoded.stat().st_mtime < video.stat().st_mtime:
        _decode(video, decoded, size=size, frame_rate=frame_rate)
    frames = np.load(decoded, mmap_mode="r", allow_pickle=False)
    if _TIME not in (frames.dtype.names or ()):
        _decode(video, decoded, size=size, frame_rate=frame_rate)
        frames = np.load(decoded, mmap_mode="r", allow_pickle=False)
    return frames["pixels"][on_display(frames[_TIME], times)]


def _decode(video: Path, decoded: Path, *, size: ShortSide, frame_rate: float) -> None:
    times = frame_times(video, frame_rate=frame_rate)
    frames = read_frames(video, times, size=size, frame_rate=frame_rate)
    first = next(frames)
    record = np.dtype([(_TIME, np.float64), ("pixels", np.uint8, first.shape)])
    with written_whole(decoded) as aside:
        whole = np.lib.format.open_memmap(aside, mode="w+", dtype=record, shape=times.shape)
        whole[_TIME] = times
        whole["pixels"][0] = first
        for index, frame in enumerate(frames, start=1):
            whole["pixels"][index] = frame
        whole.flush()
