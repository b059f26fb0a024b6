"""What happens in a generated video: who does what and when, and every quantity over time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actline.generated.motions import MOTIONS, QUANTITIES, Motion, Quantity
from actline.generated.profiles import Difficulty, Profile
from actline.timeline import Activity

# Cycles per second of the slow drift of quantities that no motion changes.
IDLE_RATE = 0.02
SHORTEST_SECONDS = 0.6


@dataclass(frozen=True)
class Performance:
    """One actor performing one motion from `start` to `end`, in seconds, at its own speed."""

    actor: int
    motion: Motion
    start: float
    end: float
    speed: float


@dataclass(frozen=True)
class Scenario:
    """One video before it is drawn.

    Attributes:
        index: the video's number in its set; `seed` the set's.
        duration: seconds.
        actors: how many.
        performances: what they do, in order of their starts.
    """

    profile: Profile
    difficulty: Difficulty
    seed: int
    index: int
    duration: float
    actors: int
    performances: tuple[Performance, ...]

    @property
    def activities(self) -> tuple[Activity, ...]:
        """The labels: every performance as an activity."""
        return tuple(Activity(p.motion.label, p.start, p.end) for p in self.performances)

    def generator(self, purpose: int) -> np.random.Generator:
        """A random generator that depends only on the video and the purpose."""
        return np.random.default_rng([self.seed, self.index, purpose])


def plan(profile: Profile, difficulty: Difficulty, *, seed: int, index: int) -> Scenario:
    """Draw what happens in video `index`; it depends only on the arguments."""
    names = sorted((profile.name, difficulty.name))
    key = [seed, index, *(byte for name in names for byte in name.encode())]
    generator = np.random.default_rng(key)
    duration = round(float(generator.uniform(*profile.seconds)), 2)
    actors = int(generator.integers(difficulty.actors[0], difficulty.actors[1] + 1))
    motions = MOTIONS[: difficulty.classes]
    if profile.trimmed:
        performances = [
            Performance(
                int(generator.integers(actors)),
                # Classes take turns, so that small sets hold all of them.
                motions[index % len(motions)],
                0.0,
                duration,
                float(generator.uniform(*difficulty.speed)),
            )
        ]
    else:
        performances = _performances(profile, difficulty, generator, duration, actors)
    ordered = tuple(sorted(performances, key=lambda p: (p.start, p.actor)))
    return Scenario(profile, difficulty, seed, index, duration, actors, ordered)


def _performances(
    profile: Profile,
    difficulty: Difficulty,
    generator: np.random.Generator,
    duration: float,
    actors: int,
) -> list[Performance]:
    """Place activities where an actor is free, the class is not on already, and few are."""
    motions = MOTIONS[: difficulty.classes]
    wanted = max(1, int(generator.poisson(profile.activities * difficulty.density)))
    only = None
    if generator.random() < profile.one_class:
        only = motions[int(generator.integers(len(motions)))]
    placed: list[Performance] = []
    for _ in range(8 * wanted):
        if len(placed) == wanted:
            break
        length = profile.activity_seconds * float(
            np.exp(profile.spread * generator.standard_normal())
        )
        length = min(max(length, SHORTEST_SECONDS), profile.longest * duration)
        start = float(generator.uniform(0, duration - length))
        motion = only or motions[int(generator.integers(len(motions)))]
        actor = int(generator.integers(actors))
        speed = float(generator.uniform(*difficulty.speed))
        # A pause between two activities of an actor, so that the second has a beginning.
        near = [p for p in placed if p.start < start + length + 0.5 and start < p.end + 0.5]
        busy = any(p.actor == actor or p.motion is motion for p in near)
        if not busy and len(near) < profile.concurrent:
            end = round(start + length, 2)
            placed.append(Performance(actor, motion, round(start, 2), end, speed))
    return placed


def quantities(
    scenario: Scenario, actor: int, times: NDArray[np.float64]
) -> dict[Quantity, NDArray[np.float64]]:
    """An actor's quantities at `times`: {quantity: (T,) in [0, 1]}, each without a jump.

    While no motion changes it, a quantity drifts slowly; a motion takes it up where it is.
    """
    generator = scenario.generator(1000 + actor)
    own = [p for p in scenario.performances if p.actor == actor]
    result: dict[Quantity, NDArray[np.float64]] = {}
    for quantity in QUANTITIES:
        value, growing = float(generator.random()), bool(generator.random() < 0.5)
        drift = Motion("idle", quantity, 0.5, IDLE_RATE * float(generator.uniform(0.5, 1.5)))
        values = np.empty_like(times)
        now = 0.0
        spans = [(p.start, p.end, p.motion, p.speed) for p in own if p.motion.quantity == quantity]
        for start, end, motion, speed in [*spans, (np.inf, np.inf, drift, 1.0)]:
            for begin, until, wave, rate in (
                (now, start, drift, drift.rate),
                (start, end, motion, motion.rate * speed),
            ):
                inside = (times >= begin) & (times < until)
                phase = wave.phase_at(value, growing=growing)
                values[inside] = wave.values(phase + rate * (times[inside] - begin))
                if np.isfinite(until):
                    last = phase + rate * (until - begin)
                    value = float(wave.values(np.array([last]))[0])
                    growing = last % 1.0 < wave.rise
            now = end
        result[quantity] = values
    return result
