"""Encoding a generated video as H.264, the same bytes on every run and every processor.

x264's defaults are not exact: the macroblock tree and the search for B-frames look at costs that
its assembly computes differently on different processors, and partly from uninitialized memory. So
encoding here uses no lookahead, no rate control and no floating-point decisions, and only x264's
portable C code, which costs about 0.1 s per video.
"""

import io
import re
from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import IO

import av
import av.error
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

from actline.errors import OutputError

# A constant quantizer, at which motion of small pictures is not washed out: no rate control, no
# adaptive quantization, no macroblock tree. Key frames at fixed places.
X264 = {
    "preset": "veryfast",
    "qp": "22",
    "bf": "0",
    "x264-params": "cpu-independent=1:asm=0:sliced-threads=0:rc-lookahead=0:sync-lookahead=0:"
    "scenecut=0:weightp=0",
}
# Omits the muxer's version and the time of writing.
EXACT_CONTAINER = {"fflags": "+bitexact"}
# Of 256ths, Rec. 601: what luminance and the two colour differences take of red, green and blue.
_YUV = np.array([[66, 129, 25], [-38, -74, 112], [112, -94, -18]], np.int32)


def encode(
    path: Path, pictures: Iterable[NDArray[np.uint8]], size: tuple[int, int], rate: float
) -> None:
    """Write pictures to an MP4 file.

    Shape:
        pictures: (H, W, 3) each, RGB; H and W even.
    """
    with av.open(str(path), "w", options=EXACT_CONTAINER) as container:
        _encode(container, pictures, size, rate)


@cache
def encoder() -> str:
    """The encoder and its version, such as "x264 core 165": what the bytes depend on.

    Raises:
        OutputError: PyAV was built without x264.
    """
    written: IO[bytes] = io.BytesIO()
    try:
        with av.open(written, "w", format="h264") as container:
            _encode(container, [np.zeros((32, 32, 3), np.uint8)], (32, 32), 1.0)
    except (av.error.FFmpegError, ValueError) as error:
        raise OutputError(
            "videos are encoded by x264, which this build of PyAV lacks; install av from PyPI"
        ) from error
    written.seek(0)
    found = re.search(rb"x264 - core (\d+)", written.read())
    return f"x264 core {found[1].decode()}" if found else "x264 of unknown version"


def _encode(
    container: OutputContainer,
    pictures: Iterable[NDArray[np.uint8]],
    size: tuple[int, int],
    rate: float,
) -> None:
    stream = container.add_stream(
        "libx264", rate=Fraction(rate).limit_denominator(1000), options=X264
    )
    stream.codec_context.thread_count = 1
    stream.codec_context.gop_size = max(1, round(2 * rate))  # a seek costs two seconds at most
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    for picture in pictures:
        frame = av.VideoFrame.from_ndarray(as_yuv(picture), format="yuv420p")
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def as_yuv(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB as planar Y, U, V with half the resolution in colour, in whole numbers throughout.

    FFmpeg's own conversion rounds differently on different processors.

    Shape:
        picture: (H, W, 3); returns (3 H / 2, W): Y, then U and V.
    """
    height, width = picture.shape[:2]
    rgb = picture.astype(np.int32)
    luminance = ((rgb @ _YUV[0] + 128) >> 8) + 16
    blocks = rgb.reshape(height // 2, 2, width // 2, 2, 3).sum(axis=(1, 3))
    differences = [((blocks @ row + 512) >> 10) + 128 for row in _YUV[1:]]
    flat = np.concatenate([plane.ravel() for plane in (luminance, *differences)])
    return flat.astype(np.uint8).reshape(height * 3 // 2, width)
