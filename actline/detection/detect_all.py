"""Detection in many videos: finished ones are skipped, bad ones reported, results written."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from actline.detection.batch import Outcome, for_each_video
from actline.detection.detector import Detector
from actline.detection.given import GivenSegments
from actline.detection.provenance import DetectionRecords
from actline.detection.segments import check_gap
from actline.errors import OutputError, VideoError
from actline.names import output_path
from actline.timeline import Timeline
from actline.timeline.write import ENDINGS, save_formats
from actline.video.find import Video
from actline.video.given import NamedVideo, expand_videos, share_of


@dataclass(frozen=True)
class _Options:
    """What is handed to `Detector.detect`."""

    threshold: float | None
    min_seconds: float
    max_gap: float
    frame_rate: float

    def settings(self, model: Detector) -> dict[str, object]:
        """What detections depend on, whatever the video."""
        settings: dict[str, object] = {
            "min_seconds": self.min_seconds,
            "threshold": self.threshold,
        }
        return {**settings, "max_gap": self.max_gap} if model.per_frame else settings


def detect_all(
    videos: NamedVideo | Sequence[NamedVideo] | None,
    model: Detector,
    *,
    out: str | PathLike[str] | None = None,
    formats: Sequence[str] = ENDINGS,
    workers: int = 1,
    overwrite: bool = False,
    share: str = "0/1",
    threshold: float | None = None,
    min_seconds: float = 0.0,
    max_gap: float = 0.0,
    frame_rate: float = 24.0,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = lambda line: None,
) -> Iterator[Outcome[Timeline]]:
    """Detect in videos one by one, and write each one's timeline before going on.

    Videos that are done are skipped: the same input with the same model and settings, not just a
    file of the same name. One that cannot be read fails, and the rest go on. Several processes that
    write into one folder share the videos.

    Args:
        videos: files, or folders of videos; None takes those with stored features, for a chain.
        model: from `actline.load_model`.
        out: folder that gets ID.json and so on, for a video's ID; None writes nothing.
        formats: which to write, of `actline.timeline.write.ENDINGS`; a chain has no per-frame
            scores, and writes no npz.
        workers: threads, each working on its own video. More than one pays where decoding is
            slower than the network, as on a GPU; results come as they are done.
        overwrite: do finished videos again.
        share: "i/n" does only part i of n, with i from 0.
        threshold: of the probability per frame, for all classes, in place of the checkpoint's own;
            of segments, the least confidence.
        min_seconds: shorter activities are dropped.
        max_gap: seconds; stretches of one class with a shorter gap between them are one. For
            per-frame detection alone.
        frame_rate: of frame folders.
        say: gets lines on what was done before, or by others.
        warn: gets lines on files that were not taken as videos.

    Yields:
        What became of each video, as soon as it is known.

    Raises:
        VideoError: there is no video.
        OutputError: the folder holds detections of another model or other settings, or cannot be
            written.

    Examples:
        >>> for outcome in actline.detect_all("videos", model, out="detections"):
        ...     if outcome.status == "failed":
        ...         print(outcome.video.id, outcome.error)
    """
    out = None if out is None else Path(out)
    options = _Options(threshold, min_seconds, max_gap, frame_rate)
    formats = formats if model.per_frame else _without_scores(formats)
    if not model.per_frame:
        check_gap(max_gap)
    found = share_of(_found(videos, model, out, warn), share)
    results = None
    if out is not None:
        settings = options.settings(model)
        records = DetectionRecords(out, model, settings, overwrite=overwrite)
        results = _Results(records, formats, media=videos is not None)
    return _detected(found, model, options, results, workers=workers, say=say)


def _without_scores(formats: Sequence[str]) -> Sequence[str]:
    """The formats that a chain can write."""
    formats = [ending for ending in formats if ending != "npz"]
    if not formats:
        raise OutputError("a chain has no per-frame scores; choose formats other than npz")
    return formats


def _found(
    videos: NamedVideo | Sequence[NamedVideo] | None,
    model: Detector,
    out: Path | None,
    warn: Callable[[str], None],
) -> list[Video]:
    """The videos that are named, or stored."""
    if isinstance(videos, str | PathLike | Video):
        videos = [videos]
    if videos is not None:
        return expand_videos(videos, without=[] if out is None else [out], warn=warn)
    if isinstance(model, GivenSegments):
        return model.videos()
    raise VideoError("no video is named; name files or folders")


@dataclass(frozen=True)
class _Results:
    """The folder that results are written to.

    Attributes:
        media: whether the videos' files are named in results.
    """

    records: DetectionRecords
    formats: Sequence[str]
    media: bool

    def done(self, video: Video, frame_rate: float) -> bool:
        """Whether all of a video's results exist, from exactly this input and these settings."""
        out = self.records.folder
        paths = [output_path(out, video.id, f".{ending}") for ending in self.formats]
        made = self.records.made_of(video, frame_rate=frame_rate)
        return self.records.done(video, made) and all(path.exists() for path in paths)

    def save(self, timeline: Timeline, video: Video) -> None:
        """Write a video's results."""
        media = video.path.resolve() if self.media else None
        save_formats(timeline, self.records.folder, formats=self.formats, media=media)


def _detected(
    videos: Sequence[Video],
    model: Detector,
    options: _Options,
    results: _Results | None,
    *,
    workers: int,
    say: Callable[[str], None],
) -> Iterator[Outcome[Timeline]]:
    rate = options.frame_rate

    def done(video: Video) -> bool:
        return results is not None and results.done(video, rate)

    def work(video: Video, on_frames: Callable[[int], None]) -> Timeline:
        # Before the video is read: it may change meanwhile.
        made = None if results is None else results.records.made_of(video, frame_rate=rate)
        timeline = model.detect(
            video,
            threshold=options.threshold,
            min_seconds=options.min_seconds,
            max_gap=options.max_gap,
            frame_rate=rate,
            on_frames=on_frames,
        )
        if results is not None and made is not None:
            results.save(timeline, video)
            results.records.note(video, made)
        return timeline

    out = None if results is None else results.records.folder
    return for_each_video("detecting", videos, work, out=out, done=done, workers=workers, say=say)
