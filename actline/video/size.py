"""The sizes that frames are resized to while they are decoded."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShortSide:
    """Resize so that the shorter side has `pixels`, keeping the aspect ratio."""

    pixels: int


@dataclass(frozen=True, slots=True)
class Exact:
    """Resize to exactly `width` x `height`."""

    width: int
    height: int


Size = ShortSide | Exact


def target_size(width: int, height: int, size: Size) -> tuple[int, int]:
    """Width and height that a picture of `width` x `height` is resized to."""
    if isinstance(size, Exact):
        return size.width, size.height
    scale = size.pixels / min(width, height)
    return max(size.pixels, round(width * scale)), max(size.pixels, round(height * scale))
