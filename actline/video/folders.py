"""Folders of frames, ID/ID-000001.jpg or .png and on, as the published code extracts videos to."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from actline.errors import VideoError
from actline.video.size import Size, target_size
from actline.video.timestamps import allowance

FRAME_NAME = re.compile(r".*?(\d+)\.(?:jpe?g|png)", re.IGNORECASE | re.DOTALL)
"""The name of one frame's picture, and its number."""


def folder_frames(folder: Path) -> list[Path]:
    """The pictures `NAME-000001.jpg`, `NAME-000002.png`, … in order of their numbers.

    Raises:
        VideoError: the folder cannot be read, has none, or one is missing.
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
            f"{folder} holds no frames such as {folder.name}-000001.jpg; "
            "extract them, or give another folder"
        )
    first = min(1, *numbered)
    missing = next((n for n in range(first, max(numbered)) if n not in numbered), None)
    if missing is not None:
        raise VideoError(f"{folder}: frame {missing} is missing; extract the frames again")
    return [numbered[number] for number in range(first, max(numbered) + 1)]


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture, from its header.

    Raises:
        VideoError: it is not a picture.
    """
    with _opened(path) as picture:
        return picture.size


def read_folder(
    folder: Path, times: Iterable[float], *, size: Size, frame_rate: float
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frame on display at each of `times`: (H, W, 3), RGB, all resized alike.

    Raises:
        VideoError: as `folder_frames`, or a picture is damaged.
    """
    files = folder_frames(folder)
    # Every picture as the first one, so that a clip has one size.
    target = target_size(*picture_size(files[0]), size)
    early = allowance(np.arange(2) / frame_rate)
    last: tuple[int, NDArray[np.uint8]] | None = None
    for time in times:
        index = min(max(0, int((time + early) * frame_rate)), len(files) - 1)
        if last is None or last[0] != index:
            last = index, _read(files[index], target)
        yield last[1]


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise VideoError(f"{path} is not a picture that can be read; extract it again") from error


def _read(path: Path, target: tuple[int, int]) -> NDArray[np.uint8]:
    with _opened(path) as picture:
        # JPEG decodes at a fraction of its size for free.
        picture.draft("RGB", target)
        try:
            resized = picture.convert("RGB").resize(target, Image.Resampling.BILINEAR)
        # Pillow's readers raise what their formats make them stumble over.
        except (OSError, SyntaxError, ValueError) as error:
            raise VideoError(f"{path} is damaged; extract it again") from error
        return np.asarray(resized)
