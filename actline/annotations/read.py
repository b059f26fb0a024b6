"""Reading annotations of any known format, recognized by content."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from actline.annotations.annotations import Annotations, Problem
from actline.annotations.classes import read_classes
from actline.annotations.formats import READERS, charades, thumos
from actline.annotations.formats.reader import Given, with_classes
from actline.annotations.reading import Reading
from actline.errors import AnnotationError
from actline.stored.csv_text import header_of
from actline.stored.json_text import parse_json
from actline.stored.text import read_text

ANNOTATIONS_FILES = ("annotations.json", "annotations.csv")
CLASSES_FILE = "classes.txt"


def read_annotations(
    path: str | Path,
    *,
    classes: str | Path | None = None,
    strict: bool = True,
    keep_wrong: bool = False,
) -> Annotations:
    """Read annotations of any known format.

    Known faults of published files (activities beyond the end of the video, or that end before they
    start) are corrected in `AnnotatedVideo.activities`, to train on, and reported in
    `Annotations.problems`; `AnnotatedVideo.truth`, to score with, is as in the file.

    Args:
        path: Charades' CSV (or the folder that holds both), `charades.json`, ActivityNet-style
            JSON (ActivityNet, HACS Segments, THUMOS-14), THUMOS-14's folder, MultiTHUMOS' folder
            or `multithumos.json`, Kinetics' CSV or JSON (or the folder that holds all), a CSV
            `video,label,start,end`, a table of G-TAD, AFSD, TSP or DAPs, or a folder with one of
            these as `annotations.json` or `annotations.csv` and perhaps `classes.txt`.
        classes: a file of class names, one per line, in the order of the model's outputs; for
            Charades, `Charades_v1_classes.txt`. By default the one in the same folder.
        strict: False continues after malformed entries and unknown classes too, and reports them in
            `problems`: for `actline data check`, which shows them all. Classes that are not listed
            then come after those that are.
        keep_wrong: True keeps THUMOS-14's videos that are known to be wrongly annotated.

    Raises:
        AnnotationError: the file is missing, malformed, of unknown format or without videos.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp(), "annotations.csv")
        >>> _ = path.write_text("video,label,start,end\\nkitchen,wave,1.0,0:02.5\\n")
        >>> annotations = read_annotations(path)
        >>> annotations["kitchen"].activities
        (Activity(label='wave', start=1.0, end=2.5, confidence=1.0),)
    """
    path = Path(path)
    reading = Reading(None if classes is None else read_classes(classes), strict)
    if path.is_dir():
        annotations = _read_folder(path, reading)
    else:
        annotations = _read_given(_given_file(path), reading)
    if not keep_wrong:
        annotations = thumos.without_wrong_videos(annotations)
    if not annotations.videos and annotations.problems:
        first = annotations.problems[0].what
        raise AnnotationError(f"{path} names no videos that can be used; first error: {first}")
    if not annotations.videos:
        raise AnnotationError(f"{path} names no videos; give a file with annotations")
    return annotations


def without_videos(annotations: Annotations, listed: str | Path | Sequence[str]) -> Annotations:
    """Leave out listed videos, such as blocked or missing ones.

    Args:
        listed: ids, some of which the annotations may lack; or a file of ids: text with one id per
            line, or a JSON list. The prefix "v_" is optional. A line `id Class`, as in THUMOS-14's
            `test_avoid_videos.txt`, leaves out only that class in that video, as the code that
            comes with the list does.

    Raises:
        AnnotationError: the file is malformed or names no video of the annotations; all videos are
            listed.
    """
    from_file = isinstance(listed, str | Path)
    if isinstance(listed, str | Path):
        text = read_text(Path(listed), error=AnnotationError, what="list of videos")
        whole, classes = _listed(text, Path(listed))
        name = Path(listed).name
    else:
        whole, classes = {video_id.strip().removeprefix("v_") for video_id in listed}, {}
        name = "data.without"
    videos, left_out = [], []
    for video in annotations.videos:
        avoided = classes.get(video.id.removeprefix("v_"), set())
        activities = tuple(a for a in video.activities if a.label not in avoided)
        if video.id.removeprefix("v_") in whole:
            left_out.append(Problem(video.id, f"is listed in {name}: left out"))
            continue
        if any(a.label in avoided for a in video.truth):
            named = ", ".join(sorted(avoided))
            left_out.append(Problem(video.id, f"{named}: listed in {name}: left out"))
            truth = tuple(a for a in video.truth if a.label not in avoided)
            video = replace(video, activities=activities, listed=truth)  # noqa: PLW2901
        videos.append(video)
    if not left_out and from_file:
        raise AnnotationError(f"{listed} lists nothing that the annotations have; check the list")
    if not videos:
        raise AnnotationError(f"{listed if from_file else name} lists all videos; leave some")
    problems = (*annotations.problems, *left_out)
    return replace(annotations, videos=tuple(videos), problems=problems)


def _listed(text: str, path: Path) -> tuple[set[str], dict[str, set[str]]]:
    """The videos to leave out entirely, and the classes to leave out in other videos."""
    whole: set[str] = set()
    classes: dict[str, set[str]] = {}
    lines = text.splitlines()
    if text.lstrip()[:1] in ("[", "{"):
        content = parse_json(text, path, error=AnnotationError)
        if not isinstance(content, list) or not all(isinstance(one, str) for one in content):
            raise AnnotationError(f"{path} is JSON, but not a list of video ids; give such a list")
        lines = content
    for line in filter(None, (line.strip() for line in lines)):
        video_id, *labels = line.split(maxsplit=1)
        if labels:
            classes.setdefault(video_id.removeprefix("v_"), set()).update(labels)
        else:
            whole.add(video_id.removeprefix("v_"))
    return whole, classes


def find_classes(folder: Path) -> Path | None:
    """The file of class names in a data set's folder, if there is one."""
    for name in (CLASSES_FILE, charades.CLASSES_FILE, thumos.CLASSES_FILE):
        if (folder / name).is_file():
            return folder / name
    return None


