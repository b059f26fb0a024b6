"""Reading annotation files, and putting right what published ones contain."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from actline.data.annotations import AnnotatedVideo, Problem
from actline.errors import AnnotationError
from actline.timeline import Activity


def read_text(path: Path) -> str:
    """Read a text file, with or without a byte order mark.

    Raises:
        AnnotationError: it is missing, empty, unreadable or not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise AnnotationError(f"no annotations at {path}; check the path") from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise AnnotationError(f"cannot read {path}: {error.strerror}") from error
    if not text.strip():
        raise AnnotationError(f"{path} is empty; give a file with annotations")
    return text


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        AnnotationError: as `read_text`, or it is not whole JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise AnnotationError(
            f"{path}, line {error.lineno}: not valid JSON ({error.msg}); is the file cut off?"
        ) from error


def number(value: object, where: str) -> float:
    """A finite number, which may be written as text.

    Raises:
        AnnotationError: it is not one.
    """
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise AnnotationError(f"{where}: {value!r} is not a number; give seconds") from error
    if not math.isfinite(result):
        raise AnnotationError(f"{where}: {value!r} is not a finite number; give seconds")
    return result


def tidy_video(
    video_id: str, subset: str, duration: float | None, activities: Iterable[Activity]
) -> tuple[AnnotatedVideo, list[Problem]]:
    """A video whose activities lie within it, each once, and what had to be done for that."""
    kept: dict[Activity, None] = {}
    problems = []

    def problem(activity: Activity, what: str) -> None:
        told = f'"{activity.label}" {activity.start:g} to {activity.end:g} s {what}'
        problems.append(Problem(video_id, told))

    for given in activities:
        activity = given
        if activity.end <= activity.start:
            problem(activity, "does not end after its start: left out")
            continue
        if activity.end <= 0 or (duration is not None and activity.start >= duration):
            problem(activity, "lies outside the video: left out")
            continue
        if activity.start < 0:
            problem(activity, "starts before the video: cut to its start")
            activity = Activity(activity.label, 0.0, activity.end)
        if duration is not None and activity.end > duration:
            problem(activity, f"ends after the video ({duration:g} s): cut to its end")
            activity = Activity(activity.label, activity.start, duration)
        if activity in kept:
            problem(activity, "is there twice: kept once")
            continue
        kept[activity] = None
    ordered = tuple(sorted(kept, key=lambda a: (a.start, a.end, a.label)))
    return AnnotatedVideo(video_id, subset, duration, ordered), problems
