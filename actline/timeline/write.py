"""Writing timelines to files, each whole or not at all."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from actline.errors import OutputError
from actline.files import write_text, written_whole
from actline.names import output_path
from actline.timeline.formats import FORMATS
from actline.timeline.timeline import Timeline

ENDINGS = tuple(form.endings[0].removeprefix(".") for form in FORMATS if form.write is not None)
"""Formats that can be written, by file extension without its dot."""


def write_timeline(timeline: Timeline, path: str | os.PathLike[str]) -> Path:
    """Write a timeline in the format given by the path's extension.

    Raises:
        OutputError: no format has that extension, or the file cannot be written.
    """
    path = Path(path)
    for form in FORMATS:
        if form.write is not None and path.suffix.lower() in form.endings:
            content = form.write(timeline)
            if isinstance(content, str):
                write_text(path, content)
            else:
                with written_whole(path) as aside:
                    aside.write_bytes(content)
            return path
    endings = ", ".join(f".{ending}" for ending in ENDINGS)
    raise OutputError(f"cannot write {path}: name a file ending in one of {endings}")


def save_formats(
    timeline: Timeline,
    folder: str | os.PathLike[str],
    *,
    formats: Sequence[str] = ENDINGS,
    media: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Write `folder/ID.json`, `.csv`, `.vtt`, `.txt`, `.eaf` and `.npz`, each whole.

    An id with folders, such as `camA/GOPR0001`, is written into subfolders.

    Args:
        formats: which of `ENDINGS` to write, in this order.
        media: the video file, for ELAN to open with the labels; by default the timeline's.

    Returns:
        The written files. The last of `formats` is written last, so that its presence shows that
        the video is complete.

    Raises:
        OutputError: a file cannot be written, or the video's id is not a valid file name.
    """
    if media is not None:
        timeline = replace(timeline, media=Path(media))
    return [
        write_timeline(timeline, output_path(folder, timeline.video, f".{ending}"))
        for ending in formats
    ]


def parse_formats(text: str) -> tuple[str, ...]:
    """The formats in a list such as `json,npz`, each once.

    Raises:
        OutputError: none is named, or one is not in `ENDINGS`.
    """
    formats = tuple(dict.fromkeys(word.strip(" .").lower() for word in text.split(",")))
    for name in formats:
        if name not in ENDINGS:
            raise OutputError(f'unknown format "{name}"; choose from {",".join(ENDINGS)}')
    return formats
