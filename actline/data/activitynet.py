"""ActivityNet-style JSON: a database of videos, each with labelled segments in seconds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actline.data.annotations import Annotations
from actline.data.raw import Reading, name_of, number, shown
from actline.errors import AnnotationError
from actline.files import write_text
from actline.timeline import Activity


def is_json(content: Mapping[str, Any]) -> bool:
    """Whether JSON has a database, or is one itself (videos with `annotations`)."""
    return isinstance(content.get("database"), dict) or any(
        isinstance(video, dict) and "annotations" in video for video in content.values()
    )


def from_json(content: Mapping[str, Any], path: Path, reading: Reading) -> Annotations:
    """Read the official form, and the flat one with `duration_second` in place of `duration`.

    Raises:
        AnnotationError: an entry is malformed, or its class is not listed.
    """
    database = content.get("database")
    videos = []
    for video_id, entry in (database if isinstance(database, dict) else content).items():
        where = f"{path}, video {video_id}"
        try:
            name_of(video_id, "video's id", str(path))
            # Test videos are published without annotations, some without the empty list too.
            annotations = entry.get("annotations", []) if isinstance(entry, dict) else None
            if not isinstance(annotations, list):
                raise AnnotationError(f"{where} has no list of annotations; add one, perhaps empty")
            given = entry.get("duration", entry.get("duration_second"))
            duration = None if given is None else number(given, f"{where}, duration")
            subset = entry.get("subset")
            subset = None if subset is None else name_of(subset, "subset", where)
        except AnnotationError as error:
            reading.mistake(video_id, error)
            continue
        activities = []
        for index, annotation in enumerate(annotations, 1):
            try:
                place = f"{path}, annotation {index} of {video_id}"
                activities.append(_activity(annotation, video_id, place, reading))
            except AnnotationError as error:
                reading.mistake(video_id, error)
        videos.append(
            reading.video(video_id, subset=subset, duration=duration, activities=activities)
        )
    return Annotations(reading.class_names(), tuple(videos), tuple(reading.problems))


def _activity(annotation: object, video_id: str, where: str, reading: Reading) -> Activity:
    segment = annotation.get("segment") if isinstance(annotation, dict) else None
    if not isinstance(annotation, dict) or not isinstance(segment, list) or len(segment) != 2:
        raise AnnotationError(
            f"{where}: {shown(annotation)} has no label or no segment [start, end]"
        )
    label = name_of(annotation.get("label"), "label", where)
    start, end = number(segment[0], where), number(segment[1], where)
    return Activity(reading.label(label, video_id, where), start, end)


def write_json(annotations: Annotations, path: Path) -> None:
    """Write the official form, whole or not at all."""
    database = {
        video.id: {
            "subset": video.subset,
            **({} if video.duration is None else {"duration": video.duration}),
            "annotations": [
                {"label": a.label, "segment": [a.start, a.end]} for a in video.activities
            ],
        }
        for video in annotations.videos
    }
    content = {"version": "actline", "database": database}
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
