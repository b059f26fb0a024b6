"""Videos named on the command line, and going through them."""

import contextlib
import errno
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from actline.cli.standard import failure, say
from actline.detection.provenance import RECORDS
from actline.errors import OutputError, VideoError
from actline.files import Claims, sweep_once
from actline.names import id_of, output_path
from actline.plain import plain
from actline.progress import progress
from actline.video.decode import shown_times
from actline.video.find import Video, is_frame_folder, list_videos

T = TypeVar("T")

# No room, no right to write at all: no other video would fare better.
_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def expand_videos(given: Sequence[Path], *, without: Sequence[Path] = ()) -> list[Video]:
    """Files as they are, folders as the videos in them; a folder of frames is one video.

    Ids are relative to the folder that was named. What stands in the way of a video, such as
    another of its id, is its `problem`. Files that were not taken are named on standard error.

    Args:
        without: folders that are not looked into, such as the one results are written to.

    Raises:
        VideoError: there is no video at all, or two of what was named have one id.
    """
    videos: list[Video] = []
    empty: list[Video] = []
    for path in given:
        if not _is_folder_of_videos(path):
            videos.append(Video(id_of(path), path))
            continue
        listing = list_videos(path, without=without)
        if listing.videos:
            videos += listing.videos
        else:
            empty.append(Video("", path, f"no video in {path}; name another folder or a file"))
        if told := listing.told():
            say(f"actline: {plain(told)}", error=True)
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


def tell_notes(video: Video) -> None:
    """Print what is unusual about the time of a video that has been read."""
    for note in shown_times(video.path).notes:
        say(f"{video.path.name}: {note}")


def for_each_video(
    what: str,
    videos: Sequence[Video],
    work: Callable[[Video], None],
    *,
    out: Path,
    done: Callable[[Video], bool],
) -> int:
    """Do `work` on every video that is not `done`; a bad one is reported and the rest go on.

    Whatever `work` or `done` raise of one video is that video's failure. Only what no other video
    would be spared of ends the run: an interrupt, and a disk that is full or read-only.

    Processes that write into one folder share the videos: one that another is at is left to it,
    and looked at again in the end. What killed ones were writing is removed.

    Args:
        out: the folder that results are written to.

    Returns:
        The exit status: 1 when a video failed.
    """
    failed = 0

    @contextlib.contextmanager
    def counted(video: Video) -> Iterator[None]:
        nonlocal failed
        try:
            yield
        except Exception as error:
            if isinstance(error, OutputError) and _errno(error) in _HOPELESS:
                raise
            failed += 1
            say(f"actline: {failure(video.path, error)}", error=True)

    waiting = []
    for video in videos:
        with counted(video):
            if video.problem:
                raise VideoError(video.problem)
            if not done(video):
                waiting.append(video)
    skipped = len(videos) - len(waiting) - failed
    if skipped:
        say(f"{skipped} of {len(videos)} videos are done already")
    _sweep(out, videos)
    elsewhere = 0
    busy: list[Video] = []
    turns = itertools.chain(((video, False) for video in waiting), ((v, True) for v in busy))
    with contextlib.ExitStack() as stack:
        advance = stack.enter_context(progress(what, total=len(waiting), unit="videos"))
        # Where there is nothing to do, nothing is written either.
        claims = stack.enter_context(Claims(out)) if waiting else None
        for video, last in turns:
            assert claims is not None
            if not claims.take(video.id):
                if not last:
                    busy.append(video)
                    continue
                say(f"{video.id}: waits for another process that is at it")
                claims.take(video.id, wait=True)
            try:
                with counted(video):
                    if done(video):
                        elsewhere += 1
                    else:
                        work(video)
            finally:
                claims.release(video.id)
            advance(1, plain(video.path.name))
    if elsewhere:
        say(f"{elsewhere} of {len(videos)} videos were done by another process meanwhile")
    if failed:
        say(f"actline: {failed} of {len(videos)} videos failed", error=True)
    return 1 if failed else 0


def _sweep(out: Path, videos: Sequence[Video]) -> None:
    """Remove what killed processes were writing, where there may be nothing to write now."""
    folders = {out, out / RECORDS}
    for video in videos:
        with contextlib.suppress(OutputError):
            folders.add(output_path(out, video.id, "").parent)
    for folder in folders:
        sweep_once(folder)


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


def _errno(error: BaseException) -> int | None:
    cause = error.__cause__
    return cause.errno if isinstance(cause, OSError) else None
