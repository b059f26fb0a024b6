"""Charades: its official CSVs, and the JSON that the published detection code uses."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.annotations.formats.reader import Given, Reader, with_classes
from actline.annotations.reading import Reading
from actline.errors import AnnotationError
from actline.files import write_text
from actline.parsing import brief, parse_id, parse_name, parse_number, video_id_of, video_ids_of
from actline.stored.csv_text import Row, parse_rows
from actline.stored.text import read_text
from actline.timeline import Activity

CSV_SUBSETS = {"Charades_v1_train.csv": "training", "Charades_v1_test.csv": "testing"}
CLASSES_FILE = "Charades_v1_classes.txt"
CSV_COLUMNS = ("id", "actions", "length")


def _from_csvs(
    texts: Mapping[Path, str], subsets: Mapping[Path, str], reading: Reading
) -> Annotations:
    """Read official CSVs, given as text, each with the subset of its videos.

    Raises:
        AnnotationError: a file is malformed, names a class that is not listed, or lists a video
            twice.
    """
    seen: dict[str, str] = {}
    videos: list[AnnotatedVideo] = []
    for path, text in texts.items():
        for row in parse_rows(text, path, CSV_COLUMNS):
            try:
                if row.cells < len(row.header):
                    raise AnnotationError(f"{row.where}: the row is cut off; copy the file again")
                video_id = parse_id(
                    video_id_of(parse_name(row["id"], "video's id", row.where)), row.where
                )
                if video_id in seen:
                    raise AnnotationError(
                        f"{row.where}: video {video_id} is also at {seen[video_id]}; remove one"
                    )
                duration = parse_number(row["length"], row.where)
            except AnnotationError as error:
                reading.mistake(row["id"], error)
                continue
            seen[video_id] = row.where
            videos.append(
                reading.video(
                    video_id,
                    subset=subsets[path],
                    duration=duration,
                    activities=_csv_activities(row, video_id, reading),
                )
            )
    return reading.annotations(videos)


def _csv_activities(row: Row, video_id: str, reading: Reading) -> list[Activity]:
    """The cell `c092 11.90 21.20;c147 0.00 12.60`."""
    activities = []
    for action in filter(None, (part.strip() for part in row["actions"].split(";"))):
        where = f"{row.where} ({video_id})"
        try:
            parts = action.split()
            if len(parts) != 3 or parts[0][:1] != "c":
                raise AnnotationError(
                    f'{where}: {brief(action)} is not an action such as "c092 11.90 21.20"'
                )
            label = _label(parts[0][1:], video_id, where, reading)
            start, end = parse_number(parts[1], where), parse_number(parts[2], where)
        except AnnotationError as error:
            reading.mistake(video_id, error)
            continue
        activities.append(Activity(label, start, end))
    return activities


def _is_json(content: Mapping[str, Any]) -> bool:
    """Whether JSON has the form {id: {subset, duration, actions: [[class, start, end], …]}}."""
    return any(isinstance(video, dict) and "actions" in video for video in content.values())


def read_charades_json(content: Mapping[str, Any], path: Path, reading: Reading) -> Annotations:
    """Read the JSON form; classes are numbers, named `c000`, `c001`, … if no names are given.

    Raises:
        AnnotationError: an entry is malformed or names a class that is not listed.
    """
    videos = []
    ids = video_ids_of(content)
    for given_id, entry in content.items():
        where = f"{path}, video {given_id}"
        video_id = ids[given_id]
        try:
            video_id = parse_id(video_id, str(path))
            if not isinstance(entry, dict) or not isinstance(entry.get("actions"), list):
                raise AnnotationError(f"{where} has no list of actions; add one, perhaps empty")
            given = entry.get("duration")
            duration = None if given is None else parse_number(given, f"{where}, duration")
            subset = entry.get("subset")
            subset = None if subset is None else parse_name(subset, "subset", where)
        except AnnotationError as error:
            reading.mistake(video_id, error)
            continue
        activities = []
        for index, action in enumerate(entry["actions"], 1):
            place = f"{path}, action {index} of {video_id}"
            try:
                if not isinstance(action, list) or len(action) != 3:
                    raise AnnotationError(f"{place}: {brief(action)} is not [class, start, end]")
                label = _label(action[0], video_id, place, reading)
                start, end = parse_number(action[1], place), parse_number(action[2], place)
            except AnnotationError as error:
                reading.mistake(video_id, error)
                continue
            activities.append(Activity(label, start, end))
        videos.append(
            reading.video(video_id, subset=subset, duration=duration, activities=activities)
        )
    annotations = reading.annotations(videos)
    if reading.classes is not None or not annotations.classes:
        return annotations
    # Numbers that never occur keep their index, or the others would change theirs.
    count = max(int(name[1:]) for name in annotations.classes) + 1
    names = tuple(f"c{index:03d}" for index in range(count))
    return replace(annotations, classes=names, numbers={index: index for index in range(count)})


def _label(given: object, video_id: str, where: str, reading: Reading) -> str:
    """The name of the class with a number."""
    try:
        value = float(given)  # type: ignore[arg-type]
        if isinstance(given, bool) or not value.is_integer() or not 0 <= value < 10**5:
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise AnnotationError(f"{where}: {brief(given)} is not the number of a class") from error
    class_number = int(value)
    name = f"c{class_number:03d}"
    if reading.classes is not None and class_number in reading.classes.numbers:
        name = reading.classes.names[reading.classes.numbers[class_number]]
    return reading.label(name, video_id, where)


def write_charades(annotations: Annotations, path: Path) -> None:
    """Write the JSON form with the ground truth as listed; classes become their index.

    Whole or not at all.
    """
    index = {name: number for number, name in enumerate(annotations.classes)}
    content = {
        video.id: {
            "subset": video.subset,
            **({} if video.duration is None else {"duration": video.duration}),
            "actions": [[index[a.label], a.start, a.end] for a in video.truth],
        }
        for video in annotations.videos
    }
    write_text(path, json.dumps(content, allow_nan=False) + "\n")


def _csvs(given: Given) -> dict[Path, str]:
    """The official CSVs of a folder, or the given one, each with the subset of its videos.

    A CSV with the same columns and another name belongs to the training subset.
    """
    if given.is_folder:
        paths = ((given.path / name, subset) for name, subset in CSV_SUBSETS.items())
        return {path: subset for path, subset in paths if path.exists()}
    if set(CSV_COLUMNS) <= set(given.header):
        return {given.path: CSV_SUBSETS.get(given.path.name, "training")}
    return {}


def _recognizes(given: Given) -> bool:
    return bool(_csvs(given)) or _is_json(given.content)


def _read(given: Given, reading: Reading) -> Annotations:
    subsets = _csvs(given)
    if not subsets:
        return read_charades_json(given.content, given.path, reading)
    texts = {
        path: given.text or read_text(path, error=AnnotationError, what="annotations")
        for path in subsets
    }
    classes = next(iter(subsets)).with_name(CLASSES_FILE)
    if reading.classes is None and not classes.exists():
        raise AnnotationError(
            f"{classes.parent} has no {CLASSES_FILE}, which names the classes of Charades' "
            "CSVs; put it there, or give it as the classes"
        )
    return _from_csvs(texts, subsets, with_classes(reading, classes))


READER = Reader("Charades", _recognizes, _read)
