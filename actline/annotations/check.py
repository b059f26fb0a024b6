"""Checks of a data set: its annotations, its files, and whether the two agree."""

import hashlib
import os
import stat
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from actline.annotations.annotations import AnnotatedVideo, Annotations, Fault
from actline.annotations.statistics import annotated_seconds
from actline.errors import VideoError
from actline.names import is_video_name
from actline.video.damage import Damage, find_damage
from actline.video.decode import check_beginning, shown_times
from actline.video.find import Listing, find_video, list_videos

# Faults with which training, detection or evaluation fails or goes wrong.
_SERIOUS_FAULTS = (Fault.UNKNOWN_CLASS, Fault.MALFORMED)
# An end may be rounded up to a whole frame or half a second.
_ROUNDING_SECONDS = 0.5
# How far a file's duration may differ from the annotated one: the larger of these two.
_DIFFERENCE_SECONDS, _DIFFERENCE_PART = 1.0, 0.02
_SAMPLE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of fault.

    Attributes:
        what: the fault, in the plural.
        examples: one sentence or name for each occurrence.
        serious: whether training, detection or evaluation would fail or go wrong.
    """

    what: str
    examples: tuple[str, ...]
    serious: bool


class _Findings:
    """Faults by kind, in the order in which they were found."""

    def __init__(self) -> None:
        self._examples: dict[tuple[str, bool], list[str]] = defaultdict(list)

    def add(self, what: str, example: str, *, serious: bool) -> None:
        self._examples[what, serious].append(example)

    def sorted(self) -> tuple[Finding, ...]:
        """The serious ones first."""
        items = sorted(self._examples.items(), key=lambda item: not item[0][1])
        return tuple(Finding(what, tuple(found), serious) for (what, serious), found in items)


def check_annotations(annotations: Annotations) -> tuple[Finding, ...]:
    """Check annotations, which are best read with `strict=False`."""
    findings = _Findings()
    for problem in annotations.problems:
        for fault in problem.faults:
            # An error message already names file and line.
            serious = fault in _SERIOUS_FAULTS
            example = problem.what if serious else f"{problem.video}: {problem.what}"
            findings.add(fault.value, example, serious=serious)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for video in annotations.videos:
        counts[video.subset].update(a.label for a in video.activities)
        if not video.activities:
            findings.add("videos without activities", video.id, serious=False)
    for what, names in (
        ("labels that differ only by case, blanks or Unicode form", annotations.classes),
        (
            "videos whose ids differ only in the same ways",
            [video.id for video in annotations.videos],
        ),
        ("subsets whose names differ only in the same ways", sorted(counts)),
    ):
        for spellings in _spellings(names):
            example = " and ".join(f'"{_visible(name)}"' for name in spellings)
            findings.add(what, f"{example}: give them one spelling", serious=False)
    used = {label for subset in counts.values() for label in subset}
    for label in annotations.classes:
        if label not in used:
            findings.add("classes without any activity", label, serious=False)
        elif "training" in counts and counts["training"].total() and not counts["training"][label]:
            findings.add("classes without any activity in training", label, serious=False)
    if len(counts) == 1:
        (only,) = counts
        example = f"all are in {only}; assign some to another, to evaluate on"
        if only == "training" and len(annotations.videos) > 1:  # as in `with_held_out`
            example += ", or leave it to `actline train`, which then holds some out itself"
        findings.add("subsets missing: no videos are held out", example, serious=False)
    return findings.sorted()


def _spellings(names: Iterable[str]) -> Iterator[list[str]]:
    """Names equal except for case, spaces, invisible characters and Unicode form."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        alike["".join(c for c in folded if not _is_blank(c))].append(name)
    return (same for same in alike.values() if len(same) > 1)


def _is_blank(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) == "Cf"


def _visible(name: str) -> str:
    """A name with spaces other than single ones and non-ASCII characters shown by code."""
    if name.isascii() and "  " not in name:
        return name
    return "".join(c if c.isascii() and c != " " else f"[{_code(c)}]" for c in name)


def _code(character: str) -> str:
    return "space" if character == " " else f"U+{ord(character):04X}"


def _unforeseen(path: Path, error: Exception) -> str:
    return f"cannot read {path}: {type(error).__name__}: {error}"


