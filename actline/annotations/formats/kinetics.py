"""Kinetics-400, -600 and -700: the official CSVs, and JSON with one label per clip.

A trimmed clip is a separate video, named `YOUTUBE_000010_000020` after the start and end in seconds
at which it was cut out, as in most downloads; its one activity covers the whole clip.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actline.annotations.annotations import AnnotatedVideo, Annotations, Fault, Problem
from actline.annotations.formats.reader import Given, Reader, with_classes
from actline.annotations.reading import Reading
from actline.errors import AnnotationError
from actline.parsing import brief, parse_id, parse_name, parse_number
from actline.stored.csv_text import header_of, parse_rows
from actline.stored.json_text import parse_json
from actline.stored.text import read_text
from actline.timeline import Activity

CSV_COLUMNS = ("youtube_id", "time_start", "time_end", "split")
# The file from which the code of X3D-Multigrid and SSDet reads its class names.
CLASSES_FILE = "labels.txt"

_SUBSETS = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "validate": "validation",
    "validation": "validation",
    "test": "testing",
    "testing": "testing",
    "holdout_test": "testing",
}
# `train.csv`, `kinetics-400_train.csv`, `kinetics_700_val.json`, `kinetics_600_holdout_test.csv`.
_FILE = re.compile(r"(?:.+[-_])?(?:train|val|validate|validation|test)\.(csv|json)", re.IGNORECASE)
_FOLDER = re.compile(r".*(?:annotation|train|val|test).*", re.IGNORECASE)
# An id that already says where the clip was cut out.
_CUT_ID = re.compile(r".+_(\d{6})_(\d{6})")


def _is_csv(header: tuple[str, ...]) -> bool:
    """Whether a CSV's columns are those of Kinetics; some may be missing."""
    return "video" not in header and not set(CSV_COLUMNS[:3]).isdisjoint(header)


def _is_json(content: Mapping[str, Any]) -> bool:
    """Whether JSON holds clips, each with one `annotations` that is not a list.

    Clips of test files may have none; they are recognized by their URL and subset.
    """
    entries = [entry for entry in _entries(content).values() if isinstance(entry, dict)]
    given = [entry["annotations"] for entry in entries if "annotations" in entry]
    single = sum(isinstance(one, dict) for one in given)
    if given:
        return 2 * single > len(given)
    return "database" not in content and any(
        {"url", "subset", "duration"} <= set(entry) and "actions" not in entry for entry in entries
    )


def _find_files(folder: Path) -> tuple[Path, ...]:
    """The CSVs of a Kinetics folder, or else its JSON files; empty for any other folder.

    They are named after their split, such as `kinetics-400_train.csv`, and are in the folder itself
    or in a subfolder named after annotations or a split. If there are both, the CSVs are used, as
    the JSON lists a video only once even if it has several clips.

    Raises:
        AnnotationError: a folder or file cannot be read.
    """
    try:
        below = [one for one in folder.iterdir() if _FOLDER.fullmatch(one.name) and one.is_dir()]
        named = [
            path
            for one in (folder, *sorted(below))
            for path in sorted(one.iterdir())
            if _FILE.fullmatch(path.name) and path.is_file()
        ]
        tables = tuple(path for path in named if path.suffix.lower() == ".csv" and _opens(path))
        return tables or tuple(path for path in named if path.suffix.lower() == ".json")
    except OSError as error:
        raise AnnotationError(f"cannot read the folder {folder}: {error.strerror}") from error


def _find_classes(files: tuple[Path, ...]) -> Path | None:
    """The list of class names next to a Kinetics folder's files, or in a folder above."""
    for folder in dict.fromkeys(f for path in files for f in (path.parent, path.parent.parent)):
        for name in (CLASSES_FILE, "classes.txt"):
            if (folder / name).is_file():
                return folder / name
    return None


