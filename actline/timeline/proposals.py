"""Proposals: class-agnostic segments that may contain an activity, and files of them."""

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

# Columns of a table, as named by TCANet's authors.
COLUMNS, MATCHED = ("xmin", "xmax", "score"), ("gt_xmin", "gt_xmax")


@dataclass(frozen=True, eq=False)
class Proposals:
    """Proposals of one video, by descending score, or in a file's order if requested.

    Shape:
        start, end: (N,) seconds, float64; score: (N,); matched: (N, 2) seconds, the activity with
            which the file matches each, or None; label: (N,) indices into `names`, or None for
            class-agnostic proposals.
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
        """A selection of them, in the given order."""
        matched = None if self.matched is None else self.matched[which]
        label = None if self.label is None else self.label[which]
        start, end, score = self.start[which], self.end[which], self.score[which]
        return Proposals(start, end, score, matched, label, self.names)


def read_proposals(
    path: str | Path, *, matched: bool = False, in_file_order: bool = False
) -> dict[str, Proposals]:
    """Read proposals by video: a results JSON, a folder of them, or a folder of CSV files.

    A CSV file ID.csv has the columns `xmin`, `xmax` (seconds) and `score`, as in the proposals of
    TCANet's authors; subfolders are searched as well. In a folder of `actline detect`, where ID.csv
    is a different table, ID.json is read. Duplicate segments are removed.

    Args:
        matched: also read `gt_xmin` and `gt_xmax`, if a table has them: the activity with which the
            table matches each proposal.
        in_file_order: keep the file's order and duplicates, instead of sorting by score.

    Raises:
        PredictionError: the file is missing, malformed or too large; a number is not finite; a
            segment does not end after its start; there are no proposals.
    """
    path = Path(path)
    names = (Path(folder, name) for folder, _, files in walk(path) for name in files)
    tables = [one for one in sorted(names) if one.suffix == ".csv"]
    tables = [table for table in tables if not table.with_suffix(".json").exists()]
    found: dict[str, Proposals] = {}
    for table in tables:
        if table.stem in found:
            raise PredictionError(f"{table}: video {table.stem} is also in another file; keep one")
        found[table.stem] = _ordered(_table(table, matched), f"{table}", in_file_order)
    if not tables:
        for video, segments in read_segments(path, labelled=False).items():
            given = np.stack([segments.start, segments.end, segments.confidence], axis=1)
            found[video] = _ordered(given, f"{path}, {video}", in_file_order)
    if not any(len(proposals) for proposals in found.values()):
        raise PredictionError(f"{path} holds no proposals; make them with another method first")
    return found


def proposals_of(video: str, found: Mapping[str, Proposals], *, duration: float) -> Proposals:
    """A video's proposals, cut to the video; those outside it are left out.

    None are empty, and duplicates after cutting are removed.

    The id may have the prefix "v_" in one place and not in the other.
    """
    known = annotated_id(video, found)
    if known is None:
        return Proposals(np.empty(0), np.empty(0), np.empty(0))
    given = found[known]
    start, end = clip(given.start, given.end, last=duration)
    cut = replace(given, start=start, end=end)
    return _each_once(cut.taken(np.flatnonzero(end > start)))


def _ordered(rows: NDArray[np.float64], where: str, in_file_order: bool) -> Proposals:
    """The proposals of a file's rows, by descending score without duplicates, or unchanged.

    Shape:
        rows: (N, 3) of start, end, score, or (N, 5) with the matched activity's start and end.
    """
    backward = np.flatnonzero(rows[:, 1] <= rows[:, 0])
    if len(backward):
        start, end = rows[backward[0], :2]
        raise PredictionError(
            f"{where}, proposal {backward[0] + 1}: the end ({end:g} s) is not after the start "
            f"({start:g} s); swap them or remove it"
        )
    start, end, score = rows[:, :3].T
    given = Proposals(start, end, score, rows[:, 3:] if rows.shape[1] > len(COLUMNS) else None)
    if in_file_order:
        return given
    return _each_once(given.taken(np.argsort(-score, kind="stable")))


def _each_once(given: Proposals) -> Proposals:
    """Keep the first of equal segments."""
    _, first = np.unique(np.stack([given.start, given.end]), axis=1, return_index=True)
    return given.taken(np.sort(first))


def _table(path: Path, matched: bool) -> NDArray[np.float64]:
    """The rows of one video's file: (N, 3), or (N, 5) with the matched activities."""
    try:
        names, *rows = _rows(path, matched)
        return np.array(rows, np.float64).reshape(-1, len(names))
    except AnnotationError as error:
        raise PredictionError(str(error)) from error
    except csv.Error as error:
        raise PredictionError(f"{path} is not a table of numbers ({error})") from error


def _rows(path: Path, matched: bool) -> Iterator[Sequence[Any]]:
    """The column names, then the numbers of every line."""
    text = read_text(path, error=PredictionError, what="proposals", mib="table_mib")
    reader = csv.DictReader(text.splitlines())
    given = set(reader.fieldnames or ())
    if not set(COLUMNS) <= given:
        raise PredictionError(f"{path} lacks one of the columns {', '.join(COLUMNS)}; add it")
    names = (*COLUMNS, *MATCHED) if matched and set(MATCHED) <= given else COLUMNS
    yield names
    for row in reader:
        yield [parse_number(row[name], f"{path}, line {reader.line_num}, {name}") for name in names]
