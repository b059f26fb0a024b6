"""Parsing of untrusted text: numbers, names and ids, or an error of one line."""

import math
import re
import reprlib
from collections import defaultdict
from collections.abc import Collection, Container, Iterable
from unicodedata import category

from actline.errors import AnnotationError
from actline.names import matching_id, without_ending
from actline.plain import plain

# Control characters, unpaired surrogates and line separators: not allowed in a name.
_UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Directional embeddings, overrides and isolates: they would show a name in another order than it is
# written. Directional marks, which right-to-left text needs, are allowed.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LONGEST_NAME = 1000
_AROUND = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\ufeff"
_SEPARATOR = re.compile(r"[\\/]")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 60, 60, 60


def parse_number(value: object, where: str) -> float:
    """A finite number, given as a number or as text.

    Raises:
        AnnotationError: it is not one.
    """
    try:
        if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
            raise ValueError
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise AnnotationError(f"{where}: {brief(value)} is not a number; give seconds") from error
    if not math.isfinite(result):
        raise AnnotationError(f"{where}: {brief(value)} is not a finite number; give seconds")
    return result


def parse_name(value: object, what: str, where: str) -> str:
    """A name: text of one line, or a number, without spaces around it.

    Raises:
        AnnotationError: it is not one; `what` names its kind in the message, such as "label".
            Control characters, unpaired surrogates and directional overrides are not allowed.
    """
    if isinstance(value, int | str) and not isinstance(value, bool):
        name = trimmed(str(value))
        if len(name) > _LONGEST_NAME:
            raise AnnotationError(
                f"{where}: a {what} of {len(name)} characters, {brief(name)}; shorten it to "
                f"{_LONGEST_NAME}"
            )
        if name and (name.isprintable() or not any(map(_is_unfit, name))):
            return name
    raise AnnotationError(f"{where}: {brief(value)} is not a {what}; give a text of one line")


def trimmed(text: str) -> str:
    """A text without spaces and byte order marks around it.

    Concatenated files have byte order marks in the middle; they are not part of any name.
    """
    return text.strip(_AROUND)


def _is_unfit(character: str) -> bool:
    return category(character) in _UNFIT or character in _TURNING


def shown_name(text: str) -> str:
    """A name for display only: unchanged, or escaped where `parse_name` would refuse it."""
    return plain(text) if "\ufeff" in text or any(map(_is_unfit, text)) else text


def parse_id(value: object, where: str, *, what: str = "video's id") -> str:
    """A video's id: a name that, as a path, stays inside its folder.

    Raises:
        AnnotationError: it is not one.
    """
    name = parse_name(value, what, where)
    parts = _SEPARATOR.split(name)
    if ".." in parts or not parts[0] or _DRIVE.match(name):
        raise AnnotationError(
            f"{where}: {brief(name)} leads out of the folder of videos; give an id such as camA/v1"
        )
    return name


def video_id_of(given: str) -> str:
    """The id in the name of a video's file: `kitchen` for `videos/kitchen.mp4`.

    A name without a video's extension is already an id.
    """
    file = _SEPARATOR.split(given)[-1]
    name = without_ending(file)
    return given if name == file else name


def video_ids_of(names: Iterable[str]) -> dict[str, str]:
    """The ids in the file names of several videos, by name: `video_id_of`, with one difference.

    If files in different folders have the same name, because cameras number their files alike, the
    folders stay in the ids: `camA/GOPR0001.mp4` is `camA/GOPR0001`, the same id as when the folders
    are searched for videos.
    """
    alike: dict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        alike[video_id_of(name)][name] = without_ending(name).replace("\\", "/")
    return {
        name: path if _in_folders_of_their_own(paths.values()) else video_id
        for video_id, paths in alike.items()
        for name, path in paths.items()
    }


def annotated_id(video: str, ids: Container[str]) -> str | None:
    """The one of `ids` that refers to this video, as `matching_id` finds it, or None."""
    return matching_id(video, ids) or matching_id(video_id_of(video), ids)


def _in_folders_of_their_own(paths: Collection[str]) -> bool:
    return len(set(paths)) > 1 and all("/" in path for path in paths)


def brief(value: object) -> str:
    """A value shortened to fit on one line."""
    if isinstance(value, str):
        text = repr(value[:60] + "…" if len(value) > 60 else value)
    else:
        text = _SHORT.repr(value)
    return text if len(text) <= 64 else f"{text[:57]}…"
