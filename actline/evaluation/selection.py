"""Which annotated videos are scored, and what has to be said about that."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actline.annotations.annotations import Annotations, Fault, summary
from actline.annotations.formats import activitynet, thumos
from actline.annotations.read import read_annotations, without_videos
from actline.evaluation.protocols import Protocol

WrongVideos = Literal["count", "leave-out"]


@dataclass(frozen=True, eq=False)
class Selection:
    """The annotated videos to score.

    Attributes:
        annotations: of these videos.
        elsewhere: ids of annotated videos that are not scored, for whatever reason: predictions
            of them are not wrong.
        only_training: whether all videos are scored because they are in no subset but training.
        left_out: how many videos a list left out.
        wrong: ids of the videos that are known to be falsely annotated.
        wrong_count: whether these are scored.
        other: the annotations with `wrong` treated the other way; None where there are none.
    """

    annotations: Annotations
    elsewhere: frozenset[str]
    only_training: bool
    left_out: int
    wrong: tuple[str, ...]
    wrong_count: bool
    other: Annotations | None

    @property
    def faults(self) -> tuple[str, ...]:
        """What training would correct in the annotations and is scored as it stands, in lines."""
        scored = {video.id for video in self.annotations.videos}
        about_none = {Fault.NO_SUBSET, Fault.WRONG_VIDEO}
        told = (
            problem
            for problem in self.annotations.problems
            if problem.video in scored and about_none.isdisjoint(problem.faults)
        )
        return tuple(summary(told, mended=False))


def select(
    annotations: Annotations | str | Path,
    protocol: Protocol,
    *,
    subset: str | None = None,
    subsets: str | Path | None = None,
    classes: str | Path | None = None,
    without: str | Path | Sequence[str] | None = None,
    wrong_videos: WrongVideos | None = None,
) -> Selection:
    """Choose the videos that a protocol scores; arguments as of `evaluate`.

    Raises:
        AnnotationError: the annotations cannot be read, or none of their videos is to be scored.
    """
    if isinstance(annotations, Annotations):
        whole = annotations
    else:
        listed = None if classes is None else Path(classes)
        whole = read_annotations(Path(annotations), classes=listed, keep_wrong=True)
    if subsets is not None:
        whole = activitynet.with_subsets(whole, Path(subsets))
    only_training = subset is None and {v.subset for v in whole.videos} == {"training"}
    chosen = whole if only_training else whole.subset(subset or protocol.subset)
    left_out = len(chosen.videos)
    if without is not None:
        chosen = without_videos(chosen, without)
    left_out -= len(chosen.videos)
    right = thumos.without_wrong_videos(chosen)
    counts = protocol.counts_wrong if wrong_videos is None else wrong_videos == "count"
    differ = len(right.videos) != len(chosen.videos)
    other = right if counts else chosen
    return Selection(
        annotations=chosen if counts else right,
        elsewhere=frozenset(
            {video.id for video in whole.videos} | {problem.video for problem in whole.problems}
        ),
        only_training=only_training,
        left_out=left_out,
        wrong=tuple(thumos.wrong_videos(chosen)) if differ else (),
        wrong_count=counts,
        other=other if differ else None,
    )
