"""Proposals: segments that may hold an activity of any class, and files that hold them."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actline.errors import AnnotationError, PredictionError
from actline.files import walk
from actline.parsing import annotated_id, parse_number
from actline.stored.text import read_text
from actline.timeline.intervals import clip
from actline.timeline.read import read_segments

# Of a table, as TCANet's authors name them.
COLUMNS, MATCHED = ("xmin", "xmax", "score"), ("gt_xmin", "gt_xmax")


@dataclass(frozen=True, eq=False)
class Proposals:
    """Segments of one video, by falling score, or as a file has them where that is asked for.

    Shape:
        start, end: (N,) seconds, float64; score: (N,); matched: (N, 2) seconds, the activity that
            their maker matched each with, or None; label: (N,) places in `names`, or None for
            proposals that may be of any class.
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    score: NDArray[np.float64]
    matched: NDArray[np.float64] | None = None
    label: NDArray[np.intp] | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.start)

    def best(self, count: int) -> "Proposals":
        """The first `count`."""
        return self.taken(slice(count))

    def taken(self, which: slice | NDArray[np.intp]) -> "Proposals":
        """Some of them, in the order in which they are named."""
        matched = None if self.matched is None else self.matched[which]
        label = None if self.label is None else self.label[which]
        start, end, score = self.start[which], self.end[which], self.score[which]
        return Proposals(start, end, score, matched, label, self.names)


def read_proposals(
    path: str | Path, *, matched: bool = False, in_file_order: bool = False
) -> dict[str, Proposals]:
    """Read proposals by video: a results JSON, a folder of them, or a folder of CSV files.

    A CSV file ID.csv has the columns `xmin`, `xmax` (seconds) and `score`, as TCANet's authors'
    proposals; folders in the folder are searched as well. In a folder of `actline detect`, where
    ID.csv is another table, ID.json is read. Equal segments are kept once.

    Args:
        matched: read `gt_xmin` and `gt_xmax` too, where a table has them: the activity that its
            maker matched each proposal with.
        in_file_order: leave them in the file's order, equal ones too, in place of by score.

    Raises:
        PredictionError: missing, malformed or too large; a number that is not finite; a segment
            that does not end after its start; no proposal at all.
    """
    path = Path(path)
    names = (Path(folder, name) for folder, _, files in walk(path) for name in files)
    tables = [one for one in sorted(names) if one.suffix == ".csv"]
    tables = [table for table in tables if not table.with_suffix(".json").exists()]
    found: dict[str, Proposals] = {}
    for table in tables:
        if table.stem in found:
            raise PredictionError(f"{table}: video {table.stem} is in another file too; keep one")
        found[table.stem] = _ordered(_table(table, matched), f"{table}", in_file_order)
    if not tables:
        for video, segments in read_segments(path, labelled=False).items():
            given = np.stack([segments.start, segments.end, segments.confidence], axis=1)
            found[video] = _ordered(given, f"{path}, {video}", in_file_order)
    if not any(len(proposals) for proposals in found.values()):
        raise PredictionError(f"{path} holds no proposals; make them with another method first")
    return found


def proposals_of(video: str, found: Mapping[str, Proposals], *, duration: float) -> Proposals:
    """A video's proposals, cut at its ends; those outside of it are left out.

    None are empty, and those that are equal once cut are kept once.

    The id may have "v_" before it on one side and not on the other.
    """
    known = annotated_id(video, found)
    if known is None:
        return Proposals(np.empty(0), np.empty(0), np.empty(0))
    given = found[known]
    start, end = clip(given.start, given.end, last=duration)
    cut = replace(given, start=start, end=end)
    return _each_once(cut.taken(np.flatnonzero(end > start)))


def _ordered(rows: NDArray[np.float64], where: str, in_file_order: bool) -> Proposals:
    """Of a file's rows, by falling score and each segment once, or as they stand.

    Shape:
        rows: (N, 3) of start, end, score, or (N, 5) with the matched activity's start and end.
    """
    backward = np.flatnonzero(rows[:, 1] <= rows[:, 0])
    if len(backward):
        start, end = rows[backward[0], :2]
        raise PredictionError(
            f"{where}, proposal {backward[0] + 1}: the end ({end:g} s) is not after the start "
            f"({start:g} s); swap them or take it out"
        )
    start, end, score = rows[:, :3].T
    given = Proposals(start, end, score, rows[:, 3:] if rows.shape[1] > len(COLUMNS) else None)
    if in_file_order:
        return given
    return _each_once(given.taken(np.argsort(-score, kind="stable")))


def _each_once(given: Proposals) -> Proposals:
    """Of equal segments the first."""
    _, first = np.unique(np.stack([given.start, given.end]), axis=1, return_index=True)
    return given.taken(np.sort(first))


def _table(path: Path, matched: bool) -> NDArray[np.float64]:
    """The rows of one video's file: (N, 3) or, with what each was matched with, (N, 5)."""
    try:
        names, *rows = _rows(path, matched)
        return np.array(rows, np.float64).reshape(-1, len(names))
    except AnnotationError as error:
        raise PredictionError(str(error)) from error
    except csv.Error as error:
        raise PredictionError(f"{path} is not a table of numbers ({error})") from error


def _rows(path: Path, matched: bool) -> Iterator[Sequence[Any]]:
    """The names of the columns, then the numbers of every line in them."""
    text = read_text(path, error=PredictionError, what="proposals", mib="table_mib")
    reader = csv.DictReader(text.splitlines())
    given = set(reader.fieldnames or ())
    if not set(COLUMNS) <= given:
        raise PredictionError(f"{path} lacks one of the columns {', '.join(COLUMNS)}; add it")
    names = (*COLUMNS, *MATCHED) if matched and set(MATCHED) <= given else COLUMNS
    yield names
    for row in reader:
        yield [parse_number(row[name], f"{path}, line {reader.line_num}, {name}") for name in names]
