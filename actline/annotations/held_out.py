"""A part to validate on, of annotations that name none."""

import hashlib
from dataclasses import replace

from actline.annotations.annotations import Annotations
from actline.errors import AnnotationError


def with_held_out(
    annotations: Annotations, *, training: str, validation: str, share: float
) -> tuple[Annotations, int]:
    """Move some of the videos to the validation subset, where all are in the training one.

    Which ones follows from their ids alone: those that are held out stay so when others are added.

    Args:
        share: about how many; of two videos and more at least one is held out and one is not.

    Returns:
        The annotations, and how many videos were moved; 0 where the annotations name other
        subsets than the training one.

    Raises:
        AnnotationError: there is one video alone.
    """
    if training == validation or {video.subset for video in annotations.videos} != {training}:
        return annotations, 0
    ids = sorted((video.id for video in annotations.videos), key=_place)
    if len(ids) < 2:
        raise AnnotationError(
            f"the annotations have one video alone, {ids[0]}, and none to validate on; "
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
    """A place between 0 and 1 that follows from the id."""
    digest = hashlib.sha256(video_id.encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
