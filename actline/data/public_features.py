"""Snippet features that others published: .npy, .csv, .h5, and the .pkl of TCANet's authors."""

import csv
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from actline.data.safe_pickle import MAX_BYTES, load_plain, read_bytes
from actline.data.snippets import SnippetFeatures, checked, fits
from actline.errors import FeatureError

# "TC" has a row a snippet, "CT" a column a snippet.
Layout = Literal["TC", "CT"]
# What TCANet's files name the two pathways' features; the order in which its code joins them.
PARTS = ("slow", "fast")


def read_public(
    path: str | Path,
    *,
    interval: float,
    duration: float,
    width: int | None = None,
    layout: Layout | None = None,
    video: str | None = None,
    offset: float = 0.0,
    parts: Sequence[str] = PARTS,
) -> SnippetFeatures:
    """Read the features of one video, whatever their form; none of them says its interval.

    Args:
        path: `.npy`; `.csv` with a header and a row a snippet; `.h5` or `.hdf5`; `.pkl` with
            `slow_feature` and `fast_feature`, of which nothing is run.
        interval: seconds from one snippet to the next, such as 8 / 15 for TCANet's features; 0
            for features rescaled to a fixed number of snippets, however long the video.
        duration: of the video, in seconds.
        width: the features a snippet that are expected, such as 2304 for TCANet's.
        layout: of `.npy` and `.h5`; None tells it by the width, or without one by the duration.
        video: the dataset's name in `.h5`; None takes the file's name, or the only dataset.
        offset: seconds at which the first snippet's stretch starts.
        parts: which features of `.pkl` to take.

    Shape:
        `.npy` and `.h5`: (T, C) or (C, T); `.pkl`: (1, C, T) each; returns (C, T).

    Raises:
        FeatureError: no such file, of another form, damaged, or not features of this video.
    """
    path = Path(path)
    readers: dict[str, Callable[[], tuple[NDArray[Any], Layout | None]]] = {
        ".npy": lambda: (_npy(path), layout),
        ".csv": lambda: (_csv(path), "TC"),
        ".h5": lambda: (_h5(path, video), layout),
        ".hdf5": lambda: (_h5(path, video), layout),
        ".pkl": lambda: (_pkl(path, parts), "CT"),
    }
    if path.suffix.lower() not in readers:
        raise FeatureError(f"{path} is of no known form; give one of {', '.join(readers)}")
    if not path.is_file():
        raise FeatureError(f"no features at {path}; check the path")
    values, known = readers[path.suffix.lower()]()
    values = _two_axes(values, path)
    if known is None and not interval and width is None:
        raise FeatureError(f"{path}: of rescaled features say the layout or the width")
    if known is None:
        cover = partial(fits, interval=interval, duration=duration, offset=offset)
        known = _told_layout(values.shape, width, cover, path)
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below, as not finite
        ordered = np.array(values.T if known == "TC" else values, np.float32, order="C")
    interval = interval or duration / max(1, ordered.shape[1])
    snippets = SnippetFeatures(torch.from_numpy(ordered), interval, duration, offset)
    return checked(snippets, path, width=width)


