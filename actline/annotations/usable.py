"""Which videos of a data set training can use: there, with classes, with activities long enough."""

from dataclasses import replace
from pathlib import Path

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.errors import AnnotationError, VideoError
from actline.video.find import find_video, list_videos


def present(annotations: Annotations, videos: Path) -> tuple[Annotations, int]:
    """The annotations without videos that are missing from `videos`, and how many those are.

    Raises:
        VideoError: the folder has none of them, or cannot be read.
    """

    listing = list_videos(videos)

    def there(video: AnnotatedVideo) -> bool:
        try:
            find_video(videos, video.id, listing=listing)
        except VideoError:
            return False
        return True

    kept = tuple(video for video in annotations.videos if there(video))
    if not kept:
        raise VideoError(
            f"{videos} has none of the {len(annotations.videos)} annotated videos, such as "
            f"{annotations.videos[0].id}; check data.videos"
        )
    return replace(annotations, videos=kept), len(annotations.videos) - len(kept)


def videos_with_classes(annotations: Annotations) -> Annotations:
    """The annotations without videos that have no class, such as those of Kinetics' test subset.

    Raises:
        AnnotationError: none is left.
    """
    kept = tuple(video for video in annotations.videos if video.activities)
    if not kept:
        raise AnnotationError("no video has a class; give annotations with labels")
    return replace(annotations, videos=kept)


def trainable(annotations: Annotations, *, min_seconds: float) -> Annotations:
    """The annotations without shorter activities, and without videos that then have none.

    Raises:
        AnnotationError: none is left.
    """
    kept = []
    for video in annotations.videos:
        activities = tuple(a for a in video.activities if a.duration > min_seconds)
        if activities:
            kept.append(replace(video, activities=activities, listed=None))
    if not kept:
        raise AnnotationError(
            f"no training video has an activity longer than {min_seconds:g} s; lower "
            "data.min_seconds, or annotate some"
        )
    return replace(annotations, videos=tuple(kept))