def _from_files(paths: tuple[Path, ...], reading: Reading) -> Annotations:
    """Read the files of a folder, all CSV or all JSON.

    Raises:
        AnnotationError: one is malformed, or holds something else.
    """
    texts = {path: read_text(path, error=AnnotationError, what="annotations") for path in paths}
    if all(path.suffix.lower() == ".csv" for path in paths):
        return _from_csvs(texts, reading)
    contents = {}
    for path, text in texts.items():
        contents[path] = parse_json(text, path, error=AnnotationError)
        if not isinstance(contents[path], dict) or not _is_json(contents[path]):
            raise AnnotationError(f"{path} contains no Kinetics clips; give the file itself")
    return _from_json(contents, reading)


def _from_csvs(texts: Mapping[Path, str], reading: Reading) -> Annotations:
    """Read official CSVs, given as text.

    Files of the test split may come without the column `label`; their clips have no activity.

    Raises:
        AnnotationError: a column is missing, or, with the line: an invalid time, an end that is not
            after its start, an unknown split, a class that is empty or not listed, or a clip that
            appears twice with different content.
    """
    clips = _Clips(reading)
    for path, text in texts.items():
        for row in parse_rows(text, path, CSV_COLUMNS):
            try:
                if row.cells > len(row.header) and any(row.values[len(row.header) :]):
                    raise AnnotationError(
                        f"{row.where}: {row.cells} cells for {len(row.header)} columns; "
                        "put quotation marks around a label with a comma in it"
                    )
                youtube = parse_id(row["youtube_id"], row.where, what="YouTube id")
                start, end = _cut(row["time_start"], row["time_end"], row.where)
                subset = _subset(row["split"], row.where)
                label = _label(row["label"] or None, subset, row.where)
            except AnnotationError as error:
                reading.mistake(row["youtube_id"], error)
                continue
            clips.add(_clip_id(youtube, start, end), label, subset, end - start, row.where)
    return clips.annotations()


def _from_json(contents: Mapping[Path, Mapping[str, Any]], reading: Reading) -> Annotations:
    """Read clips by YouTube id, with `segment`, or by an id that includes start and end.

    The latter, `database` of the 3D-ResNets code, may give segments in frames: the id is used.

    Raises:
        AnnotationError: as for CSVs, with file and clip.
    """
    clips = _Clips(reading)
    for path, content in contents.items():
        for given, entry in _entries(content).items():
            where = f"{path}, clip {given}"
            try:
                youtube = parse_id(given, str(path), what="YouTube id")
                annotation = entry.get("annotations", {}) if isinstance(entry, dict) else None
                if not isinstance(entry, dict) or not isinstance(annotation, dict):
                    raise AnnotationError(
                        f'{where}: {brief(entry)} has no "annotations" of a label and a segment'
                    )
                subset = _subset(entry.get("subset"), where)
                label = _label(annotation.get("label"), subset, where)
                video_id, duration = _json_clip(youtube, entry, annotation.get("segment"), where)
            except AnnotationError as error:
                reading.mistake(given, error)
                continue
            clips.add(video_id, label, subset, duration, where)
    return clips.annotations()


@dataclass(slots=True)
class _Clips:
    """The clips so far, and where each was found."""

    reading: Reading
    videos: list[AnnotatedVideo] = field(default_factory=list)
    found: dict[str, tuple[str, str | None, str]] = field(default_factory=dict)
    known: frozenset[str] | None = field(init=False)

    def __post_init__(self) -> None:
        listed = self.reading.classes
        self.known = None if listed is None else frozenset(listed.names)

    def add(
        self, video_id: str, label: str | None, subset: str, duration: float, where: str
    ) -> None:
        """Add a clip; faults are raised or noted."""
        if video_id in self.found:
            before, other_label, other_subset = self.found[video_id]
            if (label, subset) == (other_label, other_subset):
                problem = f"the clip is at {before} and again at {where}: kept once"
                self.reading.problems.append(Problem(video_id, problem, (Fault.TWICE,)))
                return
            error = AnnotationError(
                f"{where}: clip {video_id} is also at {before}, with another label or split; "
                "remove one"
            )
            self.reading.mistake(video_id, error)
            return
        self.found[video_id] = where, label, subset
        activities = ()
        if label is not None:
            # Half a million clips: searching the list of classes for each would take long.
            if self.known is None or label in self.known:
                self.reading.used.add(label)
            else:
                label = self.reading.label(label, video_id, where)
            activities = (Activity(label, 0.0, duration),)
        self.videos.append(
            self.reading.video(video_id, subset=subset, duration=duration, activities=activities)
        )

    def annotations(self) -> Annotations:
        """All clips; classes are sorted by name if none are listed."""
        return self.reading.annotations(self.videos)


