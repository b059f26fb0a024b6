"""Videos named on the command line, and going through them."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from actline.errors import FeatureError, VideoError
from actline.progress import progress
from actline.video.decode import shown_times
from actline.video.sampling import VIDEO_SUFFIXES


def expand_videos(given: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as the videos in them; a folder of frames is one video.

    Raises:
        VideoError: a folder holds no video, or two videos have the same name, under which their
            results would overwrite each other.
    """
    videos: list[Path] = []
    for path in given:
        if path.is_dir() and not any(path.glob("*.jpg")):
            try:
                inside = sorted(
                    child
                    for child in path.iterdir()
                    if child.suffix.lower() in VIDEO_SUFFIXES
                    or (child.is_dir() and any(child.glob("*.jpg")))
                )
            except OSError as error:
                raise VideoError(f"cannot read the folder {path}: {error.strerror}") from error
            if not inside:
                raise VideoError(f"no video in {path}; name another folder or a file")
            videos += inside
        else:
            videos.append(path)
    named: dict[str, Path] = {}
    for video in videos:
        other = named.setdefault(video.stem, video)
        if other != video:
            raise VideoError(f"{other} and {video} have the same name; run them with another --out")
    return list(named.values())


def share_of(videos: Sequence[Path], share: str) -> list[Path]:
    """The videos that are part `i` of `n`, given as "i/n", with `i` from 0.

    Raises:
        VideoError: the share is not of that form.
    """
    part, _, parts = share.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and int(part) < int(parts)):
        raise VideoError(f'"{share}" is no share; give PART/PARTS, from 0/4 to 3/4 for four')
    return list(videos[int(part) :: int(parts)])


def tell_notes(video: Path) -> None:
    """Print what is unusual about the time of a video that has been read."""
    for note in shown_times(video).notes:
        print(f"{video.name}: {note}")


def for_each_video(
    what: str,
    videos: Sequence[Path],
    work: Callable[[Path], None],
    *,
    done: Callable[[Path], bool],
) -> int:
    """Do `work` on every video that is not `done`; a bad one is reported and the rest go on.

    Returns:
        The exit status: 1 when a video failed.
    """
    waiting = [video for video in videos if not done(video)]
    if len(waiting) < len(videos):
        print(f"{len(videos) - len(waiting)} of {len(videos)} videos are done already")
    failed = 0
    with progress(what, total=len(waiting), unit="videos") as advance:
        for video in waiting:
            try:
                work(video)
            except (VideoError, FeatureError) as error:
                failed += 1
                print(f"actline: {error}", file=sys.stderr)
            advance(1, video.name)
    if failed:
        print(f"actline: {failed} of {len(videos)} videos failed", file=sys.stderr)
    return 1 if failed else 0
