"""Allowed ranges of a configuration's numbers, stated in the type of each field.

`epochs: Count` is an `int` for Python and for type checkers, annotated with the range from 1 to a
million, which is checked when a recipe or a card is read (`stored.configuration`).
"""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Range:
    """Finite numbers from `least` to `most`; `above` and `below` exclude the bounds."""

    least: float
    most: float
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        # NaN is in no range: every comparison with it is false.
        above = self.least < value if self.above else self.least <= value
        return above and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        least = f"{'above' if self.above else 'at least'} {short_number(self.least)}"
        return f"{least} and {'below' if self.below else 'at most'} {short_number(self.most)}"


def short_number(number: float) -> str:
    """A number in its shortest form; only the first digits if it has hundreds."""
    if isinstance(number, float) and abs(number) < 1e15 and number == int(number):
        return str(int(number))
    text = str(number)
    return text if len(text) <= 25 else f"{text[:20]}…"


Count = Annotated[int, Range(1, 1_000_000)]
Whole = Annotated[int, Range(0, 1_000_000_000)]
Channels = Annotated[int, Range(1, 65_536)]
FeatureChannels = Annotated[int, Range(1, 1_000_000)]
"""Of snippet features, which may be concatenated from several methods."""
Parts = Annotated[int, Range(1, 65_536)]
"""Parts of a batch, each normalized separately."""
Depth = Annotated[int, Range(1, 100)]
Samples = Annotated[int, Range(1, 10_000)]
Frames = Annotated[int, Range(1, 100_000)]
"""A number of frames, or a stride over them."""
Pixels = Annotated[int, Range(32, 4096)]
Share = Annotated[float, Range(0, 1)]
BelowOne = Annotated[float, Range(0, 1, below=True)]
AboveZero = Annotated[float, Range(0, 1, above=True)]
Seconds = Annotated[float, Range(0, 1e9)]
Positive = Annotated[float, Range(0, 1000, above=True)]
Factor = Annotated[float, Range(0, 1000)]
Deviation = Annotated[float, Range(0.001, 10)]
"""Standard deviations of colours, used as divisors."""
