"""What an output format is: each file of this folder makes one value of `Format`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from actline.errors import AnnotationError, PredictionError
from actline.parsing import brief, parse_id, parse_name, parse_number, shown_name, video_id_of
from actline.timeline import Activity, Timeline
from actline.timeline.columns import SegmentColumns


class ForeignFileError(PredictionError):
    """A file is of the syntax of a format, as JSON or a table, but holds no predictions."""


@dataclass(frozen=True, slots=True)
class Use:
    """What segments are read for, which decides what they must have.

    Attributes:
        labelled: False takes segments without labels too, as proposals have none.
        scored: False is to show them: segments without scores are taken as 1, and labels are kept
            as they stand, or escaped where they cannot be shown; to be scored they are names, as
            those of annotations.
    """

    labelled: bool = True
    scored: bool = True

    def label(self, given: object, where: str) -> str:
        """A segment's label; one that is only to be shown may be empty.

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
    """What a file, or a folder of files, holds.

    Attributes:
        segments: by video id, in the order of the file.
        durations: seconds by video id, where the file tells them.
        frames: files of per-frame scores by video id, to be read when they are asked for.
    """

    segments: dict[str, SegmentColumns] = field(default_factory=dict)
    durations: dict[str, float] = field(default_factory=dict)
    frames: dict[str, Path] = field(default_factory=dict)


def results_of_one_video(path: Path, activities: Iterable[Activity]) -> Results:
    """The results in a file that holds one video and does not tell which: it is named as the file.

    Raises:
        AnnotationError: the file's name is no id.
    """
    video = parse_id(video_id_of(path.stem), str(path))
    return Results({video: SegmentColumns.of(tuple(activities))})


@dataclass(frozen=True, slots=True)
class Format:
    """A form of file that timelines are written in or read from.

    Attributes:
        name: as users know it, for messages.
        endings: of its files, in small letters; the first is what is written.
        recognizes: whether a file whose text begins so is of this format. It gets up to 64 KiB,
            decoded as UTF-8 with everything else left out.
        read: what a file holds, for a `Use`. Anything malformed is a `PredictionError` or
            `AnnotationError` of one line, which names the file and the place.
        write: the file's whole content; None for a format that is only read.
        role: "results" keeps labels, times and scores as they are: such files are scored, and read
            in folders, the first format first. "frames" holds per-frame scores, which belong to
            the results beside them. "display" is for players and annotation tools, and loses
            something: it is read only where the file is named, and never scored.
    """

    name: str
    endings: tuple[str, ...]
    recognizes: Callable[[str], bool]
    read: Callable[[Path, Use], Results]
    write: Callable[[Timeline], str | bytes] | None = None
    role: Literal["results", "frames", "display"] = "display"
