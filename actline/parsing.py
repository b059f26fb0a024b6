"""Values out of other people's text: numbers, names and ids, or one line on what is wrong."""

import math
import re
import reprlib
from collections import defaultdict
from collections.abc import Collection, Container, Iterable
from unicodedata import category

from actline.errors import AnnotationError
from actline.names import matching_id, without_ending
from actline.plain import plain

# Control characters, halves of characters, and ends of lines: no place in a name.
_UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Embeddings, overrides and isolates of direction: a name would be shown in another order than it
# is written. Marks of direction, which right-to-left text needs, are let be.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LONGEST_NAME = 1000
_AROUND = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\ufeff"
_SEPARATOR = re.compile(r"[\\/]")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 60, 60, 60


def parse_number(value: object, where: str) -> float:
    """A finite number, which may be written as text.

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
        AnnotationError: it is not one; `what` says of what, such as "label". Control characters,
            halves of characters and overrides of direction have no place in a name.
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
    """A text without spaces around it, and without byte order marks among these.

    Files put together bring those into the middle, and they are nobody's letter.
    """
    return text.strip(_AROUND)


def _is_unfit(character: str) -> bool:
    return category(character) in _UNFIT or character in _TURNING


def shown_name(text: str) -> str:
    """A name only to be shown: as it stands, or escaped where `parse_name` would refuse it."""
    return plain(text) if "\ufeff" in text or any(map(_is_unfit, text)) else text


def parse_id(value: object, where: str, *, what: str = "video's id") -> str:
    """A video's id: a name that, as a path, does not lead out of a folder.

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
    """The id in the name of a video's file: without folder and ending, of `videos/kitchen.mp4`.

    A name without the ending of a video is an id as it stands.
    """
    file = _SEPARATOR.split(given)[-1]
    name = without_ending(file)
    return given if name == file else name


def video_ids_of(names: Iterable[str]) -> dict[str, str]:
    """The ids in the names of several videos' files, by name: `video_id_of`, with one difference.

    Where files of one name lie in different folders, as cameras number theirs alike, the folders
    stay in the ids: `camA/GOPR0001.mp4` is `camA/GOPR0001`, as videos in folders are found.
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
    """The one of `ids` that means this video, as `matching_id` has it; None for none."""
    return matching_id(video, ids) or matching_id(video_id_of(video), ids)


def _in_folders_of_their_own(paths: Collection[str]) -> bool:
    return len(set(paths)) > 1 and all("/" in path for path in paths)


def brief(value: object) -> str:
    """A value short enough for one line, however large it is."""
    if isinstance(value, str):
        text = repr(value[:60] + "…" if len(value) > 60 else value)
    else:
        text = _SHORT.repr(value)
    return text if len(text) <= 64 else f"{text[:57]}…"
