"""Videos as they are given: files, folders, and a share of them."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TypeVar

from actline.errors import VideoError
from actline.names import id_of
from actline.video.find import Video, is_frame_folder, list_videos

T = TypeVar("T")
NamedVideo = str | PathLike[str] | Video
"""A file, a folder of frames or of videos; or a video with the id that its results have."""


def expand_videos(
    given: Sequence[NamedVideo],
    *,
    without: Sequence[Path] = (),
    warn: Callable[[str], None] | None = None,
) -> list[Video]:
    """Files as they are, folders as the videos in them; a folder of frames is one video.

    Ids are relative to the folder that was named. What stands in the way of a video, such as
    another of its id, is its `problem`.

    Args:
        without: folders that are not looked into, such as the one results are written to.
        warn: gets a line for each folder on the files in it that were not taken.

    Raises:
        VideoError: there is no video at all, or two of what was named have one id.
    """
    videos: list[Video] = []
    empty: list[Video] = []
    for one in given:
        if isinstance(one, Video):
            videos.append(one)
            continue
        path = Path(one)
        if not _is_folder_of_videos(path):
            videos.append(Video(id_of(path), path))
            continue
        listing = list_videos(path, without=without)
        if listing.videos:
            videos += listing.videos
        else:
            empty.append(Video("", path, f"no video in {path}; name another folder or a file"))
        if warn is not None and (told := listing.told()):
            warn(told)
    if not videos:
        raise VideoError(empty[0].problem if empty else "no video is named; name files or folders")
    return _told_apart([*videos, *empty])


def share_of(videos: Sequence[T], share: str) -> list[T]:
    """The videos that are part `i` of `n`, given as "i/n", with `i` from 0.

    Raises:
        VideoError: the share is not of that form.
    """
    part, _, parts = share.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and int(part) < int(parts)):
        raise VideoError(f'"{share}" is no share; give PART/PARTS, from 0/4 to 3/4 for four')
    return list(videos[int(part) :: int(parts)])


def _is_folder_of_videos(path: Path) -> bool:
    """Whether to list what is at `path`; what cannot be looked at is a video, to fail as one."""
    try:
        return path.is_dir() and not is_frame_folder(path)
    except (OSError, ValueError, VideoError):
        return False


def _told_apart(videos: Sequence[Video]) -> list[Video]:
    """Each path once.

    Raises:
        VideoError: two of what was named have one id, under which their results would be one.
    """
    taken: dict[str, Video] = {}
    told: list[Video] = []
    for video in videos:
        first = video if video.problem else taken.setdefault(video.id, video)
        if first.path != video.path:
            raise VideoError(
                f"{first.path} and {video.path} have the same name; give the folder that holds "
                "both, or run them with another --out"
            )
        if first is video:
            told.append(video)
    return told
