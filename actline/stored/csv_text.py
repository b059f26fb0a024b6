"""CSV rows with their line numbers, and escaping of text that a spreadsheet would run."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from actline.errors import AnnotationError

# Names of the columns of segments, ours first, then those of G-TAD and AFSD (`type`), TSP
# (`t-start`, `action-label`), DAPs, SST and TURN (`t-init`, `label-idx`).
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

# Full-width forms too: some spreadsheets treat them as the plain ones.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True, slots=True)
class Row:
    """One row, with its cells by column, stripped of surrounding spaces.

    Attributes:
        where: file and line, for the start of an error.
        cells: number of cells in the row.
        delimiter: character between cells.
    """

    where: str
    header: tuple[str, ...]
    values: tuple[str, ...]
    cells: int
    delimiter: str

    def __getitem__(self, column: str) -> str:
        """The cell in a column; empty if the row or the file does not have it."""
        if column not in self.header:
            return ""
        place = self.header.index(column)
        return self.values[place] if place < self.cells else ""


def header_of(text: str) -> tuple[str, ...]:
    """The column names, in lower case, of a text that may be a CSV."""
    first = next(filter(None, map(str.strip, io.StringIO(text, newline=""))), "")
    try:
        cells = next(csv.reader([first], delimiter=_delimiter(first)))
    except (csv.Error, StopIteration):
        return ()
    return tuple(cell.strip().lower() for cell in cells)


def segment_columns(header: Collection[str]) -> dict[str, str]:
    """Which columns of a table of segments hold its video, label, start, end, …, if present."""
    given = {name.replace("_", "-").replace(" ", "-"): name for name in header}
    found = {
        column: next((given[name] for name in names if name in given), None)
        for column, names in _SEGMENT_COLUMNS.items()
    }
    return {column: name for column, name in found.items() if name is not None}


def parse_rows(
    text: str | Iterable[str], path: Path, needed: Collection[str], *, stripped: bool = True
) -> Iterator[Row]:
    """Yield the non-empty rows.

    Cells are separated by commas, semicolons, tabs or else spaces, as in the first line.

    Args:
        text: the whole text, or its lines with their line ends.
        stripped: False keeps spaces around cells.

    Raises:
        AnnotationError: a column is missing or appears twice, or a quotation mark is not closed.
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
        line = rows.line_num + 1  # the first line of a row, as a quoted cell may span several
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
    """`text`, prefixed with `'` if a spreadsheet would take it for a formula.

    A text that already has the prefix gets another, so that `from_spreadsheet_safe`, which removes
    one, restores every text exactly.
    """
    return f"'{text}" if _looks_like_a_formula(text) else text


def from_spreadsheet_safe(text: str) -> str:
    """The text that was passed to `spreadsheet_safe`."""
    return text[1:] if text[:1] == "'" and _looks_like_a_formula(text) else text


def _looks_like_a_formula(text: str) -> bool:
    return text.lstrip("'").startswith(_FORMULA_STARTS)
