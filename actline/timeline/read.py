"""Reading predictions from files and folders of any format, for all commands.

Malformed content is a `PredictionError` that names the file and the place. Faulty segments that can
still be scored, such as an end before its start, are kept unchanged.
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
    """Timelines by video, in the order of the file; each is made on access.

    Often only a few of many are needed: there may be hundreds of megabytes of results, or thousands
    of files of scores. Access raises a `PredictionError` if the video's file of scores is
    malformed.
    """

    def __init__(self, results: Results, source: Path) -> None:
        self._results, self._source = results, source
        self._videos = dict.fromkeys((*results.segments, *results.frames))

    def one(self, video: str | None = None) -> Timeline:
        """The timeline of the only video, or of the named one.

        Raises:
            PredictionError: there are several and none is named, or the named one is missing.
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
        # Without a duration, the last end is used instead.
        last = max((max(one.start, one.end) for one in activities), default=0.0)
        duration = self._results.durations.get(video, max(last, 0.0))
        return Timeline(video=video, duration=duration, activities=activities)

    def __contains__(self, video: object) -> bool:
        return video in self._videos  # the default of `Mapping` would read it

    def __iter__(self) -> Iterator[str]:
        return iter(self._videos)

    def __len__(self) -> int:
        return len(self._videos)

    def __repr__(self) -> str:
        return f"<Timelines of {len(self)} videos in {self._source}: {self._some()}>"


def read(path: str | os.PathLike[str]) -> Timelines:
    """Read predictions: a file of any of `FORMATS`, or a folder that `actline detect` wrote.

    The result maps video ids to timelines, whether there is one video or thousands:
    `read("detections")["kitchen"]`, `read("kitchen.vtt").one()`. Activities are unchanged, as
    `actline.evaluate` scores them; `Timeline.cut_to_video` gives those that can be drawn. If a file
    has no duration, the last end is used instead. Files for players and annotation tools (WebVTT,
    Audacity, ELAN) hold one video, named after the file. In a folder, activities come from
    `ID.json`, or else `ID.csv`, and per-frame scores from `ID.npz`.

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
        load_scores(scores)  # report errors of the only file at once
    return Timelines(results, path)


def read_segments(path: Path, *, labelled: bool = True) -> dict[str, SegmentColumns]:
    """Read segments for scoring, by video, from a folder of `actline detect` or a results file.

    Args:
        labelled: False accepts segments without labels too, as proposals have none.

    Raises:
        PredictionError: as `read_results`, or a segment has no score.
    """
    return read_results(path, Use(labelled=labelled)).segments


def read_results(path: Path, use: Use | None = None, *, required: bool = True) -> Results:
    """Read segments by video, from a file or a folder of files, in any of `FORMATS`.

    Segments are read one by one and take about 30 bytes of memory each. In a folder, files of
    results (JSON and tables) are read, tables only for videos without a JSON; other files are
    skipped. The extension of a video in an id is dropped.

    Args:
        use: the purpose; by default, scoring.
        required: False returns empty results if a folder has none.

    Raises:
        PredictionError: the file is missing, malformed, too large, or without results; a number is
            invalid or not finite; a video appears twice.
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
                raise PredictionError(f"{one}: video {video} is also in another file; keep one")
            whole.segments[video] = segments
        whole.durations.update(found.durations)
        whole.frames.update(found.frames)
    if not (whole.segments or whole.frames) and required:
        raise PredictionError(f"{path} holds no results of any video; run `actline detect` again")
    return whole


def _results_in(folder: Path) -> list[Path]:
    """The files of results in a folder; for a video in several formats, the first one."""
    paths: dict[Path, Path] = {}
    for form in FORMATS:
        if form.role == "results" and form.write is not None:
            for path in (one for ending in form.endings for one in result_files(folder, ending)):
                paths.setdefault(path.with_suffix(""), path)
    return list(paths.values())


def _read_file(path: Path, use: Use, *, named: bool) -> Results:
    """Read one file; empty if it holds no predictions and was not given by name."""
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
    """The format by content or, if that is unclear and the file is `named`, by extension.

    Raises:
        PredictionError: neither determines a format.
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
        f"{path} holds no predictions of a known format: {known}; give one of these"
    )


def _in_folder(folder: Path) -> Results:
    """The content of a folder: results, and files of scores by video."""
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
    """A file's timeline, completed from files next to it: scores (`.npz`), activities (`.json`).

    Raises:
        PredictionError: a file next to it is malformed.
    """
    if path.suffix.lower() == ".npz":
        beside = path.with_suffix(".json")
        if timeline.activities or not beside.exists():
            return timeline
        return replace(timeline, activities=read(beside).one(timeline.video).activities)
    # A video in a subfolder, or one of several in a file.
    # An id that is not a valid file name has no file.
    beside = None
    with contextlib.suppress(OutputError, OSError):
        last = timeline.video.rpartition("/")[2]
        near = [output_path(path.parent, name, ".npz") for name in (last, timeline.video)]
        beside = next((other for other in near if other.is_file()), None)
    if beside is None:
        return timeline
    return replace(load_scores(beside), video=timeline.video, activities=timeline.activities)
