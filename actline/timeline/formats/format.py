"""The interface of output formats: each file in this folder defines one `Format`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from actline.errors import AnnotationError, PredictionError
from actline.parsing import brief, parse_id, parse_name, parse_number, shown_name, video_id_of
from actline.timeline import Activity, Timeline
from actline.timeline.columns import SegmentColumns


class ForeignFileError(PredictionError):
    """A file has the syntax of a format, such as JSON or a table, but holds no predictions."""


@dataclass(frozen=True, slots=True)
class Use:
    """The purpose of reading segments, which decides what they must have.

    Attributes:
        labelled: False accepts segments without labels too, as proposals have none.
        scored: False reads them for display: missing scores become 1, and labels are kept, or
            escaped if they cannot be shown. For scoring, labels must be valid names, as in
            annotations.
    """

    labelled: bool = True
    scored: bool = True

    def label(self, given: object, where: str) -> str:
        """A segment's label; it may be empty if it is only displayed.

        Raises:
            AnnotationError: it is not a name.
        """
        if self.scored or not isinstance(given, str):
            return parse_name(given, "label", where)
        return shown_name(given)


def parse_score(given: object, where: str) -> float:
    """A segment's score.

    Raises:
        PredictionError: it is not a finite number.
    """
    try:
        return parse_number(given, where)
    except AnnotationError as error:
        raise PredictionError(f"{where}: score {brief(given)} is not a finite number") from error


@dataclass(frozen=True)
class Results:
    """The content of a file, or of a folder of files.

    Attributes:
        segments: segments by video id, in the order of the file.
        durations: seconds by video id, if the file states them.
        frames: files of per-frame scores by video id, read on access.
    """

    segments: dict[str, SegmentColumns] = field(default_factory=dict)
    durations: dict[str, float] = field(default_factory=dict)
    frames: dict[str, Path] = field(default_factory=dict)


def results_of_one_video(path: Path, activities: Iterable[Activity]) -> Results:
    """The results in a file of one video without an id: the video is named after the file.

    Raises:
        AnnotationError: the file's name is not a valid id.
    """
    video = parse_id(video_id_of(path.stem), str(path))
    return Results({video: SegmentColumns.of(tuple(activities))})


@dataclass(frozen=True, slots=True)
class Format:
    """A file format that timelines are written in or read from.

    Attributes:
        name: its name for users, in messages.
        endings: its file extensions, in lower case; the first is the one written.
        recognizes: whether a file that begins with this text has the format. It is given up to 64
            KiB, decoded as UTF-8 without invalid bytes.
        read: reads a file for a `Use`. Malformed content is a `PredictionError` or
            `AnnotationError` of one line, which names the file and the place.
        write: returns the file's whole content; None for a format that is only read.
        role: "results" keeps labels, times and scores exactly: such files are scored, and read from
            folders, preferring the first format. "frames" holds per-frame scores, which belong to
            the results next to them. "display" is for players and annotation tools, and loses
            information: such files are read only if given by name, and never scored.
    """

    name: str
    endings: tuple[str, ...]
    recognizes: Callable[[str], bool]
    read: Callable[[Path, Use], Results]
    write: Callable[[Timeline], str | bytes] | None = None
    role: Literal["results", "frames", "display"] = "display"
