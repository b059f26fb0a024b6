"""Charades: its official CSVs, and the JSON that the published detection code uses."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actline.data.annotations import AnnotatedVideo, Annotations, Problem
from actline.data.raw import number, read_text, tidy_video
from actline.errors import AnnotationError
from actline.files import write_text
from actline.timeline import Activity

CSV_SUBSETS = {"Charades_v1_train.csv": "training", "Charades_v1_test.csv": "testing"}
CLASSES_FILE = "Charades_v1_classes.txt"


def read_classes(path: Path) -> dict[str, str]:
    """Names by id from `Charades_v1_classes.txt`, whose lines are `c000 Holding some clothes`.

    Raises:
        AnnotationError: a line has no name.
    """
    names = {}
    for line_number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            key, _, name = line.strip().partition(" ")
            if not name:
                raise AnnotationError(f"{path}, line {line_number}: expected an id and a name")
            names[key] = name
    return names


def read_csvs(paths: Mapping[Path, str], classes: Path) -> Annotations:
    """Read official CSVs, each with the subset its videos are in.

    Raises:
        AnnotationError: a file is malformed, or names a class that is not in `classes`.
    """
    names = read_classes(classes)
    videos: list[AnnotatedVideo] = []
    problems: list[Problem] = []
    for path, subset in paths.items():
        rows = csv.DictReader(io.StringIO(read_text(path)))
        lacking = {"id", "actions", "length"} - set(rows.fieldnames or ())
        if lacking:
            raise AnnotationError(
                f"{path}: column {min(lacking)} is missing; give Charades' own CSV"
            )
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            if row["actions"] is None or row["length"] is None:
                raise AnnotationError(f"{where}: the row is cut off; copy the file again")
            activities = []
            for action in filter(None, row["actions"].split(";")):
                parts = action.split()
                if len(parts) != 3:
                    raise AnnotationError(f'{where}: "{action}" is not "class start end"')
                if parts[0] not in names:
                    raise AnnotationError(f"{where}: class {parts[0]} is not in {classes.name}")
                start, end = number(parts[1], where), number(parts[2], where)
                activities.append(Activity(names[parts[0]], start, end))
            video, found = tidy_video(row["id"], subset, number(row["length"], where), activities)
            videos.append(video)
            problems += found
    return Annotations(tuple(names.values()), tuple(videos), tuple(problems))


def is_charades_json(content: Any) -> bool:
    """Whether JSON is of the form {id: {subset, duration, actions: [[class, start, end], …]}}."""
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(video, dict) and "actions" in video for video in content.values())
    )


def from_json(content: Mapping[str, Any], path: Path, classes: list[str] | None) -> Annotations:
    """Read the JSON form; classes are numbers, named `c000`, `c001`, … where no names are given.

    Raises:
        AnnotationError: an entry is malformed or names a class beyond `classes`.
    """
    parsed: list[tuple[str, str, float | None, list[tuple[int, float, float]]]] = []
    largest = -1
    for video_id, entry in content.items():
        where = f"{path}: {video_id}"
        duration = number(entry["duration"], where) if "duration" in entry else None
        actions = []
        for action in entry["actions"]:
            if not isinstance(action, list) or len(action) != 3:
                raise AnnotationError(f"{where}: {action} is not [class, start, end]")
            index = int(number(action[0], where))
            if index < 0 or (classes is not None and index >= len(classes)):
                raise AnnotationError(f"{where}: class {index} is not among the classes")
            largest = max(largest, index)
            actions.append((index, number(action[1], where), number(action[2], where)))
        parsed.append((video_id, str(entry.get("subset", "training")), duration, actions))
    names = classes or [f"c{index:03d}" for index in range(largest + 1)]
    videos, problems = [], []
    for video_id, subset, duration, actions in parsed:
        activities = [Activity(names[index], start, end) for index, start, end in actions]
        video, found = tidy_video(video_id, subset, duration, activities)
        videos.append(video)
        problems += found
    return Annotations(tuple(names), tuple(videos), tuple(problems))


def write_json(annotations: Annotations, path: Path) -> None:
    """Write the JSON form, whole or not at all."""
    index = {name: number for number, name in enumerate(annotations.classes)}
    content = {
        video.id: {
            "subset": video.subset,
            "duration": video.duration,
            "actions": [[index[a.label], a.start, a.end] for a in video.activities],
        }
        for video in annotations.videos
    }
    write_text(path, json.dumps(content) + "\n")
