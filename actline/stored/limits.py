"""Limits on the memory and time that reading one file may take, declared here and raised by name.

A small file can demand a lot of work or memory: a compressed table of a billion equal rows, a
timestamp a year away, text that repeats itself by reference. The cost is computed from the file's
header and compared with these limits first.
"""

import os
from dataclasses import dataclass, fields, replace

from actline.errors import ActlineError

VARIABLE = "ACTLINE_LIMITS"


class LimitError(ActlineError):
    """The name of a limit is unknown, or its value is invalid."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for reading one file.

    Attributes:
        text_mib: size of a text file that is read at once (tables, JSON, XML), in MiB.
        table_mib: size of a table of one video's proposals, in MiB.
        results_mib: size of a results JSON, which is read video by video, in MiB.
        recipe_kib: size of a YAML recipe, in KiB.
        values: entries of a recipe, a pickle or a JSON header, counted as often as they are
            referred to.
        depth: levels of nesting of JSON, YAML and pickles, and of folders with videos.
        array_mib: memory taken by the arrays of one file, in MiB.
        members: number of arrays or groups in one archive or HDF5 file.
        listed_frames: frames listed in a video's index, if they are more than the file has bytes.
        frame_megapixels: size of one frame of a video or a folder of frames, in megapixels.
        pixels_per_byte: pixels in all frames together, per byte of the video's file, if the pixels
            are more than 4 billion.
        frame_aspect: ratio of a frame's longer side to its shorter one.
        video_hours: length of a video, in hours.
        gap_hours: the longest stretch of a video without a frame, in hours.
        samples_per_frame: how often each frame of a video is sampled, on average, if the video is
            sampled more than 20 000 times.
    """

    text_mib: int = 512
    table_mib: int = 64
    results_mib: int = 4096
    recipe_kib: int = 128
    values: int = 1_000_000
    depth: int = 100
    array_mib: int = 4096
    members: int = 100_000
    listed_frames: int = 1_000_000
    frame_megapixels: int = 40
    pixels_per_byte: int = 500_000
    frame_aspect: int = 32
    video_hours: int = 200
    gap_hours: int = 24
    samples_per_frame: int = 500


def limits() -> Limits:
    """The limits in force: the defaults, changed by `ACTLINE_LIMITS=text_mib=2048,depth=500`.

    Raises:
        LimitError: the variable names an unknown limit, or a value is not a whole number above 0.
    """
    result = Limits()
    for part in filter(None, os.environ.get(VARIABLE, "").split(",")):
        name, _, value = part.strip().partition("=")
        known = [field.name for field in fields(Limits)]
        if name not in known:
            raise LimitError(
                f'{VARIABLE}: unknown limit "{name}"; known limits: {", ".join(known)}'
            )
        if not (value.isascii() and value.isdecimal() and int(value[:18]) > 0 and len(value) <= 18):
            raise LimitError(f"{VARIABLE}: {name} must be a whole number above 0")
        result = replace(result, **{name: int(value)})
    return result


def lifted(name: str) -> str:
    """How to raise a limit, as the end of an error message."""
    return f"set {VARIABLE}={name}=… to read it anyway"
