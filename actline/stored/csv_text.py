"""The rows of a CSV, with the line they are on, and text in it that spreadsheets must not run."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from actline.errors import AnnotationError

# What segments' columns are called, ours first: by G-TAD and AFSD (`type`), TSP (`t-start`,
# `action-label`), DAPs, SST and TURN (`t-init`, `label-idx`).
_SEGMENT_COLUMNS = {
    "video": ("video", "video-name", "video-id", "filename"),
    "label": ("label", "type", "action-label", "class", "label-idx"),
    "start": ("start", "t-start", "t-init"),
    "end": ("end", "t-end"),
    "confidence": ("confidence", "score"),
    "subset": ("subset",),
    "duration": ("duration", "video-duration"),
    "region": ("temporal-region-label",),
}

# Full-width forms too: some spreadsheets read them as the plain ones.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its cells by column, without spaces around them.

    Attributes:
        where: file and line, to start an error with.
        cells: how many the row has.
        delimiter: between cells.
    """

    where: str
    header: tuple[str, ...]
    values: tuple[str, ...]
    cells: int
    delimiter: str

    def __getitem__(self, column: str) -> str:
        """The cell in a column; empty where the row or the file has none."""
        if column not in self.header:
            return ""
        place = self.header.index(column)
        return self.values[place] if place < self.cells else ""


def header_of(text: str) -> tuple[str, ...]:
    """The column names, in small letters, of a text that may be a CSV."""
    first = next(filter(None, map(str.strip, io.StringIO(text, newline=""))), "")
    try:
        cells = next(csv.reader([first], delimiter=_delimiter(first)))
    except (csv.Error, StopIteration):
        return ()
    return tuple(cell.strip().lower() for cell in cells)


def segment_columns(header: Collection[str]) -> dict[str, str]:
    """Which column of a table of segments is its video, label, start, end, …, where it is there."""
    given = {name.replace("_", "-").replace(" ", "-"): name for name in header}
    found = {
        column: next((given[name] for name in names if name in given), None)
        for column, names in _SEGMENT_COLUMNS.items()
    }
    return {column: name for column, name in found.items() if name is not None}


def parse_rows(
    text: str | Iterable[str], path: Path, needed: Collection[str], *, stripped: bool = True
) -> Iterator[Row]:
    """Yield the rows that are not empty.

    Commas, semicolons, tabs or else spaces separate cells, as in the first line.

    Args:
        text: whole, or its lines with their ends.
        stripped: False keeps spaces around cells.

    Raises:
        AnnotationError: a column is missing or there twice, or a quotation mark is not closed.
    """
    lines = iter(io.StringIO(text, newline="") if isinstance(text, str) else text)
    empty = []
    for first in lines:
        empty.append(first)
        if first.strip():
            break
    first = empty[-1] if empty else ""
    header = header_of(first)
    for column in needed:
        if column not in header:
            raise AnnotationError(
                f"{path}: the first line must name the columns {','.join(needed)}; "
                f'"{column}" is not among {",".join(header)[:120]}'
            )
        if header.count(column) > 1:
            raise AnnotationError(f'{path}: two columns are named "{column}"; rename one')
    delimiter = _delimiter(first)
    rows = csv.reader(
        chain(empty, lines),
        delimiter=delimiter,
        skipinitialspace=stripped,
        strict=True,
    )
    begun = False
    while True:
        line = rows.line_num + 1  # a quoted cell may go over several lines: where it begins
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise AnnotationError(
                f"{path}, line {line}: {error}; is a quotation mark left open?"
            ) from error
        values = tuple(cell.strip() for cell in cells)
        if not any(values):
            continue
        values = values if stripped else tuple(cells)
        if begun:
            yield Row(f"{path}, line {line}", header, values, len(values), delimiter)
        begun = True


def _delimiter(line: str) -> str:
    delimiter = max(",;\t", key=line.count)
    return delimiter if delimiter in line or " " not in line.strip() else " "


def spreadsheet_safe(text: str) -> str:
    """`text` with a `'` before it where a spreadsheet would take it for a formula.

    A text that already looks so marked gets one more, so that `from_spreadsheet_safe`, which
    takes one away, gives back every text exactly.
    """
    return f"'{text}" if _looks_like_a_formula(text) else text


def from_spreadsheet_safe(text: str) -> str:
    """What `spreadsheet_safe` was given."""
    return text[1:] if text[:1] == "'" and _looks_like_a_formula(text) else text


def _looks_like_a_formula(text: str) -> bool:
    return text.lstrip("'").startswith(_FORMULA_STARTS)
