"""Drawing a scenario: textured actors over a cluttered background, seen by an unsteady camera."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actline.generated.motions import Quantity
from actline.generated.plan import Scenario, quantities
from actline.generated.profiles import Difficulty

Pixels = NDArray[np.float32]
TEXTURE = 48  # pixels a side of an actor's texture


@dataclass(frozen=True, eq=False)
class Actor:
    """What an actor looks like and where it lives; nothing of it depends on its activities.

    Attributes:
        texture: (48, 48, 3).
        home: of its centre, as a part of the frame's width and height.
        size: half of its length when halfway near, in pixels.
        aspect: width over length.
        roundness: exponent of its outline; 2 is an ellipse, more is squarer.
        first_angle: radians at angle 0.
    """

    texture: Pixels
    home: tuple[float, float]
    size: float
    aspect: float
    roundness: float
    first_angle: float


def render(
    scenario: Scenario, *, size: tuple[int, int], rate: float
) -> Iterator[NDArray[np.uint8]]:
    """Draw the frames of a scenario.

    Args:
        size: width and height, in pixels.
        rate: frames per second.

    Shape:
        yields (H, W, 3), RGB, one at 0, 1 / rate, … below the duration.
    """
    width, height = size
    times = np.arange(round(scenario.duration * rate)) / rate
    difficulty = scenario.difficulty
    generator = scenario.generator(1)
    actors = _actors(scenario, generator, size)
    moves = [quantities(scenario, number, times) for number in range(len(actors))]
    background = _background(generator, size, difficulty)
    camera = _camera(generator, times, size, difficulty.drift, difficulty.jitter)
    noise = scenario.generator(2)
    for frame in range(len(times)):
        picture = _window(background, camera[frame], width, height)
        for actor, move in zip(actors, moves, strict=True):
            pose: dict[Quantity, float] = {
                name: float(values[frame]) for name, values in move.items()
            }
            _draw(picture, actor, pose, difficulty.amplitude)
        if difficulty.noise:
            picture += noise.standard_normal(picture.shape, np.float32) * difficulty.noise
        yield np.clip(picture, 0, 255).astype(np.uint8)


def _actors(
    scenario: Scenario, generator: np.random.Generator, size: tuple[int, int]
) -> list[Actor]:
    homes: list[NDArray[np.float64]] = []
    apart = 0.5
    while len(homes) < scenario.actors:
        home = generator.uniform(0.22, 0.78, 2)
        if all(np.linalg.norm(home - other) > apart for other in homes):
            homes.append(home)
        apart *= 0.97  # crowded scenes end up with actors that overlap
    half = scenario.difficulty.actor_size * min(size) / 2
    return [
        Actor(
            texture=_texture(generator, scenario.difficulty.colours),
            home=(float(home[0]), float(home[1])),
            size=half * float(generator.uniform(0.85, 1.15)),
            aspect=float(generator.uniform(0.55, 0.9)),
            roundness=float(generator.uniform(2, 6)),
            first_angle=float(generator.uniform(0, 2 * np.pi)),
        )
        for home in homes
    ]


def _draw(picture: Pixels, actor: Actor, pose: dict[Quantity, float], amplitude: float) -> None:
    """Draw one actor into `picture` (H, W, 3), in place."""
    height, width = picture.shape[:2]

    def spread(quantity: Quantity) -> float:  # in [-1, 1]
        return amplitude * (2 * pose[quantity] - 1)

    scale = actor.size * 1.5 ** spread("nearness")
    gap = 0.6 * actor.size * amplitude * pose["opening"]
    across = actor.home[0] * width + 0.7 * actor.size * spread("x")
    along = actor.home[1] * height + 0.7 * actor.size * spread("y")
    angle = actor.first_angle + 2 * np.pi * pose["angle"]

    reach = int(scale + gap) + 2
    left, right = max(0, int(across) - reach), min(width, int(across) + reach + 1)
    top, bottom = max(0, int(along) - reach), min(height, int(along) + reach + 1)
    if left >= right or top >= bottom:
        return
    dx = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(across)
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(along)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = cosine * dx + sine * dy, cosine * dy - sine * dx
    # The halves part along u; between them the background shows.
    inside = np.abs(u) - np.float32(gap)
    u_half = np.maximum(inside, 0) / np.float32(scale)
    v_half = v / np.float32(scale * actor.aspect)
    outline = _outline(u_half, v_half, actor.roundness)
    cover = np.clip((1 - outline) * np.float32(scale), 0, 1) * np.clip(inside + 0.5, 0, 1)
    row = np.clip((v_half + 1) / 2 * (TEXTURE - 1), 0, TEXTURE - 1).astype(np.intp)
    column = np.clip((np.sign(u) * u_half + 1) / 2 * (TEXTURE - 1), 0, TEXTURE - 1)
    colour = actor.texture[row, column.astype(np.intp)]
    under = picture[top:bottom, left:right]
    under += cover[..., None] * (colour - under)


def _outline(u: NDArray[np.floating], v: NDArray[np.floating], roundness: float) -> Pixels:
    """How far out a point is: 1 on the outline of half lengths 1.

    Powers differ in their last digit from processor to processor. That of double precision is lost
    in rounding; that of single precision would show in pixels.
    """
    powers = np.abs(u.astype(np.float64)) ** roundness + np.abs(v.astype(np.float64)) ** roundness
    return (powers ** (1 / roundness)).astype(np.float32)


def _background(
    generator: np.random.Generator, size: tuple[int, int], difficulty: Difficulty
) -> Pixels:
    """A textured plane twice the frame's size, with still shapes that look like actors."""
    width, height = 2 * size[0], 2 * size[1]
    plane = _noise(generator, height, width, cells=6)
    plane = generator.uniform(80, 170, 3) + difficulty.contrast * plane
    picture = plane.astype(np.float32)
    for _ in range(4 * difficulty.clutter):
        shape = Actor(
            texture=_texture(generator, difficulty.colours),
            home=(float(generator.random()), float(generator.random())),
            size=float(generator.uniform(0.05, 0.16)) * min(size),
            aspect=float(generator.uniform(0.4, 1.0)),
            roundness=float(generator.uniform(2, 6)),
            first_angle=float(generator.uniform(0, 2 * np.pi)),
        )
        pose: dict[Quantity, float] = {
            "x": 0.5,
            "y": 0.5,
            "nearness": 0.5,
            "opening": float(generator.random()),
            "angle": 0.0,
        }
        _draw(picture, shape, pose, 1.0)
    return picture


