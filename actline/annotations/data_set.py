"""A whole data set: checking annotations and videos together, and converting annotations."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from actline.annotations.annotations import Annotations, summary
from actline.annotations.check import (
    Finding,
    check_annotations,
    check_videos,
    holds_any_of,
    holds_videos,
)
from actline.annotations.formats import activitynet, charades, table
from actline.annotations.read import find_classes, read_annotations
from actline.annotations.statistics import Statistics, statistics
from actline.errors import AnnotationError, OutputError
from actline.files import write_text
from actline.progress import progress

ENDINGS = (".csv", ".json")


@dataclass(frozen=True, eq=False)
class DataCheck:
    """The content of a data set, and what is wrong with it.

    Attributes:
        annotations: as read, without malformed entries.
        findings: what is wrong.
        statistics: counts of the content.
        videos: the folder of videos that was checked, or None.
        passed_over: a folder next to the annotations that contains none of their videos.
    """

    annotations: Annotations
    findings: tuple[Finding, ...]
    statistics: Statistics
    videos: Path | None
    passed_over: Path | None

    @property
    def serious(self) -> bool:
        """Whether training, detection or evaluation would fail or go wrong."""
        return any(finding.serious for finding in self.findings)


def check_data(
    data: str | Path,
    *,
    annotations: str | Path | None = None,
    videos: str | Path | None = None,
    classes: str | Path | None = None,
    quick: bool = False,
    decode: bool = False,
    frame_rate: float = 24.0,
    failure: Callable[[Path, Exception], str] | None = None,
) -> DataCheck:
    """Check a data set for faults, and count its content.

    Args:
        data: a data set's folder, or an annotations file.
        annotations: the annotations file; by default the one in the folder.
        videos: the folder of videos; by default `data/videos`, or `data` itself.
        classes: a file of class names; by default the one next to the annotations.
        quick: whether only the beginnings of videos are read.
        decode: whether every video is decoded to its end.
        frame_rate: frames per second of videos that are folders of frames.
        failure: the message for an unexpected error.

    Raises:
        AnnotationError: the annotations cannot be read at all.
    """
    if not frame_rate > 0:
        raise AnnotationError(f"the frame rate must be above 0, such as 24, not {frame_rate:g}")
    given = Path(data)
    folder = given if given.is_dir() else given.parent
    read = read_annotations(
        annotations or given, classes=classes or find_classes(folder), strict=False
    )
    looked_at = Path(videos) if videos else _default_videos(folder, required=given.is_dir())
    passed_over = None
    # A single file may be next to other videos.
    beside = not (videos or given.is_dir())
    if beside and looked_at is not None and not holds_any_of(looked_at, read):
        looked_at, passed_over = None, looked_at
    findings, seconds = check_annotations(read), None
    if looked_at is not None:
        options = {} if failure is None else {"failure": failure}
        with progress("checking videos", len(read.videos), unit="videos") as advance:
            more, seconds = check_videos(
                read,
                looked_at,
                whole=not quick,
                decode=decode,
                frame_rate=frame_rate,
                advance=advance,
                **options,
            )
        findings = (*more, *findings)
    return DataCheck(read, findings, statistics(read, seconds), looked_at, passed_over)


def _default_videos(folder: Path, *, required: bool) -> Path | None:
    """The default folder of videos; None only if it is not `required`."""
    if (folder / "videos").is_dir():
        return folder / "videos"
    if holds_videos(folder, below=required):
        return folder
    return folder / "videos" if required else None


@dataclass(frozen=True, eq=False)
class Converted:
    """Annotations written in another format.

    Attributes:
        path: the file.
        classes: the file of class names next to it, for Charades' numbers; else None.
        mended: whether faults were corrected as for training, as in a table, or kept.
        faults: these faults, one line each.
        videos, activities: number written.
    """

    path: Path
    classes: Path | None
    mended: bool
    faults: tuple[str, ...]
    videos: int
    activities: int


def convert_annotations(
    given: str | Path,
    out: str | Path,
    *,
    classes: str | Path | None = None,
    with_numbers: bool = False,
) -> Converted:
    """Read annotations in any known format, and write them as a table or as JSON.

    Args:
        given: the file or folder.
        out: ending in .csv for a table, in .json for ActivityNet's format.
        classes: a file of class names, if the annotations lack them.
        with_numbers: write JSON like charades.json, with class numbers, and their names in a file
            next to it.

    Raises:
        OutputError: `out` has another extension, is the input itself, or cannot be written.
        AnnotationError: the annotations cannot be read.
    """
    given, out = Path(given), Path(out)
    ending = out.suffix.lower()
    if ending not in ENDINGS or (with_numbers and ending != ".json"):
        wanted = ".json" if with_numbers else " or ".join(ENDINGS)
        raise OutputError(f"cannot write {out}: name a file ending in {wanted}")
    if out.exists() and given.exists() and out.samefile(given):
        raise OutputError(f"{out} is the input itself; name another file")
    annotations = read_annotations(given, classes=classes, keep_wrong=True)
    names = None
    if ending == ".csv":
        table.write_table(annotations, out)
    elif with_numbers:
        charades.write_charades(annotations, out)
        names = out.with_suffix(".classes.txt")
        write_text(names, "\n".join(annotations.classes) + "\n")
    else:
        activitynet.write_activitynet(annotations, out)
    mended = ending == ".csv"
    written = (video.activities if mended else video.truth for video in annotations.videos)
    return Converted(
        path=out,
        classes=names,
        mended=mended,
        faults=tuple(summary(annotations.problems, mended=mended)),
        videos=len(annotations.videos),
        activities=sum(map(len, written)),
    )