def _given_file(path: Path) -> Given:
    """A file, with the content its format is recognized by.

    Raises:
        AnnotationError: it is missing, not text, or other JSON.
    """
    text = read_text(path, error=AnnotationError, what="annotations")
    if text.lstrip()[:1] not in ("{", "["):
        return Given(path, text=text, header=header_of(text))
    content = parse_json(text, path, error=AnnotationError)
    if isinstance(content, dict) and "results" in content and "database" not in content:
        raise AnnotationError(
            f"{path} holds predictions, not annotations; give the file they are compared with"
        )
    if isinstance(content, dict) and not content:
        raise AnnotationError(f"{path} names no videos; give a file with annotations")
    if not isinstance(content, dict):
        raise _of_no_known_form(path)
    return Given(path, text=text, content=content)


def _of_no_known_form(path: Path) -> AnnotationError:
    return AnnotationError(
        f"{path} contains no annotations of a known format (videos with `actions` or `annotations`)"
    )


def _read_given(given: Given, reading: Reading) -> Annotations:
    for reader in READERS:
        if reader.recognizes(given):
            return reader.read(given, reading)
    if not given.is_folder:
        raise _of_no_known_form(given.path)
    raise AnnotationError(
        f"{given.path} holds neither {', '.join(ANNOTATIONS_FILES)} nor Charades' or Kinetics' "
        "CSVs nor THUMOS-14's class files; add one, or name the file itself"
    )


def _read_folder(folder: Path, reading: Reading) -> Annotations:
    try:
        present = {child.name for child in folder.iterdir()}
    except OSError as error:
        raise AnnotationError(f"cannot read the folder {folder}: {error.strerror}") from error
    # Charades' own files take precedence over one converted from them.
    own = next((name for name in ANNOTATIONS_FILES if name in present), None)
    if own is None or not present.isdisjoint(charades.CSV_SUBSETS):
        return _read_given(Given(folder, is_folder=True), reading)
    return _read_given(_given_file(folder / own), with_classes(reading, find_classes(folder)))
