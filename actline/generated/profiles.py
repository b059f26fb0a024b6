"""How long videos are, how much happens in them, and how hard it is to see."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """Statistics of one kind of data set; each number equals that of the real set or is close.

    Attributes:
        seconds: shortest and longest video.
        activities: mean number a video.
        activity_seconds: median length of an activity.
        spread: standard deviation of the logarithm of the length.
        longest: largest fraction of the video that an activity may take.
        concurrent: most activities at a time.
        one_class: probability that all activities of a video have the same class.
        trimmed: one activity that lasts the whole video.
        subsets: names and parts of the videos, in order.
    """

    name: str
    seconds: tuple[float, float]
    activities: float
    activity_seconds: float
    spread: float
    longest: float
    concurrent: int
    one_class: float
    trimmed: bool
    subsets: tuple[tuple[str, float], ...]


# Charades: 9 848 videos of 30 s, 6.8 activities of 12 s on average, several at a time.
CHARADES = Profile(
    name="charades",
    seconds=(24.0, 36.0),
    activities=6.8,
    activity_seconds=9.0,
    spread=0.8,
    longest=0.9,
    concurrent=4,
    one_class=0.0,
    trimmed=False,
    subsets=(("training", 0.75), ("testing", 0.25)),
)
# THUMOS-14: 413 videos of 3.5 minutes, 15 instances of 4.5 s, mostly of one class.
THUMOS = Profile(
    name="thumos",
    seconds=(120.0, 300.0),
    activities=15.0,
    activity_seconds=3.8,
    spread=0.6,
    longest=0.15,
    concurrent=2,
    one_class=0.85,
    trimmed=False,
    subsets=(("validation", 0.5), ("testing", 0.5)),
)
# ActivityNet-1.3: 2 minutes, one class, 1.5 segments of half a minute and more.
ACTIVITYNET = Profile(
    name="activitynet",
    seconds=(60.0, 180.0),
    activities=1.5,
    activity_seconds=34.0,
    spread=0.8,
    longest=0.9,
    concurrent=1,
    one_class=1.0,
    trimmed=False,
    subsets=(("training", 0.67), ("validation", 0.33)),
)
# Kinetics: clips of 10 s that hold one activity and nothing else.
KINETICS = Profile(
    name="kinetics",
    seconds=(10.0, 10.0),
    activities=1.0,
    activity_seconds=10.0,
    spread=0.0,
    longest=1.0,
    concurrent=1,
    one_class=1.0,
    trimmed=True,
    subsets=(("training", 0.8), ("validation", 0.2)),
)
PROFILES = {profile.name: profile for profile in (CHARADES, THUMOS, ACTIVITYNET, KINETICS)}


@dataclass(frozen=True)
class Difficulty:
    """How hard the activities are to see.

    Attributes:
        classes: how many motions are used, in their fixed order.
        actors: fewest and most; those without an activity drift slowly.
        density: what a profile's number of activities is multiplied by.
        actor_size: size of an actor, as a fraction of the frame's shorter side.
        amplitude: extent of motions, as a fraction of their full range.
        speed: slowest and fastest, as a factor of a motion's own rate.
        colours: how far actors' two colours are from black and white: 0 not at all, 1 any.
        contrast: of the background's texture, as standard deviation of 255.
        clutter: still shapes on the background, which look like actors.
        drift: of the background, in frame widths per second.
        jitter: of the camera, as a fraction of the frame's shorter side.
        noise: standard deviation of the pixels, of 255.
    """

    name: str
    classes: int
    actors: tuple[int, int]
    density: float
    actor_size: float
    amplitude: float
    speed: tuple[float, float]
    colours: float
    contrast: float
    clutter: int
    drift: float
    jitter: float
    noise: float


EASY = Difficulty(
    name="easy",
    classes=6,
    actors=(1, 2),
    density=0.4,
    actor_size=0.42,
    amplitude=1.0,
    speed=(0.9, 1.1),
    colours=0.0,
    contrast=10.0,
    clutter=1,
    drift=0.01,
    jitter=0.002,
    noise=0.0,
)
NORMAL = Difficulty(
    name="normal",
    classes=12,
    actors=(3, 4),
    density=1.0,
    actor_size=0.3,
    amplitude=0.85,
    speed=(0.75, 1.35),
    colours=1.0,
    contrast=30.0,
    clutter=8,
    drift=0.03,
    jitter=0.006,
    noise=3.0,
)
HARD = Difficulty(
    name="hard",
    classes=16,
    actors=(4, 5),
    density=1.0,
    actor_size=0.22,
    amplitude=0.6,
    speed=(0.5, 2.0),
    colours=1.0,
    contrast=45.0,
    clutter=16,
    drift=0.06,
    jitter=0.015,
    noise=8.0,
)
DIFFICULTIES = {difficulty.name: difficulty for difficulty in (EASY, NORMAL, HARD)}
