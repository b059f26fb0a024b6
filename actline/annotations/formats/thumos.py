"""THUMOS-14: one text file per class, as published, and known facts about its videos."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from actline.annotations.annotations import AnnotatedVideo, Annotations, Fault, Problem
from actline.annotations.formats.reader import Given, Reader, with_classes
from actline.annotations.reading import Reading
from actline.errors import AnnotationError
from actline.parsing import brief, parse_id, parse_number, video_id_of
from actline.stored.text import read_text
from actline.timeline import Activity

CLASSES_FILE = "detclasslist.txt"
# Segments that may or may not show an action: not a class, and the official evaluation counts a
# detection on one as neither correct nor wrong.
AMBIGUOUS = "Ambiguous"
# G-TAD, VSGN and OpenTAD leave it out, the official toolkit does not: a video of 176 s with actions
# annotated up to 714 s.
WRONG_VIDEOS = frozenset({"video_test_0000270"})
# From detclasslist.txt: the class numbers used in submissions to the challenge.
NUMBERS = {
    7: "BaseballPitch",
    9: "BasketballDunk",
    12: "Billiards",
    21: "CleanAndJerk",
    22: "CliffDiving",
    23: "CricketBowling",
    24: "CricketShot",
    26: "Diving",
    31: "FrisbeeCatch",
    33: "GolfSwing",
    36: "HammerThrow",
    40: "HighJump",
    45: "JavelinThrow",
    51: "LongJump",
    68: "PoleVault",
    79: "Shotput",
    85: "SoccerPenalty",
    92: "TennisSwing",
    93: "ThrowDiscus",
    97: "VolleyballSpiking",
}
CLASSES = frozenset(NUMBERS.values())

_ID = re.compile(r"video_(validation|test)_\d{7}")
_ID_SUBSETS = {"validation": "validation", "test": "testing"}
_CLASS_FILE = re.compile(r"([A-Za-z]+)_(val|test)\.txt")
_SUBSETS = {"val": "validation", "test": "testing"}


def has_ids(video_ids: Collection[str]) -> bool:
    """Whether these are THUMOS-14's videos, judged by their names; there must be at least one."""
    return bool(video_ids) and all(_ID.fullmatch(video_id) for video_id in video_ids)


def set_apart(video: AnnotatedVideo) -> AnnotatedVideo:
    """Move segments labelled `Ambiguous` from the activities to `ambiguous`."""
    listed = tuple(a for a in video.truth if a.label != AMBIGUOUS)
    activities = tuple(a for a in video.activities if a.label != AMBIGUOUS)
    return replace(
        video,
        activities=activities,
        ambiguous=tuple(a for a in video.truth if a.label == AMBIGUOUS),
        listed=None if listed == activities else listed,
    )


def subset_of_id(video_id: str) -> str | None:
    """The subset of a video, from its id; None if the id is not THUMOS-14's."""
    known = _ID.fullmatch(video_id)
    return known and _ID_SUBSETS[known[1]]


def wrong_videos(annotations: Annotations) -> tuple[str, ...]:
    """Ids of videos known to be wrongly annotated.

    Only in THUMOS-14's own annotations, not in others of its videos, such as MultiTHUMOS.
    """
    if not annotations.classes or not set(annotations.classes) <= CLASSES:
        return ()
    return tuple(video.id for video in annotations.videos if video.id in WRONG_VIDEOS)


def without_wrong_videos(annotations: Annotations) -> Annotations:
    """Leave out the videos known to be wrongly annotated, and note it in `problems`."""
    wrong = wrong_videos(annotations)
    left_out = tuple(
        Problem(video_id, "is known to be wrongly annotated: left out", (Fault.WRONG_VIDEO,))
        for video_id in wrong
    )
    kept = tuple(video for video in annotations.videos if video.id not in wrong)
    others = tuple(p for p in annotations.problems if p.video not in wrong)
    return replace(annotations, videos=kept, problems=(*others, *left_out))


