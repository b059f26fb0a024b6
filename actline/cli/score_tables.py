"""Scores as tables: in the terminal, and as CSV that spreadsheets open safely."""

import csv
import io
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from actline.cli.standard import say
from actline.plain import plain

# More is beyond what a person reads in a terminal.
_MOST_ROWS, _LONGEST_CELL = 1000, 120

Cell = str | int | float | None


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table under its title: texts as they are, and scores in percent."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for number, heading in enumerate(header):
        table.add_column(Text(plain(heading)), justify="right" if number else "left")
    rows = list(rows)
    for row in rows[:_MOST_ROWS]:
        # A class's name may hold what would be markup.
        table.add_row(*(Text(plain(_shown(cell), longest=_LONGEST_CELL)) for cell in row))
    say(title)
    # In a file lines are as long as they need to be, so that no number is cut.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    if len(rows) > _MOST_ROWS:
        say(f"… {len(rows) - _MOST_ROWS:,} more rows, which --out and --csv write")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write a table whole or not at all; text that would run as a formula has a `'` before it."""
    from actline.files import write_text
    from actline.stored.csv_text import spreadsheet_safe

    text = io.StringIO(newline="")
    # All text in quotes: before Python 3.13 the module leaves a lone carriage return bare.
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    for row in (header, *rows):
        cells: list[Cell] = [None if _is_nan(cell) else cell for cell in row]
        writer.writerow([spreadsheet_safe(c) if isinstance(c, str) else c for c in cells])
    write_text(path, text.getvalue())


def named(ids: Sequence[str], most: int = 3) -> str:
    """The first of several names."""
    return ", ".join(ids[:most]) + (", …" if len(ids) > most else "")


def counted(number: int, what: str) -> str:
    """`1 video`, `2 videos`: a number with its noun."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _shown(cell: Cell) -> str:
    if cell is None or _is_nan(cell):
        return "\N{EN DASH}"
    return f"{100 * cell:.2f}" if isinstance(cell, float) else str(cell)


def _is_nan(cell: Cell) -> bool:
    return isinstance(cell, float) and math.isnan(cell)
