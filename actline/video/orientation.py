"""Rotation and mirroring of a video's frames for display."""

from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Orientation:
    """Swaps rows and columns, then left and right, then top and bottom, each if set."""

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    @property
    def rotation(self) -> int:
        """Degrees counter-clockwise; for a mirrored image, before left and right are swapped."""
        if self.transposed:
            return 90 if self.flipped else 270
        return 180 if self.flipped else 0

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) as decoded to (H, W, 3) or (W, H, 3) as displayed."""
        if self == UPRIGHT:
            return picture
        if self.transposed:
            picture = picture.transpose(1, 0, 2)
        across, down = -1 if self.mirrored else 1, -1 if self.flipped else 1
        return np.ascontiguousarray(picture[::down, ::across])


UPRIGHT = Orientation()


def orientation(frame: VideoFrame) -> Orientation:
    """A frame's display matrix in quarter turns, as FFmpeg's autorotation applies it."""
    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return UPRIGHT
    matrix = np.frombuffer(bytes(found), np.int32)
    # A pixel at (x, y) is shown at (a x + c y, b x + d y).
    a, b, c, d = (int(matrix[index]) for index in (0, 1, 3, 4))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)
