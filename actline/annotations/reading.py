"""Reading annotation files: what goes wrong in them, and what is put right."""

import math
import re
import reprlib
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from unicodedata import category

from actline.annotations.annotations import AnnotatedVideo, Annotations, Fault, Problem
from actline.annotations.classes import ClassNames
from actline.errors import AnnotationError
from actline.names import without_ending
from actline.plain import plain
from actline.timeline import Activity

# Control characters, halves of characters, and ends of lines: no place in a name.
_UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Embeddings, overrides and isolates of direction: a name would be shown in another order than it
# is written. Marks of direction, which right-to-left text needs, are let be.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LONGEST_NAME = 1000
_MOST_SUGGESTIONS = 50
_SEPARATOR = re.compile(r"[\\/]")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 60, 60, 60

# What other people's files call the subsets.
_SUBSETS = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "testing",
    "testing": "testing",
}


@dataclass(slots=True)
class Reading:
    """One reading of a file, or of two that belong together.

    Attributes:
        classes: the names allowed; None takes every name that comes.
        strict: a mistake is raised; otherwise it is kept as a problem and its entry left out.
        problems: what was found so far.
        used: labels that came, of activities that were left out too.
        lacking: of labels that the classes lack, what to say.
    """

    classes: ClassNames | None = None
    strict: bool = True
    problems: list[Problem] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    lacking: dict[str, str] = field(default_factory=dict)

    def mistake(self, video: str, error: AnnotationError, fault: Fault = Fault.MALFORMED) -> None:
        """Raise the error, or note it."""
        if self.strict:
            raise error
        self.problems.append(Problem(video, str(error), (fault,)))

    def label(self, name: str, video: str, where: str) -> str:
        """`name`, if it is among the classes, or the class of that number in the list.

        Raises:
            AnnotationError: it is neither, and reading is strict.
        """
        if self.classes is not None and name not in self.classes:
            numbered = self.classes.numbered(name)
            if numbered is None:
                # A suggestion looks at every class: not for each of thousands of mistakes.
                if name not in self.lacking:
                    suggest = len(self.lacking) < _MOST_SUGGESTIONS
                    self.lacking[name] = self.classes.lacks(name, suggest=suggest)
                error = AnnotationError(f"{where}: {self.lacking[name]}")
                self.mistake(video, error, Fault.UNKNOWN_CLASS)
            name = numbered or name
        self.used.add(name)
        return name

    def class_names(self) -> tuple[str, ...]:
        """The classes in index order: those listed, or those used; unlisted ones come last."""
        if self.classes is None:
            return tuple(sorted(self.used))
        unlisted = {name for name in self.used if name not in self.classes}
        return (*self.classes.names, *sorted(unlisted))

    def video(
        self,
        video_id: str,
        *,
        subset: str | None,
        duration: float | None,
        activities: Iterable[Activity],
    ) -> AnnotatedVideo:
        """A video as its file lists it, and beside that its activities mended for training.

        Those lie within the video, each once, by start; what that took is noted.
        """
        if duration is not None and duration <= 0:
            told = f"the duration is {duration:g} s: taken as unknown"
            self.problems.append(Problem(video_id, told, (Fault.DURATION,)))
            duration = None
        if subset is None:
            told = "no subset is given: taken as training"
            self.problems.append(Problem(video_id, told, (Fault.NO_SUBSET,)))
            subset = "training"
        listed = tuple(activities)
        kept: set[Activity] = set()
        for given in listed:
            activity, problem = _within(given, video_id, duration)
            if problem is not None:
                self.problems.append(problem)
            if activity in kept:
                self.problems.append(_problem(video_id, given, "is there twice: kept once"))
            elif activity is not None:
                kept.add(activity)
        ordered = tuple(sorted(kept, key=lambda a: (a.start, a.end, a.label)))
        return AnnotatedVideo(
            video_id,
            subset_name(subset),
            duration,
            ordered,
            listed=None if listed == ordered else listed,
        )

    def annotations(self, videos: Iterable[AnnotatedVideo]) -> Annotations:
        """All that was read.

        Raises:
            AnnotationError: two entries are one video, and reading is strict.
        """
        found: dict[str, AnnotatedVideo] = {}
        for video in videos:
            if video.id in found:
                error = AnnotationError(
                    f"video {video.id} appears twice, with and without an ending or folder; "
                    "remove one"
                )
                self.mistake(video.id, error)
                continue
            found[video.id] = video
        numbers = {} if self.classes is None else dict(self.classes.numbers)
        return Annotations(self.class_names(), tuple(found.values()), tuple(self.problems), numbers)