def _camera(
    generator: np.random.Generator,
    times: NDArray[np.float64],
    size: tuple[int, int],
    drift: float,
    jitter: float,
) -> NDArray[np.float64]:
    """Where the frame's corner is on the background, in pixels: (T, 2) of x and y."""
    width, height = size
    heading = generator.uniform(0, 2 * np.pi)
    speed = drift * width * np.array([np.cos(heading), np.sin(heading)])
    start = generator.uniform(0, 1, 2) * (width, height)
    # Shaking hands: noise that is carried over from frame to frame.
    shake = generator.standard_normal((len(times), 2))
    for frame in range(1, len(times)):
        shake[frame] = 0.7 * shake[frame - 1] + 0.7 * shake[frame]
    place = start + times[:, None] * speed + shake * jitter * min(size)
    # At the plane's edge the drift turns back.
    limits = np.array([width, height], np.float64) - 1
    return limits - np.abs((place % (2 * limits)) - limits)


def _window(background: Pixels, corner: NDArray[np.float64], width: int, height: int) -> Pixels:
    """The frame at a fractional corner, interpolated between pixels: (H, W, 3)."""
    x, y = int(corner[0]), int(corner[1])
    fx, fy = np.float32(corner[0] - x), np.float32(corner[1] - y)
    area = background[y : y + height + 1, x : x + width + 1]
    rows = area[:-1] + fy * (area[1:] - area[:-1])
    return (rows[:, :-1] + fx * (rows[:, 1:] - rows[:, :-1])).astype(np.float32)


def _texture(generator: np.random.Generator, colours_spread: float) -> Pixels:
    """Patches of two colours, dark and bright or any two."""
    plain = np.array([[15.0] * 3, [240.0] * 3])
    colours = plain + colours_spread * (generator.uniform(10, 245, (2, 3)) - plain)
    pattern = _noise(generator, TEXTURE, TEXTURE, cells=5)[..., :1] > 0
    return np.where(pattern, colours[0], colours[1]).astype(np.float32)


def _noise(generator: np.random.Generator, height: int, width: int, *, cells: int) -> Pixels:
    """Smooth noise of three octaves: (H, W, 3), mean 0, deviation about 1."""
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(3):
        count = cells * 2**octave
        grid = generator.standard_normal((count + 2, count + 2, 3)).astype(np.float32)
        rows = np.linspace(0, count, height, dtype=np.float32)
        columns = np.linspace(0, count, width, dtype=np.float32)
        r, c = rows.astype(np.intp), columns.astype(np.intp)
        fr, fc = (rows - r)[:, None, None], (columns - c)[None, :, None]
        upper = grid[r][:, c] * (1 - fc) + grid[r][:, c + 1] * fc
        lower = grid[r + 1][:, c] * (1 - fc) + grid[r + 1][:, c + 1] * fc
        total += (upper * (1 - fr) + lower * fr) / 2**octave
    return total
