"""Videos given on a command line: files, folders, and a share of them."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TypeVar

from actline.errors import VideoError
from actline.names import id_of
from actline.video.find import Video, is_frame_folder, list_videos

T = TypeVar("T")
NamedVideo = str | PathLike[str] | Video
"""A file, a folder of frames or of videos, or a video with the id of its results."""


def expand_videos(
    given: Sequence[NamedVideo],
    *,
    without: Sequence[Path] = (),
    warn: Callable[[str], None] | None = None,
) -> list[Video]:
    """Expand folders into the videos in them; files and folders of frames are one video each.

    Ids are relative to the given folder. What prevents a video from being used, such as another one
    with its id, is its `problem`.

    Args:
        without: folders to leave out, such as the one results are written to.
        warn: called with a line for each folder with files that were skipped.

    Raises:
        VideoError: there are no videos, or two of the given paths have the same id.
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
    """The videos of share `i` of `n`, given as "i/n", with `i` from 0.

    Raises:
        VideoError: the share does not have that form.
    """
    part, _, parts = share.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and int(part) < int(parts)):
        raise VideoError(f'"{share}" is no share; give PART/PARTS, from 0/4 to 3/4 for four')
    return list(videos[int(part) :: int(parts)])


def _is_folder_of_videos(path: Path) -> bool:
    """Whether `path` is a folder to list; a path that cannot be accessed counts as a video."""
    try:
        return path.is_dir() and not is_frame_folder(path)
    except (OSError, ValueError, VideoError):
        return False


def _told_apart(videos: Sequence[Video]) -> list[Video]:
    """Remove duplicate paths.

    Raises:
        VideoError: two of the given paths have the same id, so that their results would collide.
    """
    taken: dict[str, Video] = {}
    told: list[Video] = []
    for video in videos:
        first = video if video.problem else taken.setdefault(video.id, video)
        if first.path != video.path:
            raise VideoError(
                f"{first.path} and {video.path} have the same name; give the folder that contains "
                "both, or run them with separate --out"
            )
        if first is video:
            told.append(video)
    return told
