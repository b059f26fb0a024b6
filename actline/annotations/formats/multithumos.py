"""MultiTHUMOS: 65 classes on THUMOS-14's videos, as one text file per class or as JSON."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from actline.annotations.annotations import Annotations
from actline.annotations.classes import ClassNames
from actline.annotations.formats import charades, thumos
from actline.annotations.formats.reader import Given, Reader, with_classes
from actline.annotations.reading import Reading
from actline.errors import AnnotationError
from actline.parsing import brief
from actline.timeline import Activity

CLASSES_FILE = "class_list.txt"
# As in class_list.txt: THUMOS-14's classes come first. The JSON form numbers them from 1.
CLASSES = (
    "BaseballPitch",
    "BasketballDunk",
    "Billiards",
    "CleanAndJerk",
    "CliffDiving",
    "CricketBowling",
    "CricketShot",
    "Diving",
    "FrisbeeCatch",
    "GolfSwing",
    "HammerThrow",
    "HighJump",
    "JavelinThrow",
    "LongJump",
    "PoleVault",
    "Shotput",
    "SoccerPenalty",
    "TennisSwing",
    "ThrowDiscus",
    "VolleyballSpiking",
    "Walk",
    "Sit",
    "StandUp",
    "Stand",
    "Run",
    "Jump",
    "Fall",
    "PickUp",
    "Hug",
    "PatPerson",
    "HighFive",
    "FistPump",
    "ClapHands",
    "OneRaisedArmCelebrate",
    "TwoRaisedArmCelebrate",
    "Throw",
    "Drop",
    "OneHandedCatch",
    "TwoHandedCatch",
    "BodyRoll",
    "BodyTurn",
    "BodyBend",
    "BodyContract",
    "Squat",
    "BasketballDribble",
    "BasketballPass",
    "BasketballBlock",
    "BasketballShot",
    "BasketballGuard",
    "VolleyballSet",
    "VolleyballBump",
    "VolleyballBlock",
    "VolleyballServe",
    "WeightliftingClean",
    "WeightliftingJerk",
    "HammerThrowWindUp",
    "HammerThrowSpin",
    "HammerThrowRelease",
    "PoleVaultPlantPole",
    "ShotPutBend",
    "DiscusWindUp",
    "DiscusRelease",
    "TalkToCamera",
    "CloseUpTalkToCamera",
    "NoHuman",
)

_LINE = re.compile(r"(video_(validation|test)_\d{7})\s+(\S+)\s+(\S+)")
_SUBSETS = {"validation": "validation", "test": "testing"}


def _is_json(content: Mapping[str, Any]) -> bool:
    """Whether JSON of Charades' form is the published MultiTHUMOS, whose classes count from 1.

    Not so for THUMOS-14's 20 classes alone, or a file that we wrote, which counts from 0.
    """
    if not thumos.has_ids(content):
        return False
    numbers = {
        action[0]
        for entry in content.values()
        if isinstance(entry, dict) and isinstance(entry.get("actions"), list)
        for action in entry["actions"]
        if isinstance(action, list) and action and isinstance(action[0], int)
    }
    return bool(numbers) and min(numbers) > 0 and max(numbers) > len(thumos.CLASSES)


def _from_json(content: Mapping[str, Any], path: Path, reading: Reading) -> Annotations:
    """Read the JSON of the published per-frame code, in which class 1 is the first listed.

    Raises:
        AnnotationError: an entry is malformed or names a class that is not listed.
    """
    listed = reading.classes or _published()
    if listed.numbers == {index: index for index in range(len(listed.names))}:
        # A list of names alone does not say that the file's numbers count from 1.
        listed = replace(listed, numbers={n + 1: index for n, index in listed.numbers.items()})
    return charades.read_charades_json(content, path, replace(reading, classes=listed))


def _find_class_files(folder: Path) -> tuple[Path, ...]:
    """The files `CLASS.txt` of a MultiTHUMOS folder; empty for any other folder.

    They are in the folder itself or in a subfolder named `annotations`, as in the archive.

    Raises:
        AnnotationError: a folder or file cannot be read.
    """
    try:
        below = [o for o in folder.iterdir() if "annotation" in o.name.lower() and o.is_dir()]
        for one in (folder, *sorted(below)):
            texts = [path for path in sorted(one.glob("*.txt")) if path.stem.isalpha()]
            opening = {path for path in texts if _opens(path)}
            if opening:
                # An empty or malformed one is reported when it is read.
                return tuple(p for p in texts if p in opening or p.stem in CLASSES)
    except OSError as error:
        raise AnnotationError(f"cannot read the folder {folder}: {error.strerror}") from error
    return ()


def _from_class_files(paths: Sequence[Path], reading: Reading) -> Annotations:
    """Read files of lines `video start end`, in seconds, each named after its class.

    Classes are in the published order if none are listed. Subsets are THUMOS-14's: "validation",
    which is trained on, and "testing". Durations are THUMOS-14's too, from files such as
    `test_durations.txt` in the same folder or the one above, if present.

    Raises:
        AnnotationError: a line is malformed, or a file's class is not listed.
    """
    reading = replace(reading, classes=reading.classes or _published())
    durations = thumos.durations_in(thumos.find_beside(paths, "*durations.txt"), reading)
    subsets: dict[str, str] = {}
    activities: dict[str, list[Activity]] = {}
    for path in paths:
        label = reading.label(path.stem, "", str(path))
        for where, line in thumos.lines_of(path):
            match = _LINE.fullmatch(line)
            try:
                if match is None:
                    raise AnnotationError(
                        f"{where}: {brief(line)} is not a video such as video_test_0000004, a "
                        "start and an end"
                    )
                start, end = thumos.segment_in(line, where)
            except AnnotationError as error:
                reading.mistake("" if match is None else match[1], error)
                continue
            subsets[match[1]] = _SUBSETS[match[2]]
            activities.setdefault(match[1], []).append(Activity(label, start, end))
    videos = tuple(
        reading.video(
            video_id,
            subset=subsets[video_id],
            duration=durations.get(video_id),
            activities=activities[video_id],
        )
        for video_id in sorted(activities)
    )
    return reading.annotations(videos)


def _published() -> ClassNames:
    numbers = {index + 1: index for index in range(len(CLASSES))}
    return ClassNames(CLASSES, numbers, f"MultiTHUMOS' {CLASSES_FILE}")


def _opens(path: Path) -> bool:
    """Whether a file begins with a line `video start end`."""
    if not path.is_file():  # reading a pipe would block
        return False
    with path.open("rb") as file:
        text = file.read(200).decode("utf-8-sig", "replace")
    return bool(_LINE.match(text.lstrip()))


def _recognizes(given: Given) -> bool:
    if given.is_folder:
        return bool(_find_class_files(given.path))
    return _is_json(given.content)


def _read(given: Given, reading: Reading) -> Annotations:
    if not given.is_folder:
        return _from_json(given.content, given.path, reading)
    files = _find_class_files(given.path)
    beside = next(iter(thumos.find_beside(files, CLASSES_FILE)), None)
    return _from_class_files(files, with_classes(reading, beside))


READER = Reader("MultiTHUMOS", _recognizes, _read)
