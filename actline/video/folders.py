"""Folders of frames, ID/ID-000001.jpg or .png …, as the published code extracts them."""

import contextlib
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actline.errors import VideoError
from actline.stored.limits import limits
from actline.video.container import check_frame_size, too_large_for_memory
from actline.video.size import Size, target_size
from actline.video.timestamps import allowance

_FORMATS = ("JPEG", "PNG")
FRAME_NAME = re.compile(r".*?(\d+)\.(?:jpe?g|png)", re.IGNORECASE | re.DOTALL)
"""The file name of a frame, and its number."""


def folder_frames(folder: Path) -> list[Path]:
    """The images `NAME-000001.jpg`, `NAME-000002.png`, … in order of their numbers.

    Raises:
        VideoError: the folder cannot be read, has no frames, or one is missing.
    """
    try:
        names = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise VideoError(f"cannot read the folder {folder}: {error.strerror}") from error
    numbered: dict[int, Path] = {}
    for path in names:
        match = FRAME_NAME.fullmatch(path.name)
        if match is None:
            continue
        number = int(match[1])
        if number in numbered:
            raise VideoError(
                f"{folder}: {path.name} and {numbered[number].name} are both frame {number}; "
                "keep one of them"
            )
        numbered[number] = path
    if not numbered:
        raise VideoError(
            f"{folder} contains no frames such as {folder.name}-000001.jpg; "
            "extract them, or give another folder"
        )
    first = min(1, *numbered)
    missing = next((n for n in range(first, max(numbered)) if n not in numbered), None)
    if missing is not None:
        raise VideoError(f"{folder}: frame {missing} is missing; extract the frames again")
    return [numbered[number] for number in range(first, max(numbered) + 1)]


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of an image, from its header.

    Raises:
        VideoError: it is not an image.
    """
    with _opened(path) as picture:
        return picture.size


def read_folder(
    folder: Path, times: Iterable[float], *, size: Size, frame_rate: float
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frame on display at each of `times`: (H, W, 3), RGB, all resized to one size.

    Raises:
        VideoError: as `folder_frames`, or an image is damaged.
    """
    files = folder_frames(folder)
    # All images get the first one's target size, so that a clip has one size.
    target = target_size(*picture_size(files[0]), size)
    early = allowance(np.arange(2) / frame_rate)
    last: tuple[int, NDArray[np.uint8]] | None = None
    for time in times:
        index = min(max(0, int((time + early) * frame_rate)), len(files) - 1)
        if last is None or last[0] != index:
            last = index, _read(files[index], target)
        yield last[1]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image whose size is within the limits; its pixels are read on first use.

    Only with Pillow's readers of JPEG and PNG. It has many others, chosen by content: a PostScript
    file would be run through Ghostscript.

    Raises:
        VideoError: it is not such an image, or too large.
    """
    try:
        if not path.is_file():  # reading a pipe would block
            raise VideoError(f"{path} is not a file; extract the frames again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we have our own limit
            picture = Image.open(path, formats=_FORMATS)
    except VideoError:
        raise
    except Image.DecompressionBombError as error:
        raise VideoError(
            f"{path} has more than {limits().frame_megapixels} million pixels; extract it smaller"
        ) from error
    # Pillow's readers raise exceptions of many types.
    except Exception as error:
        raise VideoError(f"{path} is not a readable image; extract it again") from error
    with picture:
        check_frame_size(path, *picture.size)
        yield picture


def _read(path: Path, target: tuple[int, int]) -> NDArray[np.uint8]:
    with _opened(path) as picture:
        try:
            # JPEG can be decoded at a fraction of its size at no cost.
            picture.draft("RGB", target)
            return np.asarray(picture.convert("RGB").resize(target, Image.Resampling.BILINEAR))
        except MemoryError as error:
            raise VideoError(too_large_for_memory(path)) from error
        except Exception as error:
            raise VideoError(f"{path} is damaged; extract it again") from error