def _two_axes(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """The values as two axes of numbers; axes of 1 before them are taken away."""
    if values.dtype.kind not in "fiu":
        raise FeatureError(f"{path} holds {values.dtype}, not numbers; give features")
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2:
        raise FeatureError(
            f"{path} holds values of shape {values.shape}, not snippets by features; "
            "pool them over space first"
        )
    return values


def _told_layout(
    shape: tuple[int, ...], width: int | None, cover: Callable[[int], bool], path: Path
) -> Layout:
    """Which axis is time: not the one that is the width, or the one that covers the video."""
    rows, columns = shape
    given = f"{path}: {rows} x {columns} values"
    if width is not None:
        by_rows, by_columns = columns == width, rows == width
        lacking = f"of which no side is {width}; give the features that the model was made for"
    else:
        by_rows, by_columns = cover(rows), cover(columns)
        lacking = "of which no side covers the video; give the right interval, or the width"
    if not by_rows and not by_columns:
        raise FeatureError(f"{given}, {lacking}")
    if by_rows and by_columns:
        raise FeatureError(
            f'{given}, of which either side may be time; say layout "TC" (a row a snippet) or "CT"'
        )
    return "TC" if by_rows else "CT"


def _npy(path: Path) -> NDArray[Any]:
    try:
        # Mapped, so that a header which tells of more than the file has is refused, not filled.
        return np.lib.format.open_memmap(path, mode="r")
    # A damaged header is parsed as Python's literals are, and fails in as many ways.
    except Exception as error:
        raise FeatureError(f"{path} is not a whole .npy file of numbers; copy it again") from error


def _csv(path: Path) -> NDArray[Any]:
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FeatureError(f"{path} is not text; copy it again") from error
    header, _, rest = text.partition("\n")
    names = next(csv.reader([header]), [])
    if len(names) > 1 and all(_is_fraction(name) for name in names):
        raise FeatureError(f"{path} has no header row; add one, or its first snippet is lost")
    if not rest.strip():
        raise FeatureError(f"{path} holds no snippets; copy it again")
    # All that write tables end the last line; one that goes on may have lost half a number.
    if not rest.endswith("\n"):
        raise FeatureError(f"{path} is cut off in its last line; copy it again, or end that line")
    try:
        values = np.loadtxt(rest.splitlines(), delimiter=",", ndmin=2, comments=None)
    except ValueError as error:
        told = str(error).splitlines()[0][:120]
        raise FeatureError(f"{path} is not a whole table of numbers ({told}); copy it again") from (
            error
        )
    if values.shape[1] != len(names):
        raise FeatureError(
            f"{path}: {len(names)} columns have names and {values.shape[1]} have values; "
            "copy it again"
        )
    return values


def _is_fraction(cell: str) -> bool:
    """Whether a cell is a number that is not whole: columns may be named 0, 1, 2, …."""
    try:
        return not float(cell).is_integer() or "." in cell
    except ValueError:
        return False


def _h5(path: Path, video: str | None) -> NDArray[Any]:
    try:
        with h5py.File(path, "r") as file:
            return _h5_dataset(file, path, video)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise FeatureError(f"{path} is not a whole HDF5 file; copy it again") from error


def _h5_dataset(file: h5py.File, path: Path, video: str | None) -> NDArray[Any]:
    wanted = (video or path.stem).removeprefix("v_")
    names = [str(name) for name in file]
    chosen = [name for name in names if name.removeprefix("v_") == wanted]
    if not chosen and video is None and len(names) == 1:
        chosen = names
    if len(chosen) != 1:
        raise FeatureError(
            f'{path} has no dataset "{wanted}" among its {len(names)}; name the video as there'
        )
    group: h5py.Group = file
    name = chosen[0]
    while True:
        # A link may lead to any other file of this machine.
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise FeatureError(f'{path}: "{name}" is a link to elsewhere; copy the data itself')
        found = group[name]
        if isinstance(found, h5py.Group) and len(found) == 1:
            group, name = found, str(next(iter(found)))
            continue
        break
    if not isinstance(found, h5py.Dataset):
        raise FeatureError(f'{path}: "{name}" is no dataset; give one of a video')
    if found.is_virtual or found.external:
        raise FeatureError(f'{path}: "{name}" lies in other files; copy the data itself')
    if found.dtype.kind not in "fiu":
        raise FeatureError(f"{path} holds {found.dtype}, not numbers; give features")
    if found.nbytes > MAX_BYTES:
        raise FeatureError(
            f'{path}: "{name}" has {found.nbytes / 2**30:.1f} GiB, more than {MAX_BYTES >> 30}; '
            "give the features of one video"
        )
    return np.asarray(found[()])


def _pkl(path: Path, parts: Sequence[str]) -> NDArray[Any]:
    """The features of TCANet's authors' `.pkl`, joined as their code does: slow, then fast.

    `{"slow_feature": (1, C, T), "fast_feature": (1, C, T), "feature_frames": …}`; a part without
    values is left out.
    """
    content = load_plain(path)
    keys = [f"{part}_feature" for part in parts]
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), np.ndarray) for key in keys
    ):
        raise FeatureError(f"{path} has no {' and '.join(keys)}; name the parts that it has")
    arrays = [_two_axes(content[key], path) for key in keys if content[key].size]
    lengths = {array.shape[1] for array in arrays}
    if len(lengths) != 1:
        told = " and ".join(str(length) for length in sorted(lengths)) or "0"
        raise FeatureError(f"{path}: its parts have {told} snippets; copy it again")
    return np.concatenate(arrays)
