"""What videos are called: endings of their files, their ids, and the files made for an id.

A video's id is its name without ending; of one in a folder below the given one, its path from
there with forward slashes: `camA/GOPR0001`. Nothing here looks at the disk.
"""

import os
import re
import unicodedata
from collections.abc import Container, Iterator
from pathlib import Path, PurePosixPath

from actline.errors import OutputError

VIDEO_ENDINGS = (
    *(".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv"),
    *(".ogv", ".3gp", ".3g2", ".qt", ".f4v", ".ismv", ".mj2", ".psp", ".mk3d", ".ogm", ".divx"),
    # Camcorders, recorders and broadcasting.
    *(".mts", ".m2ts", ".m2t", ".tod", ".mod", ".tp", ".trp", ".vob", ".dvd", ".m2p", ".mpe"),
    *(".m1v", ".m2v", ".mpv", ".mxf", ".gxf", ".dv", ".dif", ".wtv", ".dvr-ms", ".dav", ".insv"),
    # Older containers, and those of games.
    *(".asf", ".rm", ".rmvb", ".nut", ".nuv", ".nsv", ".pva", ".amv", ".swf", ".viv", ".roq"),
    *(".bik", ".smk", ".flc", ".fli", ".usm", ".cpk", ".flm", ".thp", ".xmv", ".gif"),
    # Streams of one codec without a container.
    *(".y4m", ".ivf", ".obu", ".h261", ".h263", ".h264", ".264", ".avc", ".h26l", ".hevc"),
    *(".h265", ".265", ".vvc", ".h266", ".266", ".mjpg", ".mjpeg", ".vc1", ".rcv", ".drc"),
    *(".vc2", ".dnxhd", ".dnxhr", ".cavs", ".avs2", ".avs3", ".evc", ".apv"),
)
"""Of video files, in small letters; of one id's files, those of the first ending are preferred.

Left out, though FFmpeg may find moving pictures in them: pictures (`.webp`, `.png`), sound (`.ogg`,
`.m4a`), scripts and playlists (`.avs`, `.m3u8`), and what does not tell its size (`.yuv`).
"""

_ENDINGS = frozenset(VIDEO_ENDINGS)
_DRIVE = re.compile("[A-Za-z]:")  # `C:x` lies on another drive, whatever folder is before it
# Of devices, which Windows opens whatever folder and ending are named.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_CLIP_TIMES = re.compile(r"_\d{6}_\d{6}$")  # first and last second of a Kinetics clip
# Control characters, halves of a surrogate pair (of a name that is not UTF-8), line ends.
_UNFIT = ("Cc", "Cs", "Zl", "Zp")


def is_video_name(name: str) -> bool:
    """Whether a file of that name is taken as a video: by its ending, and not if it is hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in _ENDINGS  # noqa: PTH122


def without_ending(name: str) -> str:
    """A name without the ending of a video file; any other dot stays, as in `take.1`."""
    stem, ending = os.path.splitext(name)  # noqa: PTH122
    return stem if ending.lower() in _ENDINGS else name


def id_of(path: str | os.PathLike[str]) -> str:
    """The id of a video that is named by itself: a file, or a folder of frames."""
    path = Path(path)
    if path.name in ("", ".."):
        path = Path(os.path.abspath(path))  # noqa: PTH100 - links stay what they are called
    return path.name if path.is_dir() else without_ending(path.name)


def id_forms(video_id: str, *, clips: bool = False) -> Iterator[str]:
    """The id and other ways in which data sets write it, the likeliest first.

    Composed and decomposed letters, an ending or none, and `v_` before the name as ActivityNet's
    files have it or not. The folders of `camA/GOPR0001` are part of the name: none is left out.

    Args:
        clips: also without the seconds of a Kinetics clip, `abc` for `abc_000010_000020`.
    """
    plain = without_ending(video_id)
    whole = _CLIP_TIMES.sub("", plain) if clips else plain
    seen = {""}
    for name in (video_id, plain, whole):
        folder, slash, last = name.rpartition("/")
        for form in (name, f"{folder}{slash}{last.removeprefix('v_')}", f"{folder}{slash}v_{last}"):
            for composed in (form, *(unicodedata.normalize(kind, form) for kind in ("NFC", "NFD"))):
                if composed not in seen:
                    seen.add(composed)
                    yield composed


def matching_id(video_id: str, ids: Container[str]) -> str | None:
    """The one of `ids` that means this video; None for none.

    Where the id with its folders is not among them, those are left out from the front: what was
    found in `run/v1` belongs to the annotated `v1`.
    """
    parts = video_id.split("/")
    for first in range(len(parts)):
        for form in id_forms("/".join(parts[first:])):
            if form in ids:
                return form
    return None


def _is_file_name(part: str) -> bool:
    """Whether a part of an id can be a file's name, on this system."""
    if os.name == "nt" and (_RESERVED.fullmatch(part) or part.endswith((".", " "))):
        return False
    return part not in ("", ".", "..")


def output_path(folder: str | os.PathLike[str], video_id: str, ending: str) -> Path:
    """Where a file of a video is written: `folder`/ID`ending`, never outside of `folder`.

    Raises:
        OutputError: the id cannot be part of a file's name here, or on other systems.
    """
    if any(unicodedata.category(character) in _UNFIT for character in video_id):
        # A file name that is not UTF-8 comes out of the operating system with surrogates.
        raise OutputError(
            f"cannot write results of video {video_id!a}: its name holds characters that are no "
            "text; rename the video"
        )
    parts = video_id.split("/")
    if "\\" in video_id or _DRIVE.match(video_id) or not all(map(_is_file_name, parts)):
        raise OutputError(
            f'cannot write results of video "{video_id}": its id is no file name; rename the video'
        )
    path = Path(folder, *PurePosixPath(video_id).parts)
    return path.with_name(f"{path.name}{ending}")