def check_videos(
    annotations: Annotations,
    folder: Path,
    *,
    whole: bool = True,
    decode: bool = False,
    frame_rate: float = 24.0,
    advance: Callable[[], None] = lambda: None,
    failure: Callable[[Path, Exception], str] = _unforeseen,
) -> tuple[tuple[Finding, ...], tuple[float, ...]]:
    """Check every video file, and compare it with its annotations.

    Args:
        folder: the folder of videos.
        whole: read every file to its end, without decoding it, which finds its duration and whether
            it is cut off; False reads headers and first frames only.
        decode: decode every file to its end, which finds damage inside, which reading skips.
        frame_rate: frame rate of folders of frames.
        advance: called once per video.
        failure: the message for a video that fails with an unexpected error.

    Returns:
        The findings, and every video's duration in seconds: its file's, or the annotated one if the
        file was not read.
    """
    findings = _Findings()
    durations = tuple(annotated_seconds(video) for video in annotations.videos)
    try:
        listing = list_videos(folder)
    except VideoError as error:
        findings.add("the folder of videos is missing", str(error), serious=True)
        return findings.sorted(), durations
    paths, missing = _paths_of(annotations, folder, listing)

    def look(video: AnnotatedVideo) -> _Seen | VideoError:
        path = paths.get(video.id)
        if path is None:
            return missing[video.id]
        try:
            return _look(path, whole=whole, decode=decode, frame_rate=frame_rate)
        except VideoError as error:
            return error
        except Exception as error:  # one broken video does not stop the others
            return VideoError(failure(path, error))

    seen: list[float] = []
    for video, expected, found in zip(
        annotations.videos, durations, _all(look, annotations.videos), strict=True
    ):
        advance()
        if isinstance(found, VideoError):
            _note_unread(video.id, found, findings, known=video.id in paths)
            seen.append(expected)
        else:
            _note_seen(video, found, findings)
            seen.append(expected if found.seconds is None else found.seconds)
    _compare_listing(listing, paths, findings)
    return findings.sorted(), tuple(seen)


def _paths_of(
    annotations: Annotations, folder: Path, listing: Listing
) -> tuple[dict[str, Path], dict[str, VideoError]]:
    """Paths of the annotated videos, and the errors for those not found, by id."""
    paths: dict[str, Path] = {}
    missing: dict[str, VideoError] = {}
    for video in annotations.videos:
        try:
            paths[video.id] = find_video(folder, video.id, listing=listing)
        except VideoError as error:
            missing[video.id] = error
    return paths, missing


def _note_unread(video_id: str, error: VideoError, findings: _Findings, *, known: bool) -> None:
    """Note that a video is missing or, if its file is `known`, cannot be read."""
    what = "videos that cannot be read" if known else "videos that are missing"
    example = video_id if str(error).startswith("no video") and not known else str(error)
    findings.add(what, example, serious=True)


def _note_seen(video: AnnotatedVideo, seen: "_Seen", findings: _Findings) -> None:
    """Note anything unusual about a video that could be read."""
    if seen.seconds is not None:
        _compare(video, seen.seconds, findings)
    for note in seen.notes:
        findings.add("videos with unusual times", f"{video.id}: {note}", serious=False)
    if seen.damage is not None and seen.damage.lost:
        example = _told(video.id, seen.damage)
        findings.add("videos with damage inside", example, serious=False)


def _compare_listing(listing: Listing, paths: Mapping[str, Path], findings: _Findings) -> None:
    """Compare the files in the folder with those of the annotated videos."""
    ids: dict[Path, list[str]] = defaultdict(list)
    for video_id, path in paths.items():
        ids[path].append(video_id)
    for path, several in ids.items():
        if len(several) > 1:
            example = f"{_name(path, listing)} is {' and '.join(several)}"
            findings.add("video files of several annotated videos", example, serious=True)
    by_id: dict[str, list[Path]] = defaultdict(list)
    for video in listing.videos:
        if video.path.is_file() or not video.problem:
            by_id[video.id].append(video.path)
        elif video.path not in ids:
            findings.add("videos that cannot be read", video.problem, serious=True)
    for same in by_id.values():
        names = ", ".join(sorted(_name(path, listing) for path in same))
        if not any(path in ids for path in same):
            findings.add("video files without annotations", names, serious=False)
        elif len(same) > 1:
            findings.add("videos with several files", names, serious=False)
    for names in _same_content([_name(v.path, listing) for v in listing.videos], listing.folder):
        findings.add("video files with the same content", ", ".join(names), serious=False)
    for name in listing.passed_over:
        # Annotations and classes may be next to the videos.
        if "/" not in name and name.endswith((".csv", ".json", ".txt")):
            continue
        findings.add("files that are not taken as videos", name, serious=False)


