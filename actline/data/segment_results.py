"""Results files: segments by video in ActivityNet's form, as detectors and proposers write them."""

import json
import math
import sys
from collections.abc import Container
from pathlib import Path
from typing import Any

from actline.data.raw import name_of, number, parse_json, read_text, shown
from actline.data.video_scores import MAX_BYTES
from actline.errors import AnnotationError, PredictionError
from actline.timeline import Activity


def read_segments(path: Path, *, labelled: bool = True) -> dict[str, list[Activity]]:
    """Read segments by video: a folder of `actline detect` (ID.json), or one file of results.

    The form is ActivityNet's, `{"results": {id: [{"label", "score", "segment"}, …]}}`. Other JSON
    files in the folder, without `results`, are passed over.

    Args:
        labelled: False takes segments without labels too, as proposals have none.

    Raises:
        PredictionError: missing, malformed, too large, or without results; a number that is not
            one, or not finite; a video twice.
    """
    if not path.exists():
        raise PredictionError(f"no predictions at {path}; make them with `actline detect`")
    paths = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not paths:
        raise PredictionError(f"{path} holds no predictions (ID.json); run `actline detect`")
    size = sum(one.stat().st_size for one in paths if one.is_file())
    if size > MAX_BYTES:
        raise PredictionError(
            f"{path} has {size >> 20} MiB of JSON, and reading more than {MAX_BYTES >> 20} would "
            "fill the memory; keep fewer segments of each video"
        )
    results: dict[str, list[Activity]] = {}
    for one in paths:
        content = _json(one)
        given = content.get("results") if isinstance(content, dict) else None
        if path.is_dir() and (not isinstance(content, dict) or "results" not in content):
            continue
        if not isinstance(given, dict):
            raise PredictionError(
                f'{one} has no "results" of videos; predictions are {{"results": {{ID: [...]}}}}'
            )
        for video, entries in given.items():
            _check_id(video, one)
            if video in results:
                raise PredictionError(f"{one}: video {video} is in another file too; keep one")
            if not isinstance(entries, list):
                raise PredictionError(f"{one}, video {video}: {shown(entries)} is no list")
            results[video] = [
                _segment(entry, one, video, place, labelled=labelled)
                for place, entry in enumerate(entries, 1)
            ]
    if not results:
        raise PredictionError(f"{path} holds no results of any video; run `actline detect` again")
    return results


def annotated_id(video: str, ids: Container[str]) -> str | None:
    """The one of `ids` that means this video, with "v_" before it or without; None for none."""
    forms = (video, video.removeprefix("v_"), f"v_{video}")
    return next((form for form in forms if form in ids), None)


def _json(path: Path) -> Any:
    try:
        return parse_json(read_text(path, what="predictions"), path)
    except AnnotationError as error:
        cause = error.__cause__
        if isinstance(cause, ValueError | RecursionError) and not isinstance(
            cause, json.JSONDecodeError | UnicodeDecodeError
        ):
            # A number of thousands of digits, or thousands of brackets.
            raise PredictionError(f"{path} is JSON, but no predictions") from error
        raise PredictionError(str(error)) from error


def _check_id(video: str, path: Path) -> None:
    try:
        name_of(video, "video's id", str(path))
    except AnnotationError as error:
        raise PredictionError(str(error)) from error


def _segment(entry: object, path: Path, video: str, place: int, *, labelled: bool) -> Activity:
    """One segment; labels are shared between segments, so that many take little memory."""
    match entry:
        case {"label": str(label), "score": float(score), "segment": [float(start), float(end)]}:
            if label.strip() and label.isprintable() and math.isfinite(score + start + end):
                return Activity(sys.intern(label.strip()), start, end, score)
    where = f"{path}, video {video}, segment {place}"
    needed = ("label", "score", "segment") if labelled else ("score", "segment")
    if not isinstance(entry, dict) or not all(name in entry for name in needed):
        raise PredictionError(f"{where}: {shown(entry)} lacks one of {', '.join(needed)}; add it")
    segment = entry["segment"]
    if not isinstance(segment, list) or len(segment) != 2:
        raise PredictionError(f"{where}: {shown(segment)} is not [start, end] in seconds")
    try:
        label = name_of(entry["label"], "label", where) if labelled else ""
        start, end = number(segment[0], where), number(segment[1], where)
    except AnnotationError as error:
        raise PredictionError(str(error)) from error
    try:
        score = number(entry["score"], where)
    except AnnotationError as error:
        given = shown(entry["score"])
        raise PredictionError(f"{where}: score {given} is not a finite number") from error
    return Activity(sys.intern(label), start, end, score)
