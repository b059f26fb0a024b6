"""Results as files: tables as CSV that spreadsheets open safely, and documents as JSON."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from actline.files import write_text
from actline.stored.csv_text import spreadsheet_safe

Cell = str | int | float | None


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write a table whole or not at all; text that would run as a formula has a `'` before it.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO(newline="")
    # All text in quotes: before Python 3.13 the module leaves a lone carriage return bare.
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    for row in (header, *rows):
        cells: list[Cell] = [None if is_nan(cell) else cell for cell in row]
        writer.writerow([spreadsheet_safe(c) if isinstance(c, str) else c for c in cells])
    write_text(path, text.getvalue())


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document whole or not at all, with null for numbers that are not finite.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, json.dumps(_finite(document), indent=1, allow_nan=False) + "\n")


def is_nan(cell: Cell) -> bool:
    """Whether a cell is NaN."""
    return isinstance(cell, float) and math.isnan(cell)


def _finite(value: Any) -> Any:
    """The value with null where a number is not finite: JSON knows no NaN."""
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