def _name(path: Path, listing: Listing) -> str:
    return path.relative_to(listing.folder).as_posix()


def holds_videos(folder: Path, *, below: bool = True) -> bool:
    """Whether a folder contains videos.

    Args:
        below: also search its subfolders; False checks only the files in the folder itself.
    """
    try:
        if below:
            return bool(list_videos(folder).videos)
        return any(is_video_name(path.name) for path in folder.iterdir())
    except (OSError, VideoError):
        return False


def holds_any_of(folder: Path, annotations: Annotations) -> bool:
    """Whether a folder contains any of the annotated videos."""
    with suppress(VideoError):
        listing = list_videos(folder)
        for video in annotations.videos:
            with suppress(VideoError):
                find_video(folder, video.id, listing=listing)
                return True
    return False


def _compare(video: AnnotatedVideo, seconds: float, findings: _Findings) -> None:
    """Compare annotations with the file's duration."""
    for a in video.activities:
        example = (
            f'{video.id}: "{a.label}" {a.start:g} to {a.end:g} s, the file lasts {seconds:.1f} s'
        )
        if a.start >= seconds:
            findings.add("activities that start after the video file's end", example, serious=True)
        elif a.end > seconds + _ROUNDING_SECONDS:
            findings.add("activities that end after the video file's end", example, serious=False)
    if video.duration is not None:
        difference = abs(video.duration - seconds)
        if difference > max(_DIFFERENCE_SECONDS, _DIFFERENCE_PART * seconds):
            example = f"{video.id}: annotated {video.duration:g} s, the file lasts {seconds:.1f} s"
            findings.add("videos whose file has another duration", example, serious=False)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found in a video file; seconds and damage are None if not checked."""

    seconds: float | None
    notes: tuple[str, ...]
    damage: Damage | None


def _look(path: Path, *, whole: bool, decode: bool, frame_rate: float) -> _Seen:
    """A video's duration and damage.

    Raises:
        VideoError: it cannot be read.
    """
    check_beginning(path)
    if not whole:
        return _Seen(None, (), None)
    shown = shown_times(path, frame_rate=frame_rate)
    return _Seen(shown.duration, shown.notes, find_damage(path) if decode else None)


def _told(video_id: str, damage: Damage) -> str:
    where = "" if damage.first is None else f", the first at {damage.first:.1f} s"
    return (
        f"{video_id}: {damage.lost} of {damage.frames} frames are damaged{where}; "
        "other frames are shown in their place; copy the file again"
    )


def _all(
    look: Callable[[AnnotatedVideo], _Seen | VideoError], videos: tuple[AnnotatedVideo, ...]
) -> Iterator[_Seen | VideoError]:
    """Check all videos, several at a time; stop starting new ones when interrupted."""
    pool = ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1)))
    try:
        yield from pool.map(look, videos)
    finally:
        pool.shutdown(cancel_futures=True)


def _same_content(names: Sequence[str], folder: Path) -> Iterator[list[str]]:
    """Groups of files with the same size, beginning and end."""
    by_size: dict[int, list[str]] = defaultdict(list)
    for name in names:
        with suppress(OSError):  # already reported, as a video that cannot be read
            about = (folder / name).stat()
            if stat.S_ISREG(about.st_mode):
                by_size[about.st_size].append(name)
    for size, alike in by_size.items():
        if size == 0 or len(alike) == 1:
            continue
        by_content: dict[bytes, list[str]] = defaultdict(list)
        for name in alike:
            try:
                with (folder / name).open("rb") as file:
                    digest = hashlib.sha256(file.read(_SAMPLE_BYTES))
                    file.seek(max(0, size - _SAMPLE_BYTES))
                    digest.update(file.read(_SAMPLE_BYTES))
            except OSError:
                continue  # already reported, as a video that cannot be read
            by_content[digest.digest()].append(name)
        yield from (same for same in by_content.values() if len(same) > 1)