def _within(
    activity: Activity, video_id: str, duration: float | None
) -> tuple[Activity | None, Problem | None]:
    """The part of an activity that lies in its video, and what is wrong with it."""
    start, end = activity.start, activity.end
    length = math.inf if duration is None else duration
    if 0 <= start < end <= length:
        return activity, None
    faults = [
        fault
        for fault, found in (
            (Fault.BACKWARDS, end <= start),
            (Fault.STARTS_LATE, start >= length),
            (Fault.ENDS_LATE, end > length),
            (Fault.STARTS_EARLY, start < 0),
        )
        if found
    ]
    known = "" if duration is None else f" ({duration:g} s)"
    if Fault.BACKWARDS in faults:
        what = "does not end after its start: left out"
        return None, _problem(video_id, activity, what, *faults)
    if start >= length or end <= 0:
        what = f"lies outside the video{known}: left out"
        return None, _problem(video_id, activity, what, *faults)
    if start < 0:
        what = "starts before the video" + (" and ends after it" if end > length else "")
    else:
        what = "ends after the video"
    cut = Activity(activity.label, max(0.0, start), min(end, length))
    return cut, _problem(video_id, activity, f"{what}{known}: cut to it", *faults)


def _problem(video_id: str, activity: Activity, what: str, *faults: Fault) -> Problem:
    told = f'"{activity.label}" {activity.start:g} to {activity.end:g} s {what}'
    return Problem(video_id, told, faults or (Fault.TWICE,))


def number(value: object, where: str) -> float:
    """A finite number, which may be written as text.

    Raises:
        AnnotationError: it is not one.
    """
    try:
        if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
            raise ValueError
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise AnnotationError(f"{where}: {shown(value)} is not a number; give seconds") from error
    if not math.isfinite(result):
        raise AnnotationError(f"{where}: {shown(value)} is not a finite number; give seconds")
    return result


def name_of(value: object, what: str, where: str) -> str:
    """A name: text of one line, or a number, without spaces around it.

    Raises:
        AnnotationError: it is not one; `what` says of what, such as "label". Control characters,
            halves of characters and overrides of direction have no place in a name.
    """
    if isinstance(value, int | str) and not isinstance(value, bool):
        # A byte order mark, which files put together bring into the middle, is nobody's letter.
        name = str(value).strip().strip("\ufeff").strip()
        if len(name) > _LONGEST_NAME:
            raise AnnotationError(
                f"{where}: a {what} of {len(name)} characters, {shown(name)}; shorten it to "
                f"{_LONGEST_NAME}"
            )
        if name and (name.isprintable() or not any(map(_is_unfit, name))):
            return name
    raise AnnotationError(f"{where}: {shown(value)} is not a {what}; give a text of one line")


def _is_unfit(character: str) -> bool:
    return category(character) in _UNFIT or character in _TURNING


def shown_name(text: str) -> str:
    """A name that is only to be shown: as it stands, or escaped where `name_of` would refuse it."""
    return plain(text) if "\ufeff" in text or any(map(_is_unfit, text)) else text


def id_of(value: object, where: str, *, what: str = "video's id") -> str:
    """A video's id: a name that, as a path, does not lead out of a folder.

    Raises:
        AnnotationError: it is not one.
    """
    name = name_of(value, what, where)
    parts = _SEPARATOR.split(name)
    if ".." in parts or not parts[0] or _DRIVE.match(name):
        raise AnnotationError(
            f"{where}: {shown(name)} leads out of the folder of videos; give an id such as camA/v1"
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


def _in_folders_of_their_own(paths: Collection[str]) -> bool:
    return len(set(paths)) > 1 and all("/" in path for path in paths)


def subset_name(given: str) -> str:
    """Our name of a subset: "test" is "testing"; a name that nobody else uses stays as it is."""
    return _SUBSETS.get(given.lower(), given)


def shown(value: object) -> str:
    """A value short enough for one line, however large it is."""
    if isinstance(value, str):
        text = repr(value[:60] + "…" if len(value) > 60 else value)
    else:
        text = _SHORT.repr(value)
    return text if len(text) <= 64 else f"{text[:57]}…"
