"""Listing and finding videos, in the same way for every command.

A folder's videos are the files with a video's extension and the folders of frames, in the folder
and all its subfolders. Hidden files are skipped, including the `._NAME` files of macOS. A folder is
a folder of frames if it contains numbered images, and neither it nor its subfolders contain a video
file.
"""

import os
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from actline.errors import VideoError
from actline.names import (
    VIDEO_ENDINGS,
    id_forms,
    is_video_name,
    without_ending,
)
from actline.plain import plain
from actline.stored.limits import lifted, limits
from actline.video.folders import FRAME_NAME

_COMMON = 13  # extensions that are tried before a folder is listed
_PREFERENCE = {ending: place for place, ending in enumerate(VIDEO_ENDINGS)}


@dataclass(frozen=True, slots=True)
class Video:
    """A video in a folder.

    Attributes:
        id: its path relative to the folder, without extension, with forward slashes.
        path: the file, or the folder of frames.
        problem: why it cannot be used, in one line; empty if it can.
    """

    id: str
    path: Path
    problem: str = ""


@dataclass(frozen=True)
class Listing:
    """The content of a folder of videos.

    Attributes:
        folder: the folder.
        videos: by id; of several files with one id the preferred one comes first, and the others
            have a `problem`, as have folders that cannot be read.
        passed_over: relative paths of the files that are not videos, except hidden ones.
    """

    folder: Path
    videos: tuple[Video, ...]
    passed_over: tuple[str, ...]
    _by_id: dict[str, Path] = field(default_factory=dict, repr=False)
    _by_file: dict[str, Path] = field(default_factory=dict, repr=False)
    _by_end: dict[str, list[Video]] = field(default_factory=lambda: defaultdict(list), repr=False)

    def __post_init__(self) -> None:
        for video in self.videos:
            _add(self._by_file, video.path.relative_to(self.folder).as_posix(), video.path)
            if video.problem:
                continue
            _add(self._by_id, video.id, video.path)
            parts = unicodedata.normalize("NFC", video.id).split("/")
            for first in range(1, len(parts)):
                self._by_end["/".join(parts[first:])].append(video)

    def find(self, video_id: str) -> Path | None:
        """The video of an id, in any form a data set writes it (see `id_forms`), or None.

        A video in a subfolder is also found by its name alone, if the name is unique: Kinetics'
        videos, for example, are in one folder per class.

        Raises:
            VideoError: several videos match.
        """
        forms = [
            form for wanted in self._from_here(video_id) for form in id_forms(wanted, clips=True)
        ]
        for form in forms:
            path = self._by_file.get(form) or self._by_id.get(form)
            if path is not None:
                return path
        for form in forms:
            same = self._by_end.get(form, [])
            if len(same) > 1:
                raise VideoError(
                    f"{len(same)} files in {self.folder} are called {plain(form)}: "
                    f"{_some([video.id for video in same])}; write the folder into the id"
                )
            if same:
                return same[0].path
        return None

    def told(self) -> str:
        """A short line about files that were skipped; empty if there are none."""
        if not self.passed_over:
            return ""
        count = len(self.passed_over)
        return (
            f"{self.folder}: {count} {'file is' if count == 1 else 'files are'} not taken as "
            f"video: {_some(self.passed_over)}"
        )

    def _from_here(self, video_id: str) -> Iterator[str]:
        """The id, and the id without leading folders that name this one: `videos/a` in `videos`."""
        yield video_id
        parts = video_id.split("/")
        here = Path(os.path.abspath(self.folder)).parts  # noqa: PTH100
        for count in range(1, len(parts)):
            if tuple(parts[:count]) == here[-count:]:
                yield "/".join(parts[count:])


def list_videos(folder: str | Path, *, without: Collection[Path] = ()) -> Listing:
    """List the videos in a folder and its subfolders; a folder that is linked twice counts once.

    Args:
        without: folders to leave out, such as the one results are written to.

    Raises:
        VideoError: the folder cannot be read.
    """
    return _list(Path(folder), without)[0]


