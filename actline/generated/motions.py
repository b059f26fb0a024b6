"""The classes: motions of an actor, distinguished only by how something changes over time.

Every actor has five quantities that motions change: where it is across (x) and along (y) its
range, how near it is, how far it is open, and its angle. Each is a number in [0, 1], spread evenly
while nothing happens and while a motion runs: a motion is a triangle or sawtooth wave, whose values
are spread evenly too, or a steady turn. So single frames look the same in every class and without
any; only the order of frames shows the class.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Quantity = Literal["x", "y", "nearness", "opening", "angle"]
QUANTITIES: tuple[Quantity, ...] = ("x", "y", "nearness", "opening", "angle")


@dataclass(frozen=True)
class Motion:
    """One class.

    Attributes:
        label: the class's name.
        quantity: what it changes.
        rise: the part of a cycle in which the quantity grows; 1 and 0 turn steadily (angle only).
        rate: cycles per second, before an activity's own speed.
    """

    label: str
    quantity: Quantity
    rise: float
    rate: float

    def values(self, phase: NDArray[np.float64]) -> NDArray[np.float64]:
        """The quantity at `phase` cycles: (T,) to (T,) in [0, 1]."""
        cycle = phase % 1.0
        if self.rise in (0.0, 1.0):
            return cycle if self.rise == 1.0 else 1.0 - cycle
        falling = (1 - cycle) / (1 - self.rise)
        return np.where(cycle < self.rise, cycle / self.rise, falling)

    def phase_at(self, value: float, *, growing: bool) -> float:
        """The phase at which the quantity has `value`, on its growing or falling part."""
        if self.rise in (0.0, 1.0):
            return value if self.rise == 1.0 else 1.0 - value
        return self.rise * value if growing else 1 - value * (1 - self.rise)


# In this order: an easier setting has the first of them. Pairs whose rises add up to 1 are each
# other backwards; the others differ in what moves and how fast.
MOTIONS = (
    Motion("turn clockwise", "angle", 1.0, 0.25),
    Motion("turn counter-clockwise", "angle", 0.0, 0.25),
    Motion("approach", "nearness", 0.85, 0.35),
    Motion("leave", "nearness", 0.15, 0.35),
    Motion("shake", "x", 0.5, 0.5),
    Motion("nod", "y", 0.5, 0.5),
    Motion("pulse", "nearness", 0.5, 0.55),
    Motion("flap", "opening", 0.5, 0.5),
    Motion("open", "opening", 0.85, 0.35),
    Motion("close", "opening", 0.15, 0.35),
    Motion("slide right", "x", 0.85, 0.35),
    Motion("slide left", "x", 0.15, 0.35),
    Motion("sink", "y", 0.85, 0.35),
    Motion("rise", "y", 0.15, 0.35),
    Motion("swing", "angle", 0.5, 0.3),
    Motion("twist", "angle", 0.8, 0.25),
)
