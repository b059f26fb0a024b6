"""Limits on what one file may cost, declared in one place and lifted by name.

A small file can ask for much work or memory: a table of a billion rows of one value, a timestamp a
year away, text that repeats itself by reference. What a file would cost is worked out from its
header and compared with these limits before anything is spent.
"""

import os
from dataclasses import dataclass, fields, replace

from actline.errors import ActlineError

VARIABLE = "ACTLINE_LIMITS"


class LimitError(ActlineError):
    """A limit was named wrongly, or given a value that is none."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one file may cost.

    Attributes:
        text_mib: size of a file of text that is read at once (tables, JSON, XML), in MiB.
        table_mib: size of a table of one video's proposals, in MiB.
        results_mib: size of a results JSON, which is read video by video, in MiB.
        recipe_kib: size of a YAML recipe, in KiB.
        values: entries of a recipe, a pickle or a JSON header, counted as often as they are
            referred to.
        depth: levels of nesting of JSON, YAML and pickles, and of folders with videos.
        array_mib: what the arrays of one file take in memory, in MiB.
        members: arrays or groups in one archive or HDF5 file that are looked at.
        listed_frames: that a video may list, if there are more of them than its file has bytes.
        frame_megapixels: of one frame of a video, or of a folder of frames.
        pixels_per_byte: of a video's file, in all frames together, if they are more than 4 billion.
        frame_aspect: how many times as long as broad a frame is.
        video_hours: length of a video, in hours.
        gap_hours: the longest stretch of a video without a frame, in hours.
        samples_per_frame: how often a video is sampled for each frame that it has, on average, if
            it is sampled more than 20 000 times.
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
        LimitError: the variable names no limit, or gives one no whole number above 0.
    """
    result = Limits()
    for part in filter(None, os.environ.get(VARIABLE, "").split(",")):
        name, _, value = part.strip().partition("=")
        known = [field.name for field in fields(Limits)]
        if name not in known:
            raise LimitError(f'{VARIABLE}: no limit "{name}"; there are {", ".join(known)}')
        if not (value.isascii() and value.isdecimal() and int(value[:18]) > 0 and len(value) <= 18):
            raise LimitError(f"{VARIABLE}: {name} must be a whole number above 0; mend it")
        result = replace(result, **{name: int(value)})
    return result


def lifted(name: str) -> str:
    """How to lift a limit, to end an error's line with."""
    return f"set {VARIABLE}={name}=… to read it all the same"
