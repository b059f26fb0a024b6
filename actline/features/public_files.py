"""Formats of published features, with one reader per format, which returns arrays.

No reader runs any code in a file. Every reader returns the arrays of one video, from its own file
or from one file for all videos.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actline.errors import FeatureError
from actline.names import id_forms, without_ending
from actline.stored.hdf5 import Hdf5Group, open_hdf5
from actline.stored.npy import open_npy
from actline.stored.npz import read_npz
from actline.stored.pickles import read_pickle
from actline.stored.text import read_text
from actline.stored.torch_files import load_torch

# "TC" has one row per snippet, "CT" one column per snippet.
Layout = Literal["TC", "CT"]
# Names of the two pathways' features in TCANet's files, in the order its code joins them.
TCANET_PARTS = ("slow_feature", "fast_feature")
LEAVE_OUT = "copy them there, or leave the video out"
# A number in a list takes at least two bytes in its file, and up to eight in memory.
_MOST_TIMES = 8
# Maximum number of names in an error message.
_MOST_NAMES = 8


@dataclass(frozen=True)
class PublicForm:
    """What files of public features do not state.

    Attributes:
        layout: which axis is time, if the width does not show it; None if it always does.
        parts: names of the arrays to join, if a file has several.
    """

    layout: Layout | None = None
    parts: tuple[str, ...] | None = None


UNSAID = PublicForm()


class Part(NamedTuple):
    """One array of a video's features, and which axis is time, if its format states it.

    Shape:
        values: (T, C) or (C, T).
    """

    values: NDArray[Any]
    layout: Layout | None
    path: Path


class Wanted(NamedTuple):
    """What to read.

    Attributes:
        path: a file of one of `READERS`.
        video: the video to take from a file of all videos; None for a file of one video.
        parts: names of the arrays to join, if a file has several; None takes TCANet's slow and fast
            parts, or the only array.
        kept: cache, by path, of files of all videos that are read at once.
    """

    path: Path
    video: str | None = None
    parts: Sequence[str] | None = None
    kept: dict[str, Any] | None = None


class _Entry(NamedTuple):
    """An entry of a file: an array with its shape, or further names."""

    load: Callable[[], Any]
    shape: tuple[int, ...] | None
    inside: Callable[[], Mapping[str, "_Entry"]] | None = None


def read_parts(wanted: Wanted) -> list[Part]:
    """The arrays of one video's features, in the order in which they are joined.

    Raises:
        FeatureError: the file is missing, damaged, has another format, or lacks this video.
    """
    path = wanted.path
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise FeatureError(f"{path} has an unknown format; give one of {', '.join(READERS)}")
    if not path.is_file():
        raise FeatureError(f"no features at {path}; {LEAVE_OUT}")
    return reader(wanted)


def _npy(wanted: Wanted) -> list[Part]:
    path = wanted.path
    _of_one_video(wanted)
    values = open_npy(path, error=FeatureError, what="features")
    return [Part(_two_axes(values, path), None, path)]


def _csv(wanted: Wanted) -> list[Part]:
    path = wanted.path
    _of_one_video(wanted)
    text = read_text(path, error=FeatureError, what="features")
    header, _, rest = text.partition("\n")
    try:
        names = next(csv.reader([header]), [])
    except csv.Error as error:
        raise FeatureError(f"{path}: its header row is too long; copy it again") from error
    if len(names) > 1 and all(_is_fraction(name) for name in names):
        raise FeatureError(f"{path} has no header row; add one, or its first snippet is lost")
    if not rest.strip():
        raise FeatureError(f"{path} holds no snippets; copy it again")
    # Programs that write tables end the last line; one without an end may have lost half a number.
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
    # pandas writes row numbers into a first column without a name.
    if not names[0].strip() and np.array_equal(values[:, 0], np.arange(len(values))):
        values = values[:, 1:]
    return [Part(_two_axes(values, path), "TC", path)]


def _is_fraction(cell: str) -> bool:
    """Whether a cell is a fractional number: columns may be named 0, 1, 2, …."""
    try:
        return not float(cell).is_integer() or "." in cell
    except ValueError:
        return False


def _h5(wanted: Wanted) -> list[Part]:
    with open_hdf5(wanted.path, error=FeatureError) as group:
        return _chosen(_Group(group), wanted)


class _Group(Mapping[str, _Entry]):
    """A group of an HDF5 file, whose content is read on access."""

    def __init__(self, group: Hdf5Group) -> None:
        self._group = group

    def __len__(self) -> int:
        return len(self._group)

    def __iter__(self) -> Iterator[str]:
        return iter(self._group.names())

    def __contains__(self, name: object) -> bool:
        return name in self._group

    def __getitem__(self, name: str) -> _Entry:
        found = self._group.open(name)
        if isinstance(found, Hdf5Group):
            return _Entry(lambda: None, None, lambda: _Group(found))
        return _Entry(found.load, found.shape)


def _npz(wanted: Wanted) -> list[Part]:
    return _of_content(wanted, lambda: read_npz(wanted.path, error=FeatureError, what="features"))


def _pkl(wanted: Wanted) -> list[Part]:
    return _of_content(
        wanted, lambda: read_pickle(wanted.path, error=FeatureError, what="features")
    )


def _pt(wanted: Wanted) -> list[Part]:
    path = wanted.path
    return _of_content(
        wanted,
        lambda: load_torch(
            path,
            error=FeatureError,
            unsafe=f"{path} holds more than tensors, which may run code, and is not loaded; save "
            "the tensor alone, by torch.save(features, path)",
            damaged=f"{path} is not a whole PyTorch file; copy it again",
        ),
    )


def _of_content(wanted: Wanted, read: Callable[[], object]) -> list[Part]:
    """The arrays of a file that is read at once: one, or several by name."""
    path, kept = wanted.path, wanted.kept
    if wanted.video is None or kept is None:
        content = read()
    else:
        now = path.stat()
        state = now.st_mtime_ns, now.st_size
        if str(path) not in kept or kept[str(path)][0] != state:
            kept[str(path)] = state, read()
        content = kept[str(path)][1]
    if isinstance(content, Mapping):
        return _chosen(_in_mapping(content, path), wanted)
    _of_one_video(wanted)
    return [Part(_two_axes(_array(content, path), path), None, path)]


def _in_mapping(content: Mapping[Any, Any], path: Path) -> dict[str, _Entry]:
    return {str(name): _value(value, path) for name, value in content.items()}


def _value(value: object, path: Path) -> _Entry:
    if isinstance(value, Mapping):
        return _Entry(lambda: None, None, lambda: _in_mapping(value, path))
    shape = tuple(value.shape) if isinstance(value, np.ndarray | Tensor) else None
    return _Entry(lambda: _array(value, path), shape)


def _array(value: object, path: Path) -> NDArray[Any]:
    """A tensor, an array, or rows of numbers, as an array."""
    if isinstance(value, Tensor):
        if value.layout != torch.strided or value.is_quantized or value.is_complex():
            raise FeatureError(f"{path} holds a tensor that is not of plain numbers; give features")
        # With a stride of 0 a tensor may repeat its numbers any number of times.
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise FeatureError(f"{path} holds a tensor larger than its numbers; copy it again")
        # NumPy has no bfloat16.
        plain = value.detach().float() if value.dtype == torch.bfloat16 else value.detach()
        return plain.numpy()
    if isinstance(value, list | tuple):
        rows, left = [], _MOST_TIMES * path.stat().st_size
        for row in value:
            rows.append(np.asarray(_array(row, path)))
            left -= rows[-1].nbytes
            if left < 0:
                raise FeatureError(f"{path} repeats its rows by reference; save the array alone")
        try:
            return np.stack(rows)
        except ValueError as error:
            raise FeatureError(f"{path} holds rows of several lengths; give features") from error
    if isinstance(value, bool | int | float | np.ndarray):
        return np.asarray(value)
    raise FeatureError(f"{path} holds {type(value).__name__}, not numbers; give features")


def _chosen(entries: Mapping[str, _Entry], wanted: Wanted) -> list[Part]:
    """From a file's named entries, the arrays of a video, or those to be joined."""
    path, video, parts = wanted.path, wanted.video, wanted.parts
    own = _of_video(entries, path, video)
    if own is not None:
        return _of_entry(entries[own], wanted)
    if video is not None:
        # Videos may be in a group, such as "features".
        for name in list(entries)[:_MOST_NAMES]:
            inside = entries[name].inside
            if inside is not None and _of_video(inside(), path, video) is not None:
                return _chosen(inside(), wanted)
        raise FeatureError(
            f'{path} has no dataset "{video}" among its {len(entries)}; name the video as there'
        )
    if parts is None and all(name in entries for name in TCANET_PARTS):
        parts = TCANET_PARTS
    if parts is not None:
        return _joined(entries, path, parts)
    names = list(entries)
    features = [n for n in names if len(names) <= _MOST_NAMES and _may_be_features(entries[n])]
    if len(features) == 1:
        return _of_entry(entries[features[0]], wanted)
    told = ", ".join(sorted(features or names)[:_MOST_NAMES]) or "nothing"
    raise FeatureError(
        f'{path} has no {" and ".join(TCANET_PARTS)} and no dataset "{path.stem}", but {told}; '
        "list those to join in data.parts"
    )


