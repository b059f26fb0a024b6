"""Reading annotation files: collecting their faults, and correcting them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from actline.annotations.annotations import AnnotatedVideo, Annotations, Fault, Problem
from actline.annotations.classes import ClassNames
from actline.errors import AnnotationError
from actline.timeline import Activity
from actline.timeline.intervals import clip

_MOST_SUGGESTIONS = 50

# Names of subsets in published files.
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
    """The state of reading one file, or several that belong together.

    Attributes:
        classes: the allowed names; None accepts any name.
        strict: mistakes are raised; otherwise they become problems and their entries are left out.
        problems: faults found so far.
        used: labels that occurred, including those of activities that were left out.
        lacking: error messages for labels that are not among the classes.
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
        """`name`, if it is among the classes, or the class with that number in the list.

        Raises:
            AnnotationError: it is neither, and reading is strict.
        """
        if self.classes is not None and name not in self.classes:
            numbered = self.classes.numbered(name)
            if numbered is None:
                # A suggestion searches all classes: too slow for each of thousands of mistakes.
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
        """A video as listed in its file, together with its activities corrected for training.

        These are cut to the video, without duplicates, ordered by start; corrections are noted.
        """
        if duration is not None and duration <= 0:
            problem = f"the duration is {duration:g} s: taken as unknown"
            self.problems.append(Problem(video_id, problem, (Fault.DURATION,)))
            duration = None
        if subset is None:
            problem = "no subset is given: taken as training"
            self.problems.append(Problem(video_id, problem, (Fault.NO_SUBSET,)))
            subset = "training"
        listed = tuple(activities)
        kept: set[Activity] = set()
        for given in listed:
            activity, problem = _within(given, video_id, duration)
            if problem is not None:
                self.problems.append(problem)
            if activity in kept:
                self.problems.append(_problem(video_id, given, "appears twice: kept once"))
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
        """The annotations that were read.

        Raises:
            AnnotationError: two entries are the same video, and reading is strict.
        """
        found: dict[str, AnnotatedVideo] = {}
        for video in videos:
            if video.id in found:
                error = AnnotationError(
                    f"video {video.id} appears twice, with and without an extension or folder; "
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
    """The part of an activity inside its video, and what was wrong with it."""
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
    inside = (float(time) for time in clip(start, end, last=length))
    cut = Activity(activity.label, *inside)
    return cut, _problem(video_id, activity, f"{what}{known}: cut to it", *faults)


def _problem(video_id: str, activity: Activity, what: str, *faults: Fault) -> Problem:
    sentence = f'"{activity.label}" {activity.start:g} to {activity.end:g} s {what}'
    return Problem(video_id, sentence, faults or (Fault.TWICE,))


def subset_name(given: str) -> str:
    """Our name of a subset: "test" becomes "testing"; unknown names stay as they are."""
    return _SUBSETS.get(given.lower(), given)
