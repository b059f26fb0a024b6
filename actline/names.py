"""Names of videos: file extensions, ids, and the output files made for an id.

A video's id is its name without the extension; for a video in a subfolder, its path relative to the
given folder, with forward slashes: `camA/GOPR0001`. Nothing here looks at the disk, except `id_of`.
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
    # Camcorders, recorders and broadcasts.
    *(".mts", ".m2ts", ".m2t", ".tod", ".mod", ".tp", ".trp", ".vob", ".dvd", ".m2p", ".mpe"),
    *(".m1v", ".m2v", ".mpv", ".mxf", ".gxf", ".dv", ".dif", ".wtv", ".dvr-ms", ".dav", ".insv"),
    # Older containers, and those used in games.
    *(".asf", ".rm", ".rmvb", ".nut", ".nuv", ".nsv", ".pva", ".amv", ".swf", ".viv", ".roq"),
    *(".bik", ".smk", ".flc", ".fli", ".usm", ".cpk", ".flm", ".thp", ".xmv", ".gif"),
    # Raw streams of one codec, without a container.
    *(".y4m", ".ivf", ".obu", ".h261", ".h263", ".h264", ".264", ".avc", ".h26l", ".hevc"),
    *(".h265", ".265", ".vvc", ".h266", ".266", ".mjpg", ".mjpeg", ".vc1", ".rcv", ".drc"),
    *(".vc2", ".dnxhd", ".dnxhr", ".cavs", ".avs2", ".avs3", ".evc", ".apv"),
)
"""Extensions of video files, in lower case; among files with one id, the first listed wins.

Left out, although FFmpeg may decode video from them: images (`.webp`, `.png`), audio (`.ogg`,
`.m4a`), scripts and playlists (`.avs`, `.m3u8`), and formats that do not store the frame size
(`.yuv`).
"""

_ENDINGS = frozenset(VIDEO_ENDINGS)
_DRIVE = re.compile("[A-Za-z]:")  # `C:x` is on another drive, even after a folder
# Device names, which Windows opens in any folder and with any extension.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_CLIP_TIMES = re.compile(r"_\d{6}_\d{6}$")  # first and last second of a Kinetics clip
# Control characters, unpaired surrogates (from a name that is not UTF-8), line separators.
_UNFIT = ("Cc", "Cs", "Zl", "Zp")


def is_video_name(name: str) -> bool:
    """Whether a file of this name counts as a video: by its extension, and if not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in _ENDINGS  # noqa: PTH122


def without_ending(name: str) -> str:
    """A name without the extension of a video file; any other dot stays, as in `take.1`."""
    stem, ending = os.path.splitext(name)  # noqa: PTH122
    return stem if ending.lower() in _ENDINGS else name


def id_of(path: str | os.PathLike[str]) -> str:
    """The id of a video given by its own path: a file, or a folder of frames."""
    path = Path(path)
    if path.name in ("", ".."):
        path = Path(os.path.abspath(path))  # noqa: PTH100 - links keep their own names
    return path.name if path.is_dir() else without_ending(path.name)


def id_forms(video_id: str, *, clips: bool = False) -> Iterator[str]:
    """The id and the other forms in which data sets write it, the most likely first.

    Composed and decomposed letters, with and without an extension, and with and without
    ActivityNet's prefix `v_`. The folders of `camA/GOPR0001` are part of the name: none is left
    out.

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
    """The one of `ids` that refers to this video, or None.

    If the id with its folders is not among them, folders are dropped from the front: what was found
    in `run/v1` belongs to the annotated `v1`.
    """
    parts = video_id.split("/")
    for first in range(len(parts)):
        for form in id_forms("/".join(parts[first:])):
            if form in ids:
                return form
    return None


def _is_file_name(part: str) -> bool:
    """Whether a part of an id is a valid file name on this system."""
    if os.name == "nt" and (_RESERVED.fullmatch(part) or part.endswith((".", " "))):
        return False
    return part not in ("", ".", "..")


def output_path(folder: str | os.PathLike[str], video_id: str, ending: str) -> Path:
    """Where a video's output file is written: `folder`/ID`ending`, never outside `folder`.

    Raises:
        OutputError: the id is not a valid file name, here or on other systems.
    """
    if any(unicodedata.category(character) in _UNFIT for character in video_id):
        # The operating system returns a file name that is not UTF-8 with unpaired surrogates.
        raise OutputError(
            f"cannot write results of video {video_id!a}: its name contains characters that "
            "are not text; rename the video"
        )
    parts = video_id.split("/")
    if "\\" in video_id or _DRIVE.match(video_id) or not all(map(_is_file_name, parts)):
        raise OutputError(
            f'cannot write results of video "{video_id}": its id is not a file name; '
            "rename the video"
        )
    path = Path(folder, *PurePosixPath(video_id).parts)
    return path.with_name(f"{path.name}{ending}")
