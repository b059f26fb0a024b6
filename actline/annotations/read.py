"""Reading annotations of any known form, told by their content."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from actline.annotations.annotations import Annotations, Problem
from actline.annotations.classes import ClassNames, parse_classes
from actline.annotations.formats import activitynet, charades, kinetics, multithumos, table, thumos
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
    """Read annotations, whatever their form.

    What published files are known to contain (activities beyond their video's end, or that end
    before they start) is put right in `AnnotatedVideo.activities`, to train on, and told in
    `Annotations.problems`; `AnnotatedVideo.truth`, to score with, is the file's as it stands.

    Args:
        path: Charades' CSV (or the folder that holds both), `charades.json`, ActivityNet-style
            JSON (ActivityNet, HACS Segments, THUMOS-14), THUMOS-14's folder, MultiTHUMOS' folder
            or `multithumos.json`, Kinetics' CSV or JSON (or the folder that holds all), a CSV
            `video,label,start,end`, a table of G-TAD, AFSD, TSP or DAPs, or a folder with one of
            these as `annotations.json` or `annotations.csv` and perhaps `classes.txt`.
        classes: a file of class names, one a line, in the order of the model's outputs; for
            Charades, `Charades_v1_classes.txt`. By default the one beside, in a folder.
        strict: False goes on after malformed entries and unknown classes too, and tells them in
            `problems`: for `actline data check`, which is to show them all. Classes that are not
            listed then come after those that are.
        keep_wrong: True keeps THUMOS-14's videos that are known to be falsely annotated.

    Raises:
        AnnotationError: the file is missing, malformed, of no known form or without videos.

    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp(), "annotations.csv")
    >>> _ = path.write_text("video,label,start,end\\nkitchen,wave,1.0,0:02.5\\n")
    >>> annotations = read_annotations(path)
    >>> annotations["kitchen"].activities
    (Activity(label='wave', start=1.0, end=2.5, confidence=1.0),)
    """
    path = Path(path)
    listed = None if classes is None else read_classes(classes)
    annotations = (
        _read_folder(path, listed, strict=strict)
        if path.is_dir()
        else _read_file(path, listed, strict=strict)
    )
    if not keep_wrong:
        annotations = thumos.without_wrong_videos(annotations)
    if not annotations.videos and annotations.problems:
        first = annotations.problems[0].what
        raise AnnotationError(f"{path} names no videos that can be used; to begin with, {first}")
    if not annotations.videos:
        raise AnnotationError(f"{path} names no videos; give a file with annotations")
    return annotations


def read_classes(path: str | Path) -> ClassNames:
    """Read class names, one a line, or as Charades' `c000 Name` or THUMOS-14's `7 Name`.

    Raises:
        AnnotationError: the file is missing, empty, not UTF-8, or has a class twice.
    """
    return parse_classes(read_text(Path(path), error=AnnotationError, what="classes"), Path(path))


def without_videos(annotations: Annotations, listed: str | Path | Sequence[str]) -> Annotations:
    """Leave out the videos that a list names, such as blocked or missing ones.

    Args:
        listed: ids, of which the annotations may lack any; or a file of them: text with an id on
            every line, or a JSON list. They may have "v_" before them or not. A line `id Class`, as
            in THUMOS-14's `test_avoid_videos.txt`, leaves out that class in that video alone, as
            the code does that the list comes with.

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
    videos, told = [], []
    for video in annotations.videos:
        avoided = classes.get(video.id.removeprefix("v_"), set())
        activities = tuple(a for a in video.activities if a.label not in avoided)
        if video.id.removeprefix("v_") in whole:
            told.append(Problem(video.id, f"is listed in {name}: left out"))
            continue
        if any(a.label in avoided for a in video.truth):
            named = ", ".join(sorted(avoided))
            told.append(Problem(video.id, f"{named}: listed in {name}: left out"))
            truth = tuple(a for a in video.truth if a.label not in avoided)
            video = replace(video, activities=activities, listed=truth)  # noqa: PLW2901
        videos.append(video)
    if not told and from_file:
        raise AnnotationError(f"{listed} lists nothing that the annotations have; check the list")
    if not videos:
        raise AnnotationError(f"{listed if from_file else name} lists all videos; leave some")
    problems = (*annotations.problems, *told)
    return replace(annotations, videos=tuple(videos), problems=problems)


