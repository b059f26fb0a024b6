"""Videos kept decoded on disk: for small frames that are read again in every epoch.

Opening, seeking and decoding cost far more than a step of a small network. A decoded video is one
`.npy` file of records (time, check, pixels), mapped into memory, so a clip reads its own frames
only. Damage is detected: a file that is not what was written is decoded again, and pixels are
compared with their checksum as they are read.
"""

import hashlib
import itertools
import json
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actline.errors import VideoError
from actline.files import identity, reserve, sweep_once, written_whole
from actline.names import output_path
from actline.video.decode import ShortSide, frame_times, read_frames
from actline.video.timestamps import CLOCK, on_display

# Increased when the format changes, so that files of earlier versions are decoded again.
_FORM = 2


def decoded_video(
    folder: Path, video_id: str, video: Path, *, size: ShortSide, frame_rate: float = 24.0
) -> Path:
    """A video's decoded file, made if it does not exist.

    Its name identifies the input (path, size, modification time, a digest of its beginning and
    end), the rate of a folder of frames, and the clock that times are on: a video that was
    replaced, and another with the same id, get other files. Files decoded from an earlier state of
    the video are removed.

    Raises:
        VideoError: the video cannot be read.
        OutputError: the decoded video cannot be written.
    """
    try:
        source = identity(video)
    except OSError as error:
        raise VideoError(f"cannot read {video}: {error.strerror or error}") from error
    path, source["clock"], source["form"] = source.pop("path"), CLOCK, _FORM
    if video.is_dir():
        source["frame_rate"] = json.dumps(frame_rate)
    where = f".{_digest(path)}"
    ending = f".{size.pixels}px.npy"
    decoded = output_path(folder, video_id, f"{where}.{_digest(source)}{ending}")
    sweep_once(decoded.parent)
    if not decoded.exists() or _mapped(decoded) is None:
        _decode(video, decoded, size=size, frame_rate=frame_rate)
        start = output_path(folder, video_id, f"{where}.").name
        for old in decoded.parent.iterdir():
            if old.name.startswith(start) and old.name.endswith(ending) and old != decoded:
                old.unlink(missing_ok=True)
    return decoded


def read_decoded_clip(decoded: Path, times: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The same frames as `read_clip`, by way of the decoded video.

    Shape:
        times: (T,) seconds; returns (T, H, W, 3), RGB.

    Raises:
        VideoError: the decoded video is damaged.
    """
    frames = _mapped(decoded)
    if frames is None:
        raise VideoError(f"{decoded} has changed since it was written; start again")
    chosen = on_display(frames["time"], times)
    pixels, checks = frames["pixels"][chosen], frames["check"][chosen]
    begun = zlib.crc32(frames["time"].tobytes())  # another time would choose another frame
    if any(zlib.crc32(one, begun) != check for one, check in zip(pixels, checks, strict=True)):
        raise VideoError(f"{decoded} is damaged; remove it, it will be decoded again")
    return pixels


def _mapped(decoded: Path) -> NDArray[np.void] | None:
    """A decoded video's records (N,); None if the file is not in the form written here."""
    if not decoded.is_file():  # reading a pipe would block
        return None
    try:
        frames = np.load(decoded, mmap_mode="r", allow_pickle=False)
    except Exception:  # whatever NumPy raises on a damaged file
        return None
    names = frames.dtype.names or ()
    shape = frames.dtype["pixels"].shape if "pixels" in names else ()
    if len(shape) != 3 or frames.ndim != 1 or not len(frames):
        return None
    if frames.dtype != _record(shape):
        return None
    whole = frames["time"]
    sound = np.isfinite(whole).all() and (np.diff(whole) > 0).all()
    return frames if sound else None


def _record(shape: tuple[int, ...]) -> np.dtype[np.void]:
    """A frame of (H, W, 3) with its time in seconds, and a checksum of all times and its pixels."""
    return np.dtype([("time", np.float64), ("check", np.uint32), ("pixels", np.uint8, shape)])


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]


def _decode(video: Path, decoded: Path, *, size: ShortSide, frame_rate: float) -> None:
    times = frame_times(video, frame_rate=frame_rate)
    frames = read_frames(video, times, size=size, frame_rate=frame_rate)
    first = next(frames)
    record = _record(first.shape)
    with written_whole(decoded) as aside:
        header = {
            "descr": np.lib.format.dtype_to_descr(record),
            "fortran_order": False,
            "shape": times.shape,
        }
        with aside.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            begin = file.tell()
        # Before it is mapped: on a full disk the first write to the map would kill the process.
        reserve(aside, begin + record.itemsize * len(times))
        whole = np.memmap(aside, record, "r+", begin, times.shape)
        whole["time"] = times
        begun = zlib.crc32(times.tobytes())
        for index, frame in enumerate(itertools.chain([first], frames)):
            whole["pixels"][index] = frame
            whole["check"][index] = zlib.crc32(frame.tobytes(), begun)
        whole.flush()
