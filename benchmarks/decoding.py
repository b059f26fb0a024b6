"""Decoding to the network's input: H.264 files to frames of the network's size, against others."""

import importlib
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import numpy as np
from numpy.typing import NDArray

from actline.video.decode import ShortSide, read_clip
from benchmarks.measure import Row, alternate

SIDE = 224
FILE_RATE = 30
Read = Callable[[Path, NDArray[np.float64]], NDArray[np.uint8]]


def rows(reference: Path | None, quick: bool) -> list[Row]:
    """Every library that is installed, at two sizes and two rates of sampling."""
    del reference
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for height in (96,) if quick else (720, 1080):
            seconds = 2 if quick else 20
            video = Path(folder) / f"{height}p.mp4"
            write_video(video, height=height, seconds=seconds)
            for rate in (5, 30):
                times = np.arange(seconds * rate) / rate
                found += compared(video, times, f"{height}p, {seconds} s, {rate} frames a second")
    return found


def compared(video: Path, times: NDArray[np.float64], sizes: str) -> list[Row]:
    """A row for each of the others, and one for decoding alone."""

    def ours() -> NDArray[np.uint8]:
        return read_clip(video, times, size=ShortSide(SIDE))

    others: dict[str, Read] = {"FFmpeg by PyAV, frames not converted": decoded_alone}
    for name, (module, read) in READERS.items():
        if (library := installed(module)) is not None:
            others[name] = read(library)
    expected = ours()
    found = []
    for name, read in others.items():
        given = read(video, times)
        note = ""
        if len(given):
            # Other libraries resize by other kernels, so pictures are alike, not equal.
            off, next_off = distance(given, expected), distance(given[1:], expected[:-1])
            if given.shape != expected.shape or off > 0.7 * next_off:
                raise AssertionError(f"{name} reads other frames: {off:.1f} of 255 away")
            note = f"{off:.1f} of 255 away on average"
        seconds, other = alternate(ours, lambda read=read: read(video, times))
        limit = name.startswith("FFmpeg")
        found.append(
            Row("decoding", sizes, seconds, other, name, None if limit else 0.9, note=note)
        )
    return found


def distance(given: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    """Mean difference of pixels, of 255."""
    return float(np.abs(given.astype(int) - expected.astype(int)).mean())


def decoded_alone(video: Path, times: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Decode every frame and do nothing with it: the limit of what converts as well."""
    del times
    with av.open(str(video)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for _ in container.decode(video=0):
            pass
    return np.empty(0, np.uint8)


def with_opencv(cv2: ModuleType) -> Read:
    """Frames in order, those wanted converted and resized."""

    def read(video: Path, times: NDArray[np.float64]) -> NDArray[np.uint8]:
        capture = cv2.VideoCapture(str(video))
        wanted = np.round(times * FILE_RATE).astype(int)
        frames, number = [], -1
        for index in wanted:
            while number < index:
                capture.grab()
                number += 1
            picture = capture.retrieve()[1]
            picture = cv2.resize(picture, target(picture.shape), interpolation=cv2.INTER_AREA)
            frames.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        return np.stack(frames)

    return read


def with_decord(decord: ModuleType) -> Read:
    """Its reader resizes while decoding."""

    def read(video: Path, times: NDArray[np.float64]) -> NDArray[np.uint8]:
        height, width = decord.VideoReader(str(video))[0].shape[:2]
        width, height = target((height, width))
        reader = decord.VideoReader(str(video), width=width, height=height)
        return reader.get_batch(np.round(times * FILE_RATE).astype(int)).asnumpy()

    return read


def with_torchcodec(torchcodec: ModuleType) -> Read:
    """Its decoder with its own resizing."""
    del torchcodec

    def read(video: Path, times: NDArray[np.float64]) -> NDArray[np.uint8]:
        decoders = importlib.import_module("torchcodec.decoders")
        transforms = importlib.import_module("torchcodec.transforms")
        info = decoders.VideoDecoder(str(video)).metadata
        width, height = target((info.height, info.width))
        decoder = decoders.VideoDecoder(
            str(video),
            dimension_order="NHWC",
            num_ffmpeg_threads=0,
            seek_mode="approximate",
            transforms=[transforms.Resize((height, width))],
        )
        return decoder.get_frames_played_at(times.tolist()).data.numpy()

    return read


READERS: dict[str, tuple[str, Callable[[ModuleType], Read]]] = {
    "OpenCV": ("cv2", with_opencv),
    "decord": ("decord", with_decord),
    "torchcodec": ("torchcodec.decoders", with_torchcodec),
}


def installed(module: str) -> ModuleType | None:
    """The module; None where it is not there or cannot load its libraries."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError):
        return None


def target(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height with the short side at the network's."""
    height, width = shape[:2]
    scale = SIDE / min(height, width)
    return round(width * scale), round(height * scale)


def write_video(path: Path, *, height: int, seconds: int) -> None:
    """Moving texture as H.264, with the key frames and bit rate that cameras choose."""
    width = height * 16 // 9 // 2 * 2
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 255, (height // 8 + 40, width // 8 + 80, 3), np.uint8)
    texture = coarse.repeat(8, axis=0).repeat(8, axis=1)
    texture += generator.integers(0, 25, texture.shape, np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FILE_RATE))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23", "g": "60"}
        for number in range(seconds * FILE_RATE):
            down, across = number * 2 % 300, number * 3 % 600
            picture = np.ascontiguousarray(texture[down : down + height, across : across + width])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def repeat_video(source: Path, path: Path, *, times: int) -> None:
    """The same video so many times over, without encoding it anew."""
    with av.open(str(path), "w") as out:
        shift = 0
        stream = None
        for _ in range(times):
            with av.open(str(source)) as container:
                given = container.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(given)
                last = 0
                for packet in container.demux(given):
                    if packet.pts is None or packet.dts is None:
                        continue
                    last = max(last, packet.pts + (packet.duration or 0))
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    out.mux(packet)
                shift += last