def _listed(text: str, path: Path) -> tuple[set[str], dict[str, set[str]]]:
    """The videos that a list names whole, and the classes that it names in others."""
    whole: set[str] = set()
    classes: dict[str, set[str]] = {}
    lines = text.splitlines()
    if text.lstrip()[:1] in ("[", "{"):
        content = parse_json(text, path, error=AnnotationError)
        if not isinstance(content, list) or not all(isinstance(one, str) for one in content):
            raise AnnotationError(f"{path} is JSON, but no list of videos' ids; give such a list")
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


def _read_file(path: Path, classes: ClassNames | None, *, strict: bool) -> Annotations:
    text = read_text(path, error=AnnotationError, what="annotations")
    if text.lstrip()[:1] in ("{", "["):
        return _read_json(text, path, Reading(classes, strict))
    header = header_of(text)
    if set(charades.CSV_COLUMNS) <= set(header):
        subset = charades.CSV_SUBSETS.get(path.name, "training")
        return _read_charades({path: text}, {path: subset}, classes, strict=strict)
    if kinetics.is_csv(header):
        return kinetics.from_csvs({path: text}, Reading(classes, strict))
    return table.from_table(text, path, Reading(classes, strict))


def _read_json(text: str, path: Path, reading: Reading) -> Annotations:
    content = parse_json(text, path, error=AnnotationError)
    if isinstance(content, dict) and "results" in content and "database" not in content:
        raise AnnotationError(
            f"{path} holds predictions, not annotations; give the file they are compared with"
        )
    if isinstance(content, dict) and not content:
        raise AnnotationError(f"{path} names no videos; give a file with annotations")
    if isinstance(content, dict) and kinetics.is_json(content):
        return kinetics.from_json({path: content}, reading)
    if isinstance(content, dict) and activitynet.is_json(content):
        return activitynet.from_json(content, path, reading)
    if isinstance(content, dict) and multithumos.is_json(content):
        return multithumos.from_json(content, path, reading)
    if isinstance(content, dict) and charades.is_json(content):
        return charades.from_json(content, path, reading)
    raise AnnotationError(
        f"{path} holds no annotations of a known form (videos with `actions` or `annotations`)"
    )


def _read_folder(folder: Path, classes: ClassNames | None, *, strict: bool) -> Annotations:
    try:
        present = {child.name for child in folder.iterdir()}
    except OSError as error:
        raise AnnotationError(f"cannot read the folder {folder}: {error.strerror}") from error
    subsets = {folder / name: s for name, s in charades.CSV_SUBSETS.items() if name in present}
    if subsets:
        texts = {
            path: read_text(path, error=AnnotationError, what="annotations") for path in subsets
        }
        return _read_charades(texts, subsets, classes, strict=strict)
    for name in ANNOTATIONS_FILES:
        if name in present:
            beside = find_classes(folder)
            if classes is None and beside is not None:
                classes = read_classes(beside)
            return _read_file(folder / name, classes, strict=strict)
    if class_files := thumos.find_class_files(folder):
        beside = thumos.find_beside(class_files, thumos.CLASSES_FILE)
        if classes is None and beside:
            classes = read_classes(beside[0])
        return thumos.from_class_files(class_files, Reading(classes, strict))
    if class_files := multithumos.find_class_files(folder):
        beside = thumos.find_beside(class_files, multithumos.CLASSES_FILE)
        if classes is None and beside:
            classes = read_classes(beside[0])
        return multithumos.from_class_files(class_files, Reading(classes, strict))
    if files := kinetics.find_files(folder):
        beside = kinetics.find_classes(files)
        if classes is None and beside is not None:
            classes = read_classes(beside)
        return kinetics.from_files(files, Reading(classes, strict))
    raise AnnotationError(
        f"{folder} holds neither {', '.join(ANNOTATIONS_FILES)} nor Charades' or Kinetics' CSVs "
        "nor THUMOS-14's class files; add one, or name the file itself"
    )


def _read_charades(
    texts: dict[Path, str],
    subsets: dict[Path, str],
    classes: ClassNames | None,
    *,
    strict: bool,
) -> Annotations:
    if classes is None:
        folder = next(iter(texts)).parent
        if not (folder / charades.CLASSES_FILE).exists():
            raise AnnotationError(
                f"{folder} has no {charades.CLASSES_FILE}, which names the classes of Charades' "
                "CSVs; put it there, or give it as the classes"
            )
        classes = read_classes(folder / charades.CLASSES_FILE)
    return charades.from_csvs(texts, subsets, Reading(classes, strict))