def _entries(content: Mapping[str, Any]) -> Mapping[str, Any]:
    database = content.get("database")
    return database if isinstance(database, dict) else content


def _opens(path: Path) -> bool:
    """Whether a file begins with Kinetics' columns; only its beginning is read."""
    if not path.is_file():  # reading a pipe would block
        return False
    with path.open("rb") as file:
        return _is_csv(header_of(file.read(1000).decode("utf-8-sig", "replace")))


def _json_clip(
    youtube: str, entry: Mapping[str, Any], segment: object, where: str
) -> tuple[str, float]:
    """A clip's id, and its duration in seconds."""
    if cut := _CUT_ID.fullmatch(youtube):
        start, end = _cut(cut[1], cut[2], where)
        return youtube, end - start
    if isinstance(segment, list) and len(segment) == 2:
        start, end = _cut(segment[0], segment[1], where)
        return _clip_id(youtube, start, end), end - start
    if segment is None and "duration" in entry:
        # Test clips may not say where they were cut out.
        duration = parse_number(entry["duration"], f"{where}, duration")
        if duration > 0:
            return youtube, duration
    raise AnnotationError(f"{where}: {brief(segment)} is not a segment [start, end]; give seconds")


def _clip_id(youtube: str, start: float, end: float) -> str:
    return f"{youtube}_{int(start):06d}_{int(end):06d}"


def _cut(given_start: object, given_end: object, where: str) -> tuple[float, float]:
    """Start and end in seconds at which the clip was cut out of the whole video."""
    start, end = (
        parse_number(given_start, f"{where}, start"),
        parse_number(given_end, f"{where}, end"),
    )
    for name, value in (("start", start), ("end", end)):
        if not 0 <= value < 10**6:
            raise AnnotationError(
                f"{where}, {name}: {value:g} is not a time in a video; "
                "give seconds from 0 to 999999"
            )
    if end <= start:
        fix = "swap them" if end < start else "a clip must have a length"
        raise AnnotationError(
            f"{where}: the end ({end:g}) is not after the start ({start:g}); {fix}"
        )
    return start, end


def _subset(given: object, where: str) -> str:
    name = parse_name(given, "split", where).lower()
    if name not in _SUBSETS:
        raise AnnotationError(
            f"{where}: {brief(given)} is not a split; name train, validate (val) or test"
        )
    return _SUBSETS[name]


def _label(given: object, subset: str, where: str) -> str | None:
    """The class name; the test split is also published without labels."""
    if given is None and subset == "testing":
        return None
    if given is None:
        raise AnnotationError(
            f"{where}: the clip has no label; only clips of the test split may lack one"
        )
    return parse_name(given, "label", where)


def _recognizes(given: Given) -> bool:
    if given.is_folder:
        return bool(_find_files(given.path))
    return _is_csv(given.header) or _is_json(given.content)


def _read(given: Given, reading: Reading) -> Annotations:
    if given.is_folder:
        files = _find_files(given.path)
        return _from_files(files, with_classes(reading, _find_classes(files)))
    if given.content:
        return _from_json({given.path: given.content}, reading)
    return _from_csvs({given.path: given.text}, reading)


READER = Reader("Kinetics", _recognizes, _read)
