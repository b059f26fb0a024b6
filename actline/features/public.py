"""Published snippet features: arrays from files, transposed, joined and checked."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from actline.errors import FeatureError
from actline.features.public_files import Layout, Part, Wanted, read_parts
from actline.features.snippets import SnippetFeatures, WidthError, checked, fits


class LayoutError(FeatureError):
    """Either axis of features may be time."""


class Advice(NamedTuple):
    """How to fix wrong features, in terms of the caller's options.

    Attributes:
        layout: how to state which axis is time.
        interval: how to state the interval between snippets.
    """

    layout: str = (
        "give data.layout=TC (one row per snippet) or data.layout=CT (one column per snippet)"
    )
    interval: str = "give data.interval in seconds, or 0 for features rescaled to a fixed number"


IN_RECIPES = Advice()


def read_public(
    path: str | Path,
    *,
    interval: float,
    duration: float,
    width: int | None = None,
    layout: Layout | None = None,
    video: str | None = None,
    offset: float = 0.0,
    parts: Sequence[str] | None = None,
    advice: Advice = IN_RECIPES,
) -> SnippetFeatures:
    """Read the features of one video in any published format; none stores its interval.

    Args:
        path: `.npy`; `.npz`; `.csv` with a header and one row per snippet; `.h5` or `.hdf5`;
            `.pkl`, of which no code is run; `.pt`, with tensors only. If a file has several arrays,
            the `slow_feature` and `fast_feature` of TCANet's authors are joined.
        interval: seconds from one snippet to the next, such as 8 / 15 for TCANet's features; 0
            for features rescaled to a fixed number of snippets, however long the video.
        duration: of the video, in seconds.
        width: expected number of features per snippet, such as 2304 for TCANet's.
        layout: layout of files that do not state it; None infers it from the width, or else from
            the duration.
        video: the video's name in a file of all videos; None for a file of one video.
        offset: seconds at which the first snippet's stretch starts.
        parts: which arrays of a file to join, if it has several.
        advice: how errors suggest to fix it.

    Shape:
        files: (T, C) or (C, T), with any further axes of length 1; returns (C, T).

    Raises:
        FeatureError: the file is missing, damaged, has another format, or does not fit this video.
    """
    found = read_parts(Wanted(Path(path), video, parts))
    return join_features(
        [found],
        interval=interval,
        duration=duration,
        width=width,
        layout=layout,
        offset=offset,
        advice=advice,
    )


def join_features(
    sources: Sequence[Sequence[Part]],
    *,
    interval: float,
    duration: float,
    width: int | None = None,
    layout: Layout | None = None,
    offset: float = 0.0,
    advice: Advice = IN_RECIPES,
) -> SnippetFeatures:
    """One video's features from one or several sources, along channels.

    The first parts of all sources come first, then their second ones, as in TCANet's code: slow
    features of all its folders, then the fast ones.

    Args:
        sources: the parts of each.

    Raises:
        FeatureError: their lengths differ, or as `read_public`.
    """
    parts = in_order(sources)
    path = parts[0].path
    cover = partial(fits, interval=interval, duration=duration, offset=offset) if interval else None
    layouts = told_layouts(parts, width=width, layout=layout, cover=cover, advice=advice)
    turned = [
        part.values.T if its == "TC" else part.values
        for part, its in zip(parts, layouts, strict=True)
    ]
    for part, values in zip(parts, turned, strict=True):
        if values.shape[1] != turned[0].shape[1]:
            where = "its parts have" if part.path == path else f"it and {part.path} have"
            lengths = " and ".join(map(str, sorted((turned[0].shape[1], values.shape[1]))))
            raise FeatureError(
                f"{path}: {where} {lengths} snippets; only features of the same snippets can be "
                "joined"
            )
    with np.errstate(over="ignore"):  # overflow is refused below, as not finite
        together = np.concatenate([np.asarray(values, np.float32) for values in turned])
    interval = interval or duration / max(1, together.shape[1])
    features = torch.from_numpy(np.ascontiguousarray(together))
    return checked(SnippetFeatures(features, interval, duration, offset), path, width=width)


def in_order(sources: Sequence[Sequence[Part]]) -> list[Part]:
    """The first parts of all sources, then their second ones, and so on."""
    most = max(len(source) for source in sources)
    return [source[place] for place in range(most) for source in sources if place < len(source)]


def told_layouts(
    parts: Sequence[Part],
    *,
    width: int | None,
    layout: Layout | None,
    cover: Callable[[int], bool] | None,
    advice: Advice = IN_RECIPES,
) -> list[Layout]:
    """Which axis of each part is time.

    This is as its format states. All other parts share one layout: the one with which all widths
    add up to `width`; or `layout`; or else the one whose lengths cover the video.

    Args:
        cover: whether a number of snippets covers the video; None for a fixed number of snippets.

    Raises:
        LayoutError: either axis may be time.
        WidthError: neither has the width.
        FeatureError: neither covers the video.
    """
    choices: tuple[Layout, Layout] = ("TC", "CT")
    options: list[list[Layout]] = [[p.layout or choice for p in parts] for choice in choices]
    if options[0] == options[1]:
        return options[0]
    given = f"{parts[0].path}: {' and '.join(' x '.join(map(str, p.values.shape)) for p in parts)}"
    lengths, widths = zip(*(_sizes(parts, option) for option in options), strict=True)
    covering = [cover is None or all(map(cover, length)) for length in lengths]
    if width is not None:
        fitting = [sum(sizes) == width for sizes in widths]
        if all(fitting):
            # Several files have their snippets along the same axis.
            fitting = [len(set(length)) == 1 for length in lengths]
    elif layout is None and cover is None:
        raise FeatureError(
            f"{parts[0].path}: for rescaled features, give the layout or the width; {advice.layout}"
        )
    else:
        fitting = covering if layout is None else [False, False]
    if sum(fitting) == 1:
        return options[fitting.index(True)]
    if layout is not None:
        return options[choices.index(layout)]
    if all(fitting):
        raise LayoutError(f"{given} values, either axis of which may be time; {advice.layout}")
    if width is None:
        raise FeatureError(
            f"{given} values, no axis of which covers the video; {advice.interval}, or the width"
        )
    likely = widths if sum(covering) != 1 else [widths[covering.index(True)]]
    raise WidthError(
        f"{given} values, no axis of which is {width}; give the features that the model was made "
        "for",
        tuple(sum(sizes) for sizes in likely),
    )


def _sizes(parts: Sequence[Part], layouts: Sequence[Layout]) -> tuple[list[int], list[int]]:
    """Lengths and widths of parts in these layouts."""
    shapes = [
        part.values.shape if its == "TC" else part.values.shape[::-1]
        for part, its in zip(parts, layouts, strict=True)
    ]
    return [shape[0] for shape in shapes], [shape[1] for shape in shapes]
