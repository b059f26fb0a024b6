"""Predictions read from files and folders of any format: the one way for all commands.

Everything malformed ends in a `PredictionError` that names the file and the place. What is wrong
in a segment but can be scored, as an end before its start, is kept as it stands.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from actline.errors import AnnotationError, OutputError, PredictionError
from actline.files import result_files
from actline.names import output_path
from actline.stored.limits import lifted, limits
from actline.stored.text import first_text
from actline.timeline.columns import SegmentColumns
from actline.timeline.formats import FORMATS
from actline.timeline.formats.format import ForeignFileError, Format, Results, Use
from actline.timeline.formats.frame_scores import load_scores
from actline.timeline.timeline import Timeline


class Timelines(Mapping[str, Timeline]):
    """Timelines by video, in the order of the file; each is made when it is asked for.

    Of hundreds of megabytes of results, or thousands of files of scores, a few are looked at.
    Asking for one raises a `PredictionError` where that video's file of scores is malformed.
    """

    def __init__(self, results: Results, source: Path) -> None:
        self._results, self._source = results, source
        self._videos = dict.fromkeys((*results.segments, *results.frames))

    def one(self, video: str | None = None) -> Timeline:
        """The timeline of the only video, or of the one that is named.

        Raises:
            PredictionError: there are several and none is named, or the named one is not there.
        """
        if video is None and len(self) != 1:
            raise PredictionError(
                f"{self._source} holds {len(self)} videos ({self._some()}); name one of them"
            )
        if video is not None and video not in self:
            raise PredictionError(f'{self._source} has no video "{video}"; it has {self._some()}')
        return self[next(iter(self)) if video is None else video]

    def _some(self) -> str:
        first = list(self)[:3]
        return ", ".join(first) + (", …" if len(self) > len(first) else "")

    def __getitem__(self, video: str) -> Timeline:
        if video not in self._videos:
            raise KeyError(video)
        frames = self._results.frames
        stored = load_scores(frames[video]) if video in frames else None
        if video not in self._results.segments:
            assert stored is not None
            return replace(stored, video=video)
        segments = self._results.segments[video]
        activities = tuple(sorted(segments, key=lambda one: (one.start, one.end)))
        if stored is not None:
            return replace(stored, video=video, activities=activities or stored.activities)
        # Without a duration the last end stands for it.
        last = max((max(one.start, one.end) for one in activities), default=0.0)
        duration = self._results.durations.get(video, max(last, 0.0))
        return Timeline(video=video, duration=duration, activities=activities)

    def __contains__(self, video: object) -> bool:
        return video in self._videos  # that of `Mapping` would read it

    def __iter__(self) -> Iterator[str]:
        return iter(self._videos)

    def __len__(self) -> int:
        return len(self._videos)

    def __repr__(self) -> str:
        return f"<Timelines of {len(self)} videos in {self._source}: {self._some()}>"


def read(path: str | os.PathLike[str]) -> Timelines:
    """Read predictions: a file of any of `FORMATS`, or a folder that `actline detect` wrote.

    The result maps video ids to timelines, whether there is one video or thousands:
    `read("detections")["kitchen"]`, `read("kitchen.vtt").one()`. Activities are those that
    `actline.evaluate` scores, as they stand; `Timeline.cut_to_video` is what of them can be drawn.
    Where a file tells no duration, the last end stands for it. Files for players and annotation
    tools (WebVTT, Audacity, ELAN) hold one video, named as the file. Of a folder the activities
    come from `ID.json`, or `ID.csv` where there is none, and per-frame scores from `ID.npz`.

    Raises:
        PredictionError: it is missing, malformed or too large, or holds no predictions.

    Examples:
        >>> import actline
        >>> from tempfile import mkdtemp
        >>> folder = mkdtemp()
        >>> wave = actline.Activity("wave", 1.0, 2.5, confidence=0.9)
        >>> path = actline.Timeline("kitchen", 12.0, (wave,)).save(f"{folder}/kitchen.json")
        >>> timelines = actline.read(path)
        >>> list(timelines)
        ['kitchen']
        >>> timelines["kitchen"].activities
        (Activity(label='wave', start=1.0, end=2.5, confidence=0.9),)
    """
    path = Path(path)
    if path.is_dir():
        return Timelines(_in_folder(path), path)
    if not path.is_file():
        raise PredictionError(
            f"there is no folder or file {path}; name what `actline detect` wrote"
        )
    results = read_results(path, Use(scored=False))
    for scores in results.frames.values():
        load_scores(scores)  # whatever is wrong with the only file is told at once
    return Timelines(results, path)


def read_segments(path: Path, *, labelled: bool = True) -> dict[str, SegmentColumns]:
    """Read segments to be scored, by video: a folder of `actline detect`, or one file of results.

    Args:
        labelled: False takes segments without labels too, as proposals have none.

    Raises:
        PredictionError: as `read_results`, or a segment has no score.
    """
    return read_results(path, Use(labelled=labelled)).segments


def read_results(path: Path, use: Use | None = None, *, required: bool = True) -> Results:
    """Read segments by video, from a file or a folder of files, in whichever of `FORMATS`.

    All are read segment by segment, and take some 30 bytes of memory for each. In a folder, files
    of results (JSON and tables) are read, tables only for videos that no JSON has; files that are
    neither are passed over. An id with the ending of a video is the id without.

    Args:
        use: what for; by default, to be scored.
        required: False gives no results where a folder has none.

    Raises:
        PredictionError: missing, malformed, too large, or without results; a number that is not
            one, or not finite; a video twice.
    """
    use = use or Use()
    if not path.exists():
        raise PredictionError(f"no predictions at {path}; make them with `actline detect`")
    paths = [path]
    if path.is_dir():
        paths = _results_in(path)
        if not paths and required:
            raise PredictionError(
                f"{path} holds no predictions (ID.json or ID.csv); run `actline detect`"
            )
    size = sum(one.stat().st_size for one in paths if one.is_file())
    if size > limits().results_mib << 20:
        raise PredictionError(
            f"{path} has {size >> 20} MiB of results, more than {limits().results_mib}; keep fewer "
            f"segments of each video, or {lifted('results_mib')}"
        )
    whole = Results()
    for one in paths:
        try:
            found = _read_file(one, use, named=one == path)
        except AnnotationError as error:
            raise PredictionError(str(error)) from error
        for video, segments in found.segments.items():
            if video in whole.segments and one.suffix.lower() not in FORMATS[0].endings:
                continue
            if video in whole.segments:
                raise PredictionError(f"{one}: video {video} is in another file too; keep one")
            whole.segments[video] = segments
        whole.durations.update(found.durations)
        whole.frames.update(found.frames)
    if not (whole.segments or whole.frames) and required:
        raise PredictionError(f"{path} holds no results of any video; run `actline detect` again")
    return whole


def _results_in(folder: Path) -> list[Path]:
    """The files of results in a folder; of a video in several formats, that of the first."""
    paths: dict[Path, Path] = {}
    for form in FORMATS:
        if form.role == "results" and form.write is not None:
            for path in (one for ending in form.endings for one in result_files(folder, ending)):
                paths.setdefault(path.with_suffix(""), path)
    return list(paths.values())


def _read_file(path: Path, use: Use, *, named: bool) -> Results:
    """One file; nothing if it holds no predictions and is not itself the one that was named."""
    form = _format_of(path, use, named=named)
    if form is None:
        return Results()
    if use.scored and form.role != "results":
        raise PredictionError(
            f"{path} ({form.name}) keeps no scores to rank segments by; give the .json or .csv"
        )
    try:
        return form.read(path, use)
    except ForeignFileError:
        if named:
            raise
        return Results()


def _format_of(path: Path, use: Use, *, named: bool) -> Format | None:
    """The format by content; of a file that is named, by its ending where its content tells none.

    Raises:
        PredictionError: neither tells one.
    """
    text = first_text(path, error=PredictionError, what="predictions")
    for form in FORMATS:
        if form.recognizes(text):
            return form
    if not named:
        return None
    for form in FORMATS:
        if path.suffix.lower() in form.endings and (form.role == "results" or not use.scored):
            return form
    known = ", ".join(dict.fromkeys(form.name for form in FORMATS))
    raise PredictionError(
        f"{path} holds no predictions of a known form: {known}; give one of these"
    )


def _in_folder(folder: Path) -> Results:
    """What a folder has: results, and files of scores by the video that each tells."""
    found = Results()
    if _results_in(folder):
        found = read_results(folder, Use(scored=False), required=False)
    for form in FORMATS:
        if form.role == "frames":
            for path in (one for ending in form.endings for one in result_files(folder, ending)):
                found.frames.update(form.read(path, Use(scored=False)).frames)
    if not found.segments and not found.frames:
        raise PredictionError(
            f"{folder} has no predictions (.json, .csv or .npz); "
            "name the folder `actline detect` wrote into"
        )
    return found


def with_scores_beside(timeline: Timeline, path: Path) -> Timeline:
    """A file's timeline, completed by what lies beside it: scores in `.npz`, activities in `.json`.

    Raises:
        PredictionError: a file beside it is malformed.
    """
    if path.suffix.lower() == ".npz":
        beside = path.with_suffix(".json")
        if timeline.activities or not beside.exists():
            return timeline
        return replace(timeline, activities=read(beside).one(timeline.video).activities)
    # Of one video in a folder below, or of several in one file.
    # An id that cannot be a file's name has no file.
    beside = None
    with contextlib.suppress(OutputError, OSError):
        last = timeline.video.rpartition("/")[2]
        near = [output_path(path.parent, name, ".npz") for name in (last, timeline.video)]
        beside = next((other for other in near if other.is_file()), None)
    if beside is None:
        return timeline
    return replace(load_scores(beside), video=timeline.video, activities=timeline.activities)