def _of_entry(entry: _Entry, wanted: Wanted) -> list[Part]:
    """An array, or a group's arrays of one video."""
    if entry.inside is not None:
        return _chosen(entry.inside(), wanted._replace(video=None))
    return [Part(_two_axes(entry.load(), wanted.path), None, wanted.path)]


def _of_video(entries: Mapping[str, _Entry], path: Path, video: str | None) -> str | None:
    """The name of a video in a file: the exact id, or another form of it."""
    wanted = path.stem if video is None else video
    forms = tuple(id_forms(wanted))
    found = next((form for form in forms if form in entries), None)
    if found is None and video is not None:
        # Named like the video's file, with its extension.
        found = next((name for name in entries if without_ending(name) in forms), None)
    return found


def _joined(entries: Mapping[str, _Entry], path: Path, parts: Sequence[str]) -> list[Part]:
    """The named arrays; one without values is left out, as TCANet's code does."""
    found = []
    for part in parts:
        name = part if part in entries else f"{part}_feature"
        if name not in entries or entries[name].inside is not None:
            has = ", ".join(sorted(map(str, list(entries)[:_MOST_NAMES])))
            raise FeatureError(f"{path} has no {part}; it has {has}; change data.parts")
        values = np.asarray(entries[name].load())
        if values.size:
            known: Layout | None = "CT" if name in TCANET_PARTS else None
            found.append(Part(_two_axes(values, path), known, path))
    if not found:
        raise FeatureError(f"{path}: its {' and '.join(parts)} are empty; copy it again")
    return found


