"""ActivityNet-style JSON, of ActivityNet, HACS Segments and THUMOS-14.

A database of videos, each with labelled segments in seconds.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from actline.annotations.annotations import Annotations, Fault
from actline.annotations.formats import thumos
from actline.annotations.formats.reader import Reader
from actline.annotations.reading import Reading, subset_name
from actline.errors import AnnotationError
from actline.files import write_text
from actline.parsing import brief, parse_id, parse_name, parse_number, video_ids_of
from actline.stored.csv_text import parse_rows
from actline.stored.text import read_text
from actline.timeline import Activity


def _is_json(content: Mapping[str, Any]) -> bool:
    """Whether JSON contains a database, or is one itself (videos with `annotations`)."""
    return isinstance(content.get("database"), dict) or any(
        isinstance(video, dict) and "annotations" in video for video in content.values()
    )


def _from_json(content: Mapping[str, Any], path: Path, reading: Reading) -> Annotations:
    """Read the official form, and the flat one with `duration_second` instead of `duration`.

    For THUMOS-14, segments labelled `Ambiguous`, or listed as `ambiguous` next to the annotations
    as by `write_activitynet`, are kept as `AnnotatedVideo.ambiguous`; and a missing subset is taken
    from the id.

    Raises:
        AnnotationError: an entry is malformed, or its class is not listed.
    """
    given_database = content.get("database")
    database = given_database if isinstance(given_database, dict) else content
    ids = video_ids_of(database)
    thumos14 = thumos.has_ids(list(ids.values()))
    apart = thumos.AMBIGUOUS if thumos14 else None
    videos = []
    for given_id, entry in database.items():
        where = f"{path}, video {given_id}"
        video_id = ids[given_id]
        try:
            video_id = parse_id(video_id, str(path))
            # Test videos are published without annotations, some without the empty list too.
            annotations = entry.get("annotations", []) if isinstance(entry, dict) else None
            if not isinstance(annotations, list):
                raise AnnotationError(f"{where} has no list of annotations; add one, perhaps empty")
            given = entry.get("duration", entry.get("duration_second"))
            duration = None if given is None else parse_number(given, f"{where}, duration")
            subset = entry.get("subset")
            subset = None if subset is None else parse_name(subset, "subset", where)
            if subset is None:
                subset = thumos.subset_of_id(video_id)
        except AnnotationError as error:
            reading.mistake(video_id, error)
            continue
        ambiguous = entry.get("ambiguous")
        if thumos14 and isinstance(ambiguous, list):
            apart_from = [{**one, "label": apart} for one in ambiguous if isinstance(one, dict)]
            annotations = [*annotations, *apart_from]
        activities = []
        for index, annotation in enumerate(annotations, 1):
            try:
                place = f"{path}, annotation {index} of {video_id}"
                activities.append(_activity(annotation, video_id, place, reading, apart))
            except AnnotationError as error:
                reading.mistake(video_id, error)
        video = reading.video(video_id, subset=subset, duration=duration, activities=activities)
        videos.append(thumos.set_apart(video) if thumos14 else video)
    return reading.annotations(videos)


def _activity(
    annotation: object, video_id: str, where: str, reading: Reading, apart: str | None
) -> Activity:
    segment = annotation.get("segment") if isinstance(annotation, dict) else None
    if not isinstance(annotation, dict) or not isinstance(segment, list) or len(segment) != 2:
        raise AnnotationError(
            f"{where}: {brief(annotation)} has no label or no segment [start, end]"
        )
    label = parse_name(annotation.get("label"), "label", where)
    start, end = parse_number(segment[0], where), parse_number(segment[1], where)
    if label != apart:
        label = reading.label(label, video_id, where)
    return Activity(label, start, end)


def youtube_id(video_id: str) -> str:
    """The id without the "v_" that ActivityNet puts before YouTube's 11 characters."""
    return video_id[2:] if len(video_id) == 13 and video_id.startswith("v_") else video_id


def with_subsets(annotations: Annotations, path: str | Path) -> Annotations:
    """Take the subsets from a CSV with columns `video` and `subset`.

    For the flat form, which has no subsets: its `video_info.csv`.

    Raises:
        AnnotationError: the file is malformed, or lacks a video of the annotations.
    """
    path = Path(path)
    text = read_text(path, error=AnnotationError, what="subsets")
    rows = parse_rows(text, path, ("video", "subset"))
    subsets = {youtube_id(row["video"]): subset_name(row["subset"]) for row in rows}
    lacking = [v.id for v in annotations.videos if not subsets.get(youtube_id(v.id))]
    if lacking:
        raise AnnotationError(
            f"{path} lists no subset for {len(lacking)} videos, such as {lacking[0]}; add them"
        )
    return replace(
        annotations,
        videos=tuple(replace(v, subset=subsets[youtube_id(v.id)]) for v in annotations.videos),
        problems=tuple(p for p in annotations.problems if Fault.NO_SUBSET not in p.faults),
    )


def write_activitynet(annotations: Annotations, path: Path) -> None:
    """Write the official form with the ground truth as listed, whole or not at all.

    It has all that ActivityNet's evaluator needs. The evaluator counts every label as a class, so
    ambiguous segments are listed separately, as `ambiguous`.
    """
    database = {
        video.id: {
            "subset": video.subset,
            **({} if video.duration is None else {"duration": video.duration}),
            "annotations": [{"label": a.label, "segment": [a.start, a.end]} for a in video.truth],
            **(
                {"ambiguous": [{"segment": [a.start, a.end]} for a in video.ambiguous]}
                if video.ambiguous
                else {}
            ),
        }
        for video in annotations.videos
    }
    content = {"version": "actline", "taxonomy": _taxonomy(annotations), "database": database}
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _taxonomy(annotations: Annotations) -> list[dict[str, Any]]:
    """Classes as ActivityNet lists them: nodes of a tree, here all below its root."""
    root = {"nodeId": 0, "nodeName": "Root", "parentId": None, "parentName": None}
    return [
        root,
        *(
            {"nodeId": number, "nodeName": name, "parentId": 0, "parentName": "Root"}
            for number, name in enumerate(annotations.classes, 1)
        ),
    ]


READER = Reader(
    name="ActivityNet-style JSON",
    recognizes=lambda given: _is_json(given.content),
    read=lambda given, reading: _from_json(given.content, given.path, reading),
)
