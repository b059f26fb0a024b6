"""Scores as tables in the terminal."""

import sys
from collections.abc import Iterable, Sequence

from actline.cli.standard import say
from actline.evaluation.tables import Cell, is_nan
from actline.plain import plain

# More is not read in a terminal.
_MOST_ROWS, _LONGEST_CELL = 1000, 120


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
    # In a file, lines are as long as they need to be, so that no number is cut off.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    if len(rows) > _MOST_ROWS:
        say(f"… {len(rows) - _MOST_ROWS:,} more rows, which --out and --csv write")


def named(ids: Sequence[str], most: int = 3) -> str:
    """The first of several names."""
    return ", ".join(ids[:most]) + (", …" if len(ids) > most else "")


def counted(number: int, what: str) -> str:
    """`1 video`, `2 videos`: a number with its noun."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _shown(cell: Cell) -> str:
    if cell is None or is_nan(cell):
        return "\N{EN DASH}"
    return f"{100 * cell:.2f}" if isinstance(cell, float) else str(cell)
