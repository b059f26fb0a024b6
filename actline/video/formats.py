"""Restrictions for FFmpeg: it reads only files that we opened, in known video formats.

FFmpeg detects formats by content, regardless of the file's name. Its formats include playlists and
scripts that refer to other files and addresses, file name patterns, devices, and text rendered as
images. The formats listed here may be read; all others are refused.

FFmpeg never sees a file's name, only its bytes and extension: a name such as `http:x.mp4`,
`concat:a|b.mp4` or `%03d.gif` has no effect. It cannot open anything else that a format refers to,
such as a QuickTime movie's external data: no protocol is allowed.
"""

from collections.abc import Mapping
from pathlib import Path

FORMATS = (
    # Written by cameras, phones, editors and for the web.
    *("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg"),
    *("mxf", "gxf", "dv", "wtv", "dhav", "nut", "nuv", "nsv", "pva", "swf", "ivf", "hxvs"),
    # Older containers, and those used in games.
    *("rm", "vivo", "roq", "bink", "smk", "flic", "usm", "film_cpk", "filmstrip", "thp"),
    *("xmv", "gif", "apng", "yuv4mpegpipe"),
    # Raw streams of one codec, without a container.
    *("mpegvideo", "m4v", "h261", "h263", "h264", "hevc", "vvc", "av1", "obu", "mjpeg", "vc1"),
    *("vc1test", "dirac", "dnxhd", "cavsvideo", "avs2", "avs3", "evc", "apv"),
)
"""FFmpeg's names of the formats that are read: those of `VIDEO_ENDINGS` in `actline.names`, and
`apng`, which has an image's extension and is read if given by name.

None of them opens another file. Left out, among others: `hls`, `dash`, `concat`, `sdp`, `rtsp` and
the like (addresses), `image2` (file name patterns), `lavfi` and devices, text and subtitles (`tty`,
`srt`, …), images and audio, `mlv` and `vobsub` (which open neighbouring files), and `rawvideo`,
which does not store the frame size.
"""

PROTOCOLS = "none"
"""Allows no protocol, as none has this name: a format cannot open anything but the file."""


RESTRICTIONS: Mapping[str, str] = {
    "format_whitelist": ",".join(FORMATS),
    "protocol_whitelist": PROTOCOLS,
}
"""FFmpeg's options for opening a file."""


def harmless_name(path: Path) -> str:
    """A name with the file's extension, by which FFmpeg distinguishes raw streams."""
    ending = path.suffix.lower()
    return f"video{ending}" if ending[1:].isascii() and ending[1:].isalnum() else "video"