def _may_be_features(entry: _Entry) -> bool:
    """Whether it may be snippets by features, rather than an accompanying number or name."""
    if entry.inside is not None:
        return True
    if entry.shape is None:
        try:
            return np.asarray(entry.load()).ndim > 1
        except FeatureError:
            return False
    return len(entry.shape) > 1


def _of_one_video(wanted: Wanted) -> None:
    if wanted.video is not None:
        raise FeatureError(
            f"{wanted.path} holds one array, not one for each video; give a folder of such files"
        )


def _two_axes(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """The values with two axes; further axes of length 1 are removed."""
    if values.dtype.kind not in "fiu":
        raise FeatureError(f"{path} holds {values.dtype}, not numbers; give features")
    shape = values.shape
    while values.ndim > 2 and 1 in values.shape:
        # Remove outer axes first: a video of one snippet has an inner axis of length 1.
        ends = [0, values.ndim - 1, *range(1, values.ndim - 1)]
        values = values.squeeze(next(axis for axis in ends if values.shape[axis] == 1))
    if values.ndim != 2:
        told = " x ".join(map(str, shape)) or "one"
        advice = "pool them over space first" if values.ndim > 2 else "give one vector per snippet"
        raise FeatureError(f"{path} holds {told} values, not snippets by features; {advice}")
    return values


READERS: dict[str, Callable[[Wanted], list[Part]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".h5": _h5,
    ".hdf5": _h5,
    ".pkl": _pkl,
    ".pickle": _pkl,
    ".pt": _pt,
    ".pth": _pt,
}
# Formats that may hold all videos, each under its name.
OF_ALL = (".npz", ".h5", ".hdf5", ".pkl", ".pickle", ".pt", ".pth")
