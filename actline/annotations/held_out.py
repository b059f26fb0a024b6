"""Holding out a validation subset, for annotations without one."""

import hashlib
from dataclasses import replace

from actline.annotations.annotations import Annotations
from actline.errors import AnnotationError


def with_held_out(
    annotations: Annotations, *, training: str, validation: str, share: float
) -> tuple[Annotations, int]:
    """Move some of the videos to the validation subset, if all are in the training subset.

    The choice depends only on the ids: held out videos stay so when others are added.

    Args:
        share: approximate share; of two or more videos at least one is held out and one is not.

    Returns:
        The annotations, and how many videos were moved; 0 if the annotations have other subsets
        than training.

    Raises:
        AnnotationError: there is only one video.
    """
    if training == validation or {video.subset for video in annotations.videos} != {training}:
        return annotations, 0
    ids = sorted((video.id for video in annotations.videos), key=_place)
    if len(ids) < 2:
        raise AnnotationError(
            f"the annotations have only one video, {ids[0]}, and none to validate on; "
            "annotate another"
        )
    chosen = {video_id for video_id in ids if _place(video_id) < share}
    chosen = (chosen | {ids[0]}) - {ids[-1]}
    videos = tuple(
        replace(video, subset=validation) if video.id in chosen else video
        for video in annotations.videos
    )
    return replace(annotations, videos=videos), len(chosen)


def _place(video_id: str) -> float:
    """A number between 0 and 1 determined by the id."""
    digest = hashlib.sha256(video_id.encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
