"""Proposals: segments that may hold an activity of any class, and files that hold them."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actline.data.raw import number, read_text
from actline.data.segment_results import annotated_id, read_segments
from actline.errors import AnnotationError, PredictionError

# A million proposals of one video; text takes several times its size while it is read.
MAX_TABLE_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Proposals:
    """Segments of one video, by falling score.

    Shape:
        start, end: (N,) seconds, float64; score: (N,).
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.start)

    def best(self, count: int) -> "Proposals":
        """The first `count`."""
        return Proposals(self.start[:count], self.end[:count], self.score[:count])


def read_proposals(path: str | Path) -> dict[str, Proposals]:
    """Read proposals by video: a results JSON, a folder of them, or a folder of CSV files.

    A CSV file ID.csv has the columns `xmin`, `xmax` (seconds) and `score`, as TCANet's authors'
    proposals; folders in the folder are searched as well. In a folder of `actline detect`, where
    ID.csv is another table, ID.json is read. Equal segments are kept once.

    Raises:
        PredictionError: missing, malformed or too large; a number that is not finite; a segment
            that does not end after its start; no proposal at all.
    """
    path = Path(path)
    tables = sorted(t for t in path.rglob("*.csv") if not t.with_suffix(".json").exists())
    found: dict[str, Proposals] = {}
    for table in tables:
        if table.stem in found:
            raise PredictionError(f"{table}: video {table.stem} is in another file too; keep one")
        found[table.stem] = _ordered(_table(table), f"{table}")
    if not tables:
        for video, segments in read_segments(path, labelled=False).items():
            rows = [(one.start, one.end, one.confidence) for one in segments]
            found[video] = _ordered(np.array(rows, np.float64).reshape(-1, 3), f"{path}, {video}")
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
    start, end = given.start.clip(0, duration), given.end.clip(0, duration)
    inside = end > start
    return _each_once(np.stack([start, end, given.score], axis=1)[inside])


def _ordered(rows: NDArray[np.float64], where: str) -> Proposals:
    """By falling score, each segment once: (N, 3) of start, end, score."""
    backward = np.flatnonzero(rows[:, 1] <= rows[:, 0])
    if len(backward):
        start, end, _ = rows[backward[0]]
        raise PredictionError(
            f"{where}, proposal {backward[0] + 1}: the end ({end:g} s) is not after the start "
            f"({start:g} s); swap them or take it out"
        )
    return _each_once(rows[np.argsort(-rows[:, 2], kind="stable")])


def _each_once(rows: NDArray[np.float64]) -> Proposals:
    """Of equal segments the first: (N, 3) of start, end, score."""
    _, first = np.unique(rows[:, :2], axis=0, return_index=True)
    start, end, score = rows[np.sort(first)].T
    return Proposals(start, end, score)


def _table(path: Path) -> NDArray[np.float64]:
    """The rows of one video's file: (N, 3) of start, end, score."""
    try:
        size = path.stat().st_size if path.is_file() else 0
        if size > MAX_TABLE_BYTES:
            raise PredictionError(
                f"{path} has {size >> 20} MiB, and one video's proposals need no more than "
                f"{MAX_TABLE_BYTES >> 20}; keep fewer of them"
            )
        return np.array(list(_rows(path)), np.float64).reshape(-1, 3)
    except AnnotationError as error:
        raise PredictionError(str(error)) from error
    except csv.Error as error:
        raise PredictionError(f"{path} is not a table of numbers ({error})") from error


def _rows(path: Path) -> Iterator[list[float]]:
    """The numbers of every line: start, end, score."""
    reader = csv.DictReader(read_text(path, what="proposals").splitlines())
    names = ("xmin", "xmax", "score")
    if not set(names) <= set(reader.fieldnames or ()):
        raise PredictionError(f"{path} lacks one of the columns {', '.join(names)}; add it")
    for row in reader:
        yield [number(row[name], f"{path}, line {reader.line_num}, {name}") for name in names]
