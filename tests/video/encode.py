"""Real video files for tests: encoded with PyAV, every frame carrying its own number.

A frame's number is written into it as 20 dark or bright blocks, so that a test can read off a
decoded picture exactly which frame it is, after any codec and any resizing.
"""

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLUMNS, ROWS = 5, 4
BITS = COLUMNS * ROWS

Picture = Callable[[int, tuple[int, int]], NDArray[np.uint8]]


def numbered(number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A textured picture (H, W, 3) that shows `number` in blocks; `size` is (width, height)."""
    width, height = size
    bits = (number >> np.arange(BITS)) & 1
    rows = np.arange(height) * ROWS // height
    columns = np.arange(width) * COLUMNS // width
    blocks = bits.reshape(ROWS, COLUMNS)[rows][:, columns]
    # The texture moves, so that a frame decoded from the wrong references shows it.
    texture = (np.add.outer(np.arange(height), np.arange(width)) + 3 * number) % 32
    grey = 48 + 128 * blocks + texture
    return np.stack([grey, grey, 255 - grey], axis=-1).astype(np.uint8)


def number_of(picture: NDArray[np.uint8]) -> int:
    """The number shown by a picture of `numbered`, resized or not."""
    grey = picture[..., :2].mean(axis=-1)
    height, width = grey.shape
    rows = ((np.arange(ROWS) + 0.5) * height / ROWS).astype(int)
    columns = ((np.arange(COLUMNS) + 0.5) * width / COLUMNS).astype(int)
    bits = grey[rows][:, columns].ravel() > 128
    return int((bits << np.arange(BITS)).sum())


def make_video(
    path: Path,
    *,
    seconds: float = 2.0,
    rate: int = 10,
    size: tuple[int, int] = (80, 64),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    stamps: Sequence[float] | None = None,
    options: dict[str, str] | None = None,
    sound: bool = False,
    rotation: int = 0,
    picture: Picture = numbered,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode a video whose frame i is `picture(i, size)`.

    Args:
        stamps: seconds at which each frame is shown, for a variable rate or a later start, to
            the millisecond; without them `seconds` at `rate`.
        options: of the codec, such as {"bf": "3", "g": "250"}.
        sound: add an audio stream as long as the video.
        rotation: 90, 180 or 270 degrees counter-clockwise that players turn the frames of an mp4 or
            mov by.
    """
    base = Fraction(1, 1000) if stamps is not None else Fraction(1, rate)
    ticks = (
        range(round(seconds * rate))
        if stamps is None
        else [round(stamp * 1000) for stamp in stamps]
    )
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = base
        audio = container.add_stream("aac", rate=44100) if sound else None
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
            frame.pts, frame.time_base = tick, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None:
            _sound(container, audio, float((ticks[-1] + 1) * base))
    return _turned(path, rotation) if rotation else path


def make_sound(path: Path, *, seconds: float = 1.0, cover: bool = False) -> Path:
    """A file with audio only, or with a picture of its cover."""
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=44100)
        if cover:
            stream = container.add_stream("mjpeg", rate=1)
            stream.width, stream.height, stream.pix_fmt = 80, 64, "yuvj420p"
            stream.disposition = av.stream.Disposition.attached_pic
            picture = av.VideoFrame.from_ndarray(numbered(9, (80, 64)), format="rgb24")
            container.mux([*stream.encode(picture), *stream.encode()])
        _sound(container, audio, seconds)
    return path


def make_folder(folder: Path, *, frames: int, size: tuple[int, int] = (80, 64)) -> Path:
    """A folder of frames, ID/ID-000001.jpg and on, showing the numbers from 0."""
    folder.mkdir(parents=True)
    for number in range(frames):
        Image.fromarray(numbered(number, size)).save(
            folder / f"{folder.name}-{number + 1:06d}.jpg", quality=95
        )
    return folder


def remux(source: Path, target: Path, *, options: dict[str, str] | None = None) -> Path:
    """Put the streams of one file into another container, not encoding anew."""
    with av.open(str(source)) as opened, av.open(str(target), "w", options=options) as written:
        streams = {
            stream.index: written.add_stream_from_template(stream) for stream in opened.streams
        }
        for packet in opened.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                written.mux(packet)
    return target


def cut(source: Path, target: Path, *, part: float) -> Path:
    """The first `part` of a file's bytes."""
    content = source.read_bytes()
    target.write_bytes(content[: int(len(content) * part)])
    return target


def damage(source: Path, target: Path, *, part: tuple[float, float]) -> Path:
    """The file with the bytes from `part[0]` to `part[1]` of its length overwritten by noise."""
    content = bytearray(source.read_bytes())
    begin, end = (int(len(content) * fraction) for fraction in part)
    content[begin:end] = np.random.default_rng(0).bytes(end - begin)
    target.write_bytes(content)
    return target


def _turned(path: Path, rotation: int) -> Path:
    """Write a rotation into the matrix of the first track's header, as cameras do."""
    one, zero = 1 << 16, 0  # 16.16 fixed point
    a, b = {90: (zero, -one), 180: (-one, zero), 270: (zero, one)}[rotation]
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    content[at : at + 36] = struct.pack(">9i", a, b, 0, -b, a, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def _sound(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    for index in range(max(1, round(seconds * 44100 / 1024))):
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = 44100, index * 1024
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