def _find_class_files(folder: Path) -> tuple[Path, ...]:
    """The files `CLASS_val.txt` and `CLASS_test.txt` of a THUMOS-14 folder, if it is one.

    They are in the folder itself or at most two levels below, in folders named after annotations,
    such as `temporal_annotations_test` or `annotations/annotation`, as in the archives.

    Raises:
        AnnotationError: a folder or file cannot be read.
    """
    try:
        folders = [folder]
        for _ in range(2):
            folders += [
                child
                for parent in folders
                for child in parent.iterdir()
                if "annotation" in child.name.lower() and child.is_dir() and child not in folders
            ]
        named = [path for one in folders for path in sorted(one.iterdir())]
        # Reading a pipe of such a name would block.
        files = tuple(p for p in named if _CLASS_FILE.fullmatch(p.name) and p.is_file())
        for path in files:
            with path.open("rb") as file:
                if _ID.match(file.read(100).decode("utf-8-sig", "replace").lstrip()):
                    return files
    except OSError as error:
        raise AnnotationError(f"cannot read the folder {folder}: {error.strerror}") from error
    return ()


def find_beside(class_files: Iterable[Path], pattern: str) -> tuple[Path, ...]:
    """Files matching a glob pattern in the class files' folders and the ones above them."""
    near = {f: None for path in class_files for f in (path.parent, path.parent.parent)}
    return tuple(sorted(path for folder in near for path in folder.glob(pattern)))


def _from_class_files(paths: Sequence[Path], reading: Reading) -> Annotations:
    """Read files of lines `video start end`, in seconds, each named after its class and subset.

    Durations come from files such as `test_durations.txt` in the same folder or the one above (a
    line with the video's file name, then a line with its seconds), if present. The videos are those
    named in any file; their subsets are "validation", on which THUMOS-14 is trained, and "testing".

    Raises:
        AnnotationError: a line is malformed, or a file's class is not listed.
    """
    durations = durations_in(find_beside(paths, "*durations.txt"), reading)
    subsets: dict[str, str] = {}
    activities: dict[str, list[Activity]] = {}
    for path in paths:
        name = _CLASS_FILE.fullmatch(path.name)
        assert name is not None
        label, subset = name[1], _SUBSETS[name[2]]
        if label != AMBIGUOUS:
            label = reading.label(label, "", str(path))
        for where, line in lines_of(path):
            given, *times = line.split(maxsplit=1)
            video_id = video_id_of(given)
            try:
                video_id = parse_id(video_id, where)
                start, end = segment_in(line, where)
            except AnnotationError as error:
                reading.mistake(video_id if times else "", error)
                continue
            subsets.setdefault(video_id, subset)
            activities.setdefault(video_id, []).append(Activity(label, start, end))
    videos = tuple(
        set_apart(
            reading.video(
                video_id,
                subset=subsets[video_id],
                duration=durations.get(video_id),
                activities=activities[video_id],
            )
        )
        for video_id in sorted(activities)
    )
    return reading.annotations(videos)


def segment_in(line: str, where: str) -> tuple[float, float]:
    """Start and end of a line `video start end`."""
    parts = line.split()
    if len(parts) != 3:
        raise AnnotationError(f"{where}: {brief(line)} is not a video, a start and an end")
    return parse_number(parts[1], where), parse_number(parts[2], where)


def durations_in(paths: Iterable[Path], reading: Reading) -> dict[str, float]:
    """Durations by video, from lines that alternate between file name and seconds."""
    seconds: dict[str, float] = {}
    for path in paths:
        words = [(where, word) for where, line in lines_of(path) for word in line.split()]
        for (_, file), (where, given) in zip(words[::2], words[1::2], strict=False):
            video_id = Path(file).stem
            try:
                duration = parse_number(given, where)
                if seconds.setdefault(video_id, duration) != duration:
                    raise AnnotationError(
                        f"{where}: {video_id} lasts {duration:g} s here and "
                        f"{seconds[video_id]:g} s in another file; remove one"
                    )
            except AnnotationError as error:
                reading.mistake(video_id, error)
    return seconds


def lines_of(path: Path) -> list[tuple[str, str]]:
    """The non-empty lines, stripped of surrounding spaces, each with its place in the file."""
    text = read_text(path, error=AnnotationError, what="annotations")
    lines = enumerate(text.splitlines(), 1)
    return [(f"{path}, line {n}", line.strip()) for n, line in lines if line.strip()]


def _recognizes(given: Given) -> bool:
    return given.is_folder and bool(_find_class_files(given.path))


def _read(given: Given, reading: Reading) -> Annotations:
    files = _find_class_files(given.path)
    beside = next(iter(find_beside(files, CLASSES_FILE)), None)
    return _from_class_files(files, with_classes(reading, beside))


READER = Reader("THUMOS-14", _recognizes, _read)