def find_video(folder: str | Path, video_id: str, *, listing: Listing | None = None) -> Path:
    """The video of an id: `folder`/ID.mp4 or another extension, or the frames in `folder`/ID.

    Lower-case extensions are preferred to upper case, and files to folders; see `Listing.find` for
    the forms of an id, and for videos in subfolders.

    Args:
        listing: the folder's listing, to look for many videos; None makes one if needed.

    Raises:
        VideoError: no video matches, or several do.
    """
    folder = Path(folder)
    if any(part in ("", ".", "..") for part in video_id.split("/")):
        raise VideoError(f"no video {video_id!a} in {folder}: this is not an id; correct it")
    bare = folder / video_id
    try:
        # Most videos have exactly this name: no need to list a large folder.
        for ending in VIDEO_ENDINGS[:_COMMON]:
            path = folder / f"{video_id}{ending}"
            if path.is_file():
                return path
        if bare.is_file() or (bare.is_dir() and is_frame_folder(bare)):
            return bare
        if folder.is_dir():
            listing = listing or _kept_listing(folder, ())
            found = listing.find(video_id)
            if found is not None:
                return found
            if bare.is_dir() and not any(v.id.startswith(f"{video_id}/") for v in listing.videos):
                return bare  # reading it will report what is wrong
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(
            f"cannot look for video {video_id!r} in {folder}: {reason}; check name and folder"
        ) from error
    raise VideoError(
        f"no video {plain(video_id)} in {folder} (looked for .mp4, .mkv, … and a folder of "
        "frames); check data.videos, or leave the video out of the annotations"
    )


def find_below(folder: Path, video_id: str, endings: tuple[str, ...]) -> Path | None:
    """A video's file with one of `endings`, such as its features, found in the same way as videos.

    Raises:
        VideoError: several files match.
    """
    try:
        return _kept_listing(folder, endings).find(video_id) if folder.is_dir() else None
    except (OSError, ValueError):
        return None


def is_frame_folder(folder: Path) -> bool:
    """Whether a folder is a folder of frames: numbered images, and no video in or below it.

    Raises:
        OSError: it cannot be read.
    """
    names = os.listdir(folder)  # noqa: PTH208
    if not any(FRAME_NAME.fullmatch(name) and not name.startswith(".") for name in names):
        return False
    if any(is_video_name(name) for name in names):
        return False
    return not any(video.path.is_file() for video in _list(folder)[0].videos)


@dataclass
class _Walk:
    """A walk through a folder's tree.

    Attributes:
        endings: extensions of the files to list; empty means videos, including folders of frames.
        without: device and inode of folders not to enter: those to leave out, and those already
            entered, so that circular links end.
        dirs: the folders that were listed, and when they last changed.
    """

    endings: tuple[str, ...]
    without: set[tuple[int, int]]
    videos: list[Video] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    dirs: dict[Path, int] = field(default_factory=dict)

    def enter(self, folder: Path, prefix: str) -> None:
        """List a folder; `prefix` is its path from the top, ending with a slash."""
        about = folder.stat()
        if (about.st_dev, about.st_ino) in self.without:
            return
        self.without.add((about.st_dev, about.st_ino))
        self.dirs[folder] = about.st_mtime_ns
        with os.scandir(folder) as scanned:
            entries = sorted(
                (entry for entry in scanned if not entry.name.startswith(".")),
                key=lambda entry: (entry.is_symlink(), entry.name),
            )
        videos, pictures, folders = [], [], []
        for entry in entries:
            kind = _kind(entry)
            if kind == "folder":
                folders.append(entry.name)
            elif kind != "other" and self._stem(entry.name) is not None:
                videos.append(entry.name)
            elif not self.endings and FRAME_NAME.fullmatch(entry.name):
                pictures.append(entry.name)
            else:
                self.passed_over.append(prefix + entry.name)
        before = len(self.videos)
        for name in folders:
            self._enter_below(folder / name, prefix + name)
        self.videos += [Video(f"{prefix}{self._stem(n)}", folder / n) for n in videos]
        below = self.videos[before:]
        if pictures and prefix and not any(v.path.suffix and v.path.is_file() for v in below):
            # A folder of frames; subfolders, such as optical flow, are not separate videos.
            del self.videos[before:]
            self.videos.append(Video(prefix[:-1], folder))
        else:
            self.passed_over += [prefix + name for name in pictures]

    def _enter_below(self, folder: Path, name: str) -> None:
        """Call `enter`; a folder that cannot be listed becomes a video with a `problem`."""
        problem = ""
        if name.count("/") >= limits().depth:
            problem = f"{folder} is in more than {limits().depth} folders; {lifted('depth')}"
        else:
            try:
                self.enter(folder, f"{name}/")
            except OSError as error:
                problem = f"cannot read the folder {folder}: {error.strerror or error}"
        if problem:
            self.videos.append(Video(name, folder, problem))

    def _stem(self, name: str) -> str | None:
        """A file's name without extension; None if it is not to be listed."""
        if not self.endings:
            return without_ending(name) if is_video_name(name) else None
        ending = next((ending for ending in self.endings if name.endswith(ending)), None)
        return None if ending is None else name.removesuffix(ending)


