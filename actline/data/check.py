"""What is wrong with a data set of one's own, and what is in it."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actline.data.annotations import AnnotatedVideo, Annotations
from actline.errors import VideoError
from actline.video.decode import frame_times, probe
from actline.video.sampling import VIDEO_SUFFIXES, find_video


@dataclass(frozen=True)
class Finding:
    """One kind of trouble: how often, an example, and whether training would fail or go wrong."""

    what: str
    count: int
    example: str
    serious: bool


@dataclass(frozen=True, eq=False)
class Statistics:
    """What a data set holds.

    Attributes:
        seconds: of each video, (V,).
        lengths: of each activity, in seconds, (A,).
        per_class: activities by class name.
        at_once: part of the time during which 0, 1, 2, … activities are on.
    """

    videos: int
    subsets: dict[str, int]
    seconds: NDArray[np.float64]
    lengths: NDArray[np.float64]
    per_class: dict[str, int]
    at_once: NDArray[np.float64]


def check(
    annotations: Annotations,
    videos: Path | None,
    *,
    advance: Callable[[], None] = lambda: None,
) -> tuple[list[Finding], Statistics]:
    """Look for trouble in annotations and, where `videos` is a folder, in the video files.

    Args:
        advance: called once a video.
    """
    trouble: dict[tuple[str, bool], list[str]] = {}

    def found(what: str, example: str, *, serious: bool) -> None:
        trouble.setdefault((what, serious), []).append(example)

    for problem in annotations.problems:
        found(
            "activities that the reader had to mend",
            f"{problem.video}: {problem.what}",
            serious=False,
        )
    used = Counter(a.label for v in annotations.videos for a in v.activities)
    for label in annotations.classes:
        if not used[label]:
            found("classes without any activity", label, serious=False)
    for video_id, count in Counter(video.id for video in annotations.videos).items():
        if count > 1:
            found("videos that are annotated twice", video_id, serious=True)
    for video in annotations.videos:
        if not video.activities:
            found("videos without activities", video.id, serious=False)

    if videos is None:
        durations = [_annotated_length(video) for video in annotations.videos]
    else:
        durations = _check_files(annotations, videos, found, advance)
    findings = [
        Finding(what, len(examples), examples[0], serious)
        for (what, serious), examples in sorted(trouble.items(), key=lambda item: not item[0][1])
    ]
    return findings, statistics(annotations, np.array(durations))


def _check_files(
    annotations: Annotations,
    videos: Path,
    found: Callable[..., None],
    advance: Callable[[], None],
) -> list[float]:
    """Look at every video file, and return its duration or, failing that, the annotated one."""
    durations = []
    with ThreadPoolExecutor(8) as pool:
        looks = pool.map(lambda video: _look(videos, video.id), annotations.videos)
        for video, seen in zip(annotations.videos, looks, strict=True):
            advance()
            if isinstance(seen, str):
                missing = seen.startswith("no video")
                what = "videos that are missing" if missing else "videos that cannot be read"
                found(what, seen, serious=True)
                durations.append(_annotated_length(video))
                continue
            durations.append(seen)
            for a in video.activities:
                if a.end > seen + 0.5:
                    told = f'{video.id}: "{a.label}" ends at {a.end:g} s of {seen:.1f} s'
                    found("activities that end after the video file", told, serious=True)
    for stray in _strays(videos, annotations):
        found("video files without annotations", stray, serious=False)
    return durations


def statistics(annotations: Annotations, durations: NDArray[np.float64]) -> Statistics:
    """Count what is there; `durations` are the videos' in seconds, (V,)."""
    activities = [a for video in annotations.videos for a in video.activities]
    used = Counter(a.label for a in activities)
    return Statistics(
        videos=len(annotations.videos),
        subsets=dict(Counter(video.subset for video in annotations.videos)),
        seconds=durations,
        lengths=np.array([a.duration for a in activities]),
        per_class={label: used[label] for label in annotations.classes},
        at_once=_at_once(annotations, durations),
    )


def _at_once(annotations: Annotations, durations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part of all time with 0, 1, 2, … activities on, by sweeping over starts and ends."""
    time_with: Counter[int] = Counter()
    for video, duration in zip(annotations.videos, durations, strict=True):
        borders = sorted(
            [(a.start, 1) for a in video.activities] + [(a.end, -1) for a in video.activities]
        )
        now, on = 0.0, 0
        for time, change in [*borders, (float(duration), 0)]:
            time_with[on] += max(0.0, time - now)  # type: ignore[assignment]
            now, on = max(now, time), on + change
    total = sum(time_with.values()) or 1.0
    return np.array([time_with[n] / total for n in range(max(time_with, default=0) + 1)])


def _look(videos: Path, video_id: str) -> float | str:
    """A video's duration in seconds, or why it cannot be read."""
    try:
        path = find_video(videos, video_id)
        frame_times(path)  # finds files that are cut off
        return probe(path).duration
    except VideoError as error:
        return str(error)


def _annotated_length(video: AnnotatedVideo) -> float:
    return video.duration or max((a.end for a in video.activities), default=0.0)


def _strays(videos: Path, annotations: Annotations) -> list[str]:
    if not videos.is_dir():
        return []
    return [
        path.name
        for path in sorted(videos.iterdir())
        if path.suffix.lower() in VIDEO_SUFFIXES and path.stem not in annotations
    ]
