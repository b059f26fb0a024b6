"""Reading annotations of any known form, told by their content."""

from pathlib import Path

from actline.data import activitynet, charades, table
from actline.data.annotations import Annotations
from actline.data.raw import read_json, read_text
from actline.errors import AnnotationError


def read_annotations(path: str | Path, *, classes: str | Path | None = None) -> Annotations:
    """Read annotations, whatever their form.

    Args:
        path: Charades' CSV (or the folder that holds both), `charades.json`, ActivityNet-style
            JSON, a CSV `video,label,start,end`, or a folder with one of these as
            `annotations.json` or `annotations.csv` and perhaps `classes.txt`.
        classes: a file of class names, one a line, in the order of the model's outputs; for
            Charades, `Charades_v1_classes.txt`.

    Raises:
        AnnotationError: the file is missing, malformed or of no known form.
    """
    path = Path(path)
    classes = Path(classes) if classes is not None else None
    if path.is_dir():
        return _read_folder(path, classes)
    if path.suffix.lower() == ".csv":
        if read_text(path).splitlines()[0].startswith("id,subject,scene"):
            subset = charades.CSV_SUBSETS.get(path.name, "training")
            names = classes or path.parent / charades.CLASSES_FILE
            return _some(charades.read_csvs({path: subset}, names), path)
        return table.read_table(path, _names(classes))
    content = read_json(path)
    if charades.is_charades_json(content):
        return _some(charades.from_json(content, path, _names(classes)), path)
    if activitynet.is_activitynet_json(content):
        return _some(activitynet.from_json(content, path, _names(classes)), path)
    raise AnnotationError(
        f"{path} holds no annotations of a known form (videos with `actions` or `annotations`)"
    )


def _read_folder(folder: Path, classes: Path | None) -> Annotations:
    try:
        present = {child.name for child in folder.iterdir()}
    except OSError as error:
        raise AnnotationError(f"cannot read the folder {folder}: {error.strerror}") from error
    official = {
        folder / name: subset for name, subset in charades.CSV_SUBSETS.items() if name in present
    }
    if official:
        names = classes or folder / charades.CLASSES_FILE
        return _some(charades.read_csvs(official, names), folder)
    for name in ("annotations.json", "annotations.csv"):
        if name in present:
            beside = folder / "classes.txt" if "classes.txt" in present else None
            return read_annotations(folder / name, classes=classes or beside)
    raise AnnotationError(
        f"{folder} holds neither annotations.json, annotations.csv nor Charades' CSVs; add one"
    )


def _names(path: Path | None) -> list[str] | None:
    """Class names: one a line, or Charades' `c000 Name` lines."""
    if path is None:
        return None
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if all(line[:1] == "c" and line[1:4].isdigit() and line[4:5] == " " for line in lines):
        return [line[5:] for line in lines]
    return lines


def _some(annotations: Annotations, path: Path) -> Annotations:
    if not annotations.videos:
        raise AnnotationError(f"{path} names no videos; give a file with annotations")
    return annotations