def _list(
    folder: Path, without: Iterable[Path] = (), endings: tuple[str, ...] = ()
) -> tuple[Listing, dict[Path, int]]:
    left_out = set()
    for path in without:
        try:
            about = path.stat()
        except OSError:
            continue
        left_out.add((about.st_dev, about.st_ino))
    walk = _Walk(endings, left_out)
    try:
        walk.enter(folder, "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"cannot read the folder {folder}: {reason}; give another") from error
    return Listing(
        folder, tuple(_told_apart(walk.videos)), tuple(sorted(walk.passed_over))
    ), walk.dirs


def _told_apart(videos: Iterable[Video]) -> Iterator[Video]:
    """Videos by id; of several files with one id, the preferred one first, others as problems."""
    taken: dict[str, Video] = {}
    for video in sorted(videos, key=_preference):
        first = taken.setdefault(video.id, video)
        if first is video or video.problem:
            yield video
        else:
            yield Video(
                video.id,
                video.path,
                f"{video.path} has the same id as {first.path.name}, which is used; "
                "rename it, or give it alone with another --out",
            )


def _preference(video: Video) -> tuple[str, bool, bool, int, str]:
    ending = video.path.suffix
    is_folder = without_ending(video.path.name) == video.path.name
    place = _PREFERENCE.get(ending.lower(), len(_PREFERENCE))
    return video.id, is_folder, ending != ending.lower(), place, video.path.name


def _kind(entry: os.DirEntry[str]) -> str:
    """ "folder", "file" or "other", such as a pipe; a broken link is a file."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        mode = entry.stat(follow_symlinks=False).st_mode
        return "file" if stat.S_ISLNK(mode) else "other"
    except OSError:
        return "file"  # reading it tells what is wrong with it


def _add(paths: dict[str, Path], name: str, path: Path) -> None:
    """Add the name as it is, and with composed letters, as macOS may have decomposed them."""
    paths[name] = path
    paths.setdefault(unicodedata.normalize("NFC", name), path)


_kept: dict[tuple[Path, tuple[str, ...]], tuple[dict[Path, int], Listing]] = {}


def _kept_listing(folder: Path, endings: tuple[str, ...]) -> Listing:
    """A folder's listing, cached until it or a subfolder changes.

    Thousands of videos of a large data set may be missing, and are looked for one by one.
    """
    key = Path(os.path.abspath(folder)), endings  # noqa: PTH100
    if key in _kept:
        dirs, listing = _kept[key]
        try:
            if listing.folder == folder and all(
                path.stat().st_mtime_ns == changed for path, changed in dirs.items()
            ):
                return listing
        except OSError:
            pass
    listing, dirs = _list(folder, endings=endings)
    while len(_kept) >= 4:
        _kept.pop(next(iter(_kept)))
    _kept[key] = dirs, listing
    return listing


def _some(names: Collection[str]) -> str:
    """The first few of several names."""
    first = [plain(name) for name in list(names)[:3]]
    return ", ".join(first) + (", …" if len(names) > len(first) else "")
