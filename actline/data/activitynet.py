"""ActivityNet-style JSON: a database of videos, each with labelled segments in seconds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actline.data.annotations import AnnotatedVideo, Annotations, Problem
from actline.data.raw import number, tidy_video
from actline.errors import AnnotationError
from actline.files import write_text
from actline.timeline import Activity


def is_activitynet_json(content: Any) -> bool:
    """Whether JSON has a database, or is one itself (videos with `annotations`)."""
    if not isinstance(content, dict):
        return False
    database = content.get("database", content)
    return (
        isinstance(database, dict)
        and bool(database)
        and all(isinstance(v, dict) and "annotations" in v for v in database.values())
    )


def from_json(content: Mapping[str, Any], path: Path, classes: list[str] | None) -> Annotations:
    """Read the official form, and the flat one with `duration_second` in place of `duration`.

    Raises:
        AnnotationError: an entry is malformed, or its class is not among given `classes`.
    """
    videos: list[AnnotatedVideo] = []
    problems: list[Problem] = []
    labels: dict[str, None] = {}
    for video_id, entry in content.get("database", content).items():
        where = f"{path}: {video_id}"
        duration = entry.get("duration", entry.get("duration_second"))
        activities = []
        for annotation in entry["annotations"]:
            segment = annotation.get("segment") if isinstance(annotation, dict) else None
            if not isinstance(segment, list) or len(segment) != 2 or "label" not in annotation:
                raise AnnotationError(f"{where}: {annotation} has no label or no [start, end]")
            label = str(annotation["label"])
            if classes is not None and label not in classes:
                raise AnnotationError(f'{where}: class "{label}" is not among the classes')
            labels[label] = None
            activities.append(Activity(label, number(segment[0], where), number(segment[1], where)))
        video, found = tidy_video(
            video_id,
            str(entry.get("subset", "training")),
            None if duration is None else number(duration, where),
            activities,
        )
        videos.append(video)
        problems += found
    return Annotations(tuple(classes or sorted(labels)), tuple(videos), tuple(problems))


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
    write_text(path, json.dumps({"version": "actline", "database": database}, indent=1) + "\n")
