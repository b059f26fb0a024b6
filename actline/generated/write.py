"""Writing a generated data set: H.264 files, annotations, classes, and their settings."""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

from actline import __version__
from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.errors import ActlineError, OutputError, RecipeError
from actline.files import Claims, sweep_once, write_text, written_whole
from actline.generated.encode import X264, encode, encoder
from actline.generated.fingerprint import SETTINGS, read_hashes, video_hash, write_hashes
from actline.generated.motions import MOTIONS
from actline.generated.plan import Scenario, plan
from actline.generated.profiles import DIFFICULTIES, PROFILES, Difficulty, Profile
from actline.generated.scene import render
from actline.progress import progress
from actline.stored.json_text import read_json


def generate(
    profile: str,
    out: Path,
    *,
    videos: int,
    seed: int = 0,
    difficulty: str = "normal",
    size: tuple[int, int] = (112, 112),
    rate: float = 12.0,
    workers: int | None = None,
) -> Annotations:
    """Write `videos` generated videos to `out`/videos, and their annotations.

    Video i depends only on profile, difficulty, size, rate, seed, i and the encoder's version: not
    on the number of videos or processes, or the machine. Existing videos are kept. The set's hashes
    are written next to it (`fingerprint`).

    Args:
        profile: "charades", "thumos", "activitynet" or "kinetics".
        difficulty: "easy", "normal" or "hard".
        size: width and height in pixels, even.
        rate: frames per second.
        workers: number of processes; by default one per core.

    Returns:
        What was written to `out`/annotations.json, in ActivityNet's form.

    Raises:
        RecipeError: an unknown profile or difficulty, or an impossible number.
        OutputError: `out` holds a set made with other settings, or cannot be written.
    """
    chosen_profile, chosen_difficulty = _chosen(profile, difficulty)
    if videos < 1 or rate <= 0 or min(size) < 32 or size[0] % 2 or size[1] % 2:
        raise RecipeError(
            "a generated set needs at least one video, a positive rate, and even sizes from 32 "
            f"pixels; not {videos} videos at {rate} frames a second of {size[0]} x {size[1]}"
        )
    with Claims(out) as claims:
        if not claims.take("generating"):
            raise OutputError(
                f"another process generates into {out}; wait until it has ended, or choose "
                "another --out"
            )
        _claim(out, chosen_profile, chosen_difficulty, seed=seed, size=size, rate=rate)
        sweep_once(out / "videos")
        return _generate(
            out,
            chosen_profile,
            chosen_difficulty,
            videos=videos,
            seed=seed,
            size=size,
            rate=rate,
            workers=workers,
        )


def _generate(
    out: Path,
    profile: Profile,
    difficulty: Difficulty,
    *,
    videos: int,
    seed: int,
    size: tuple[int, int],
    rate: float,
    workers: int | None,
) -> Annotations:
    scenarios = [plan(profile, difficulty, seed=seed, index=index) for index in range(videos)]
    cores = workers or os.cpu_count() or 1
    # Spawned, not forked: the parent may have threads of a decoder or of PyTorch.
    spawning = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(cores, spawning, _begin_worker, (os.getpid(),))
    hashes = {}
    try:
        with progress("generating videos", total=len(scenarios), unit="videos") as advance:
            tasks = [pool.submit(_made, _path(out, one), one, size, rate) for one in scenarios]
            for scenario, task in zip(scenarios, tasks, strict=True):
                hashes[video_id(scenario.profile, scenario.index)] = task.result()
                advance()
    except BrokenProcessPool as error:
        raise OutputError(
            f"a process that generated videos for {out} was killed, perhaps for want of memory; "
            "run it again with fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    _agree(out, hashes)
    classes = tuple(motion.label for motion in MOTIONS[: difficulty.classes])
    annotated = Annotations(
        classes,
        tuple(
            AnnotatedVideo(
                video_id(scenario.profile, scenario.index),
                subset_of(profile, scenario.index),
                scenario.duration,
                scenario.activities,
            )
            for scenario in scenarios
        ),
    )
    write_text(out / "annotations.json", json.dumps(_database(annotated), indent=1) + "\n")
    write_text(out / "classes.txt", "\n".join(classes) + "\n")
    write_hashes(out, hashes)
    return annotated


def write_video(path: Path, scenario: Scenario, size: tuple[int, int], rate: float) -> None:
    """Draw a scenario and encode it as H.264, whole or not at all."""
    with written_whole(path) as aside:
        encode(aside, render(scenario, size=size, rate=rate), size, rate)


def _begin_worker(parent: int) -> None:
    """Make a worker end when its parent ends, for any reason, and only then."""
    # The parent handles Ctrl-C, once the current videos are written.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _made(path: Path, scenario: Scenario, size: tuple[int, int], rate: float) -> str:
    """Write a video unless it exists; returns the hash of its decoded pixels."""
    if not path.exists():
        write_video(path, scenario, size, rate)
    return video_hash(path)


def _agree(out: Path, hashes: Mapping[str, str]) -> None:
    """Refuse kept videos that have changed since they were written."""
    noted = read_hashes(out)
    for name, pixels in hashes.items():
        if noted is not None and noted.videos.get(name, pixels) != pixels:
            raise OutputError(
                f"{out / 'videos' / name}.mp4 is not what was generated; remove it and try again"
            )


def video_id(profile: Profile, index: int) -> str:
    """Such as charades-00012."""
    return f"{profile.name}-{index:05d}"


def _path(out: Path, scenario: Scenario) -> Path:
    return out / "videos" / f"{video_id(scenario.profile, scenario.index)}.mp4"


def subset_of(profile: Profile, index: int) -> str:
    """The subset of a video, from its index, interleaved so that small sets have all subsets."""
    part = (index * 0.6180339887498949) % 1.0
    for name, share in profile.subsets:
        if part < share:
            return name
        part -= share
    return profile.subsets[-1][0]


def _chosen(profile: str, difficulty: str) -> tuple[Profile, Difficulty]:
    if profile not in PROFILES:
        raise RecipeError(f'no profile "{profile}"; there are {", ".join(PROFILES)}')
    if difficulty not in DIFFICULTIES:
        raise RecipeError(f'no difficulty "{difficulty}"; there are {", ".join(DIFFICULTIES)}')
    return PROFILES[profile], DIFFICULTIES[difficulty]


def _claim(
    out: Path,
    profile: Profile,
    difficulty: Difficulty,
    *,
    seed: int,
    size: tuple[int, int],
    rate: float,
) -> None:
    """Write the set's settings to `out`; refuse a folder made with other settings."""
    path = out / SETTINGS
    settings = {
        "profile": asdict(profile),
        "difficulty": asdict(difficulty),
        "seed": seed,
        "size": size,
        "rate": rate,
        "version": __version__,
        "encoder": {"name": encoder(), **X264},
    }
    wanted = json.loads(json.dumps(settings))
    if path.exists():
        try:
            found = read_json(path, error=OutputError, what="settings of a generated set")
        except ActlineError:
            found = None
        if found != wanted:
            raise OutputError(
                f"{out} holds a set generated with other settings; choose another --out"
            )
    write_text(path, json.dumps(wanted, indent=1) + "\n")


def _database(annotations: Annotations) -> dict[str, object]:
    return {
        "version": "actline generated benchmark",
        "database": {
            video.id: {
                "subset": video.subset,
                "duration": video.duration,
                "annotations": [
                    {"label": activity.label, "segment": [activity.start, activity.end]}
                    for activity in video.activities
                ],
            }
            for video in annotations.videos
        },
    }
