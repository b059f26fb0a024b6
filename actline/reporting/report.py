"""`actline.report`: predictions and videos brought together on one page."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actline.annotations.annotations import Annotations
from actline.annotations.read import read_annotations
from actline.errors import PredictionError, VideoError
from actline.parsing import annotated_id
from actline.reporting.html import ReportedVideo, write_report
from actline.reporting.media import Failed
from actline.reporting.metrics import read_metrics
from actline.timeline import Timeline
from actline.timeline.read import read
from actline.video.find import find_video

MOST_VIDEOS = 20  # when none are named: a page is looked at by a person

Told = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Attributes:
        path: the page.
        videos: ids of the videos it shows; for those that failed it says so.
        more: how many further videos have predictions.
        failed: what could not be shown, and why, by its file.
        notes: what is shown differently from what was given, one line each.
    """

    path: Path
    videos: tuple[str, ...]
    more: int
    failed: tuple[tuple[Path, Exception], ...]
    notes: tuple[str, ...]


def report(
    predictions: str | os.PathLike[str] | Iterable[Timeline],
    videos: str | os.PathLike[str],
    out: str | os.PathLike[str] = "report.html",
    *,
    annotations: Annotations | str | os.PathLike[str] | None = None,
    metrics: Sequence[str | os.PathLike[str]] = (),
    only: Sequence[str] | None = None,
    min_confidence: float = 0.0,
    embed_video: bool = True,
    note: Told = lambda line: None,
    failed: Failed = lambda video, error: None,
) -> Report:
    """Write one self-contained HTML page that shows videos next to their timelines.

    Args:
        predictions: timelines, or a folder or file of predictions in any format that is read.
        videos: the folder that holds the videos.
        out: the page.
        annotations: true activities to show as well.
        metrics: scores that `Evaluation.save` or `actline evaluate --out` wrote as JSON.
        only: ids of the videos to show, in this order; by default the first 20.
        min_confidence: activities of lower confidence are not shown.
        embed_video: put the videos into the page, rather than links to them.
        note: gets each line of `Report.notes` at once.
        failed: called with each video that cannot be shown, and why; the others are shown.

    Raises:
        PredictionError: the predictions or scores cannot be read, or no video can be shown.
        VideoError: `videos` is not a folder.
        AnnotationError: the annotations cannot be read.
        OutputError: the page cannot be written.

    Examples:
        >>> import actline
        >>> page = actline.report("detections", "videos", "report.html")  # doctest: +SKIP
        >>> page.videos  # doctest: +SKIP
        ('hall', 'kitchen')
    """
    folder = Path(videos)
    if not folder.is_dir():
        raise VideoError(f"{folder} is not a folder; name the one that holds the videos")
    tables = [table for path in metrics for table in read_metrics(path)]
    source = "the annotations"
    if annotations is not None and not isinstance(annotations, Annotations):
        source, annotations = os.fspath(annotations), read_annotations(Path(annotations))
    found = _by_video(predictions)
    wanted = tuple(only or sorted(found)[:MOST_VIDEOS])
    for video in wanted:
        if video not in found:
            given = predictions if isinstance(predictions, str | os.PathLike) else "the timelines"
            raise PredictionError(f'{given} has no predictions of video "{video}"')
    telling = _Telling(note, failed)
    pages: list[ReportedVideo] = []
    for video in wanted:
        try:
            timeline = found[video].filter(min_confidence=min_confidence)
            pages.append(_shown(timeline, folder, annotations, source, telling.note))
        except Exception as error:  # whatever is wrong with one video, the others are shown
            telling.failed(Path(video), error)
    if not pages:
        raise PredictionError(f"no video can be shown in {out}; nothing is written")
    path = write_report(
        out, timelines=pages, metrics=tables, embed_video=embed_video, failed=telling.failed
    )
    more = 0 if only else len(found) - len(wanted)
    return Report(path, wanted, more, tuple(telling.failures), tuple(telling.notes))


class _Telling:
    """What is to be reported, at once and in the result."""

    def __init__(self, note: Told, failed: Failed) -> None:
        self._note, self._failed = note, failed
        self.notes: list[str] = []
        self.failures: list[tuple[Path, Exception]] = []

    def note(self, line: str) -> None:
        self.notes.append(line)
        self._note(line)

    def failed(self, path: Path, error: Exception) -> None:
        self.failures.append((path, error))
        self._failed(path, error)


def _by_video(
    predictions: str | os.PathLike[str] | Iterable[Timeline],
) -> Mapping[str, Timeline]:
    if isinstance(predictions, str | os.PathLike):
        return read(predictions)
    return {timeline.video: timeline for timeline in predictions}


def _shown(
    timeline: Timeline,
    folder: Path,
    annotations: Annotations | None,
    source: str,
    told: Told,
) -> ReportedVideo:
    """A video of the page; what cannot be shown of it is reported."""
    video = timeline.video
    try:
        path = find_video(folder, video)
    except VideoError as error:
        told(str(error))
        path = None
    inside = timeline.cut_to_video()
    if len(inside.activities) < len(timeline.activities):
        gone = len(timeline.activities) - len(inside.activities)
        told(
            f"{gone} of {len(timeline.activities)} activities of video {video} lie "
            "outside it or end before they start: not shown"
        )
    truth = None
    if annotations is not None:
        known = annotated_id(video, annotations)
        if known is None:
            told(f'{source} has no video "{video}"')
        else:
            truth = annotations[known].activities
    return ReportedVideo(inside, path, truth)
