"""Target sizes of frames, which are resized while decoding."""

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
    """Target width and height of an image of `width` x `height`."""
    if isinstance(size, Exact):
        return size.width, size.height
    scale = size.pixels / min(width, height)
    return max(size.pixels, round(width * scale)), max(size.pixels, round(height * scale))
