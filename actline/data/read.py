"""Reading annotations of any known form, told by their content."""

from pathlib import Path

from actline.data import activitynet, charades, table
from actline.data.annotations import Annotations
from actline.data.classes import ClassNames, parse_classes
from actline.data.raw import Reading, parse_json, read_text
from actline.data.rows import header_of
from actline.errors import AnnotationError

ANNOTATIONS_FILES = ("annotations.json", "annotations.csv")
CLASSES_FILE = "classes.txt"


def read_annotations(
    path: str | Path, *, classes: str | Path | None = None, strict: bool = True
) -> Annotations:
    """Read annotations, whatever their form.

    What published files are known to contain (activities beyond their video's end, or that end
    before they start) is put right, and told in `Annotations.problems`.

    Args:
        path: Charades' CSV (or the folder that holds both), `charades.json`, ActivityNet-style
            JSON, a CSV `video,label,start,end`, or a folder with one of these as
            `annotations.json` or `annotations.csv` and perhaps `classes.txt`.
        classes: a file of class names, one a line, in the order of the model's outputs; for
            Charades, `Charades_v1_classes.txt`. By default the one beside, in a folder.
        strict: False goes on after malformed entries and unknown classes too, and tells them in
            `problems`: for `actline data check`, which is to show them all. Classes that are not
            listed then come after those that are.

    Raises:
        AnnotationError: the file is missing, malformed, of no known form or without videos.
    """
    path = Path(path)
    listed = None if classes is None else read_classes(classes)
    annotations = (
        _read_folder(path, listed, strict=strict)
        if path.is_dir()
        else _read_file(path, listed, strict=strict)
    )
    if not annotations.videos:
        raise AnnotationError(f"{path} names no videos; give a file with annotations")
    return annotations


def read_classes(path: str | Path) -> ClassNames:
    """Read class names, one a line, or as Charades' `c000 Name`.

    Raises:
        AnnotationError: the file is missing, empty, not UTF-8, or has a class twice.
    """
    return parse_classes(read_text(Path(path), what="classes"), Path(path))


def find_classes(folder: Path) -> Path | None:
    """The file of class names in a data set's folder, if there is one."""
    for name in (CLASSES_FILE, charades.CLASSES_FILE):
        if (folder / name).is_file():
            return folder / name
    return None


def _read_file(path: Path, classes: ClassNames | None, *, strict: bool) -> Annotations:
    text = read_text(path)
    if text.lstrip()[:1] in ("{", "["):
        return _read_json(text, path, Reading(classes, strict))
    if set(charades.CSV_COLUMNS) <= set(header_of(text)):
        subset = charades.CSV_SUBSETS.get(path.name, "training")
        return _read_charades({path: text}, {path: subset}, classes, strict=strict)
    return table.from_table(text, path, Reading(classes, strict))


def _read_json(text: str, path: Path, reading: Reading) -> Annotations:
    content = parse_json(text, path)
    if isinstance(content, dict) and "results" in content and "database" not in content:
        raise AnnotationError(
            f"{path} holds predictions, not annotations; give the file they are compared with"
        )
    if isinstance(content, dict) and not content:
        raise AnnotationError(f"{path} names no videos; give a file with annotations")
    if isinstance(content, dict) and activitynet.is_json(content):
        return activitynet.from_json(content, path, reading)
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
        texts = {path: read_text(path) for path in subsets}
        return _read_charades(texts, subsets, classes, strict=strict)
    for name in ANNOTATIONS_FILES:
        if name in present:
            beside = find_classes(folder)
            if classes is None and beside is not None:
                classes = read_classes(beside)
            return _read_file(folder / name, classes, strict=strict)
    raise AnnotationError(
        f"{folder} holds neither {', '.join(ANNOTATIONS_FILES)} nor Charades' CSVs; "
        "add one, or name the file itself"
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
