"""What FFmpeg may open: a file that we opened, in a format that holds moving pictures, no more.

FFmpeg tells formats by content, whatever a file is called. Among those that it knows are playlists
and scripts that name other files and addresses, patterns of file names, devices, and texts whose
letters become pictures. Which ones may be read is listed here, the rest is refused.

FFmpeg never sees a file's name, only its bytes and its ending: a name such as `http:x.mp4`,
`concat:a|b.mp4` or `%03d.gif` means nothing. What a format would have it open beside the file, such
as a QuickTime movie's external data, it cannot: no protocol is allowed.
"""

from collections.abc import Mapping
from pathlib import Path

FORMATS = (
    # What cameras, phones, editors and the web write.
    *("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg"),
    *("mxf", "gxf", "dv", "wtv", "dhav", "nut", "nuv", "nsv", "pva", "swf", "ivf", "hxvs"),
    # Older containers, and those of games.
    *("rm", "vivo", "roq", "bink", "smk", "flic", "usm", "film_cpk", "filmstrip", "thp"),
    *("xmv", "gif", "apng", "yuv4mpegpipe"),
    # Streams of one codec without a container.
    *("mpegvideo", "m4v", "h261", "h263", "h264", "hevc", "vvc", "av1", "obu", "mjpeg", "vc1"),
    *("vc1test", "dirac", "dnxhd", "cavsvideo", "avs2", "avs3", "evc", "apv"),
)
"""FFmpeg's names of the formats that are read: those of `VIDEO_ENDINGS` in `actline.names`,
and `apng`, which has the ending of pictures and is read if it is named by itself.

None of them opens another file. Left out are, besides all others: `hls`, `dash`, `concat`, `sdp`,
`rtsp` and their like (addresses), `image2` (patterns of names), `lavfi` and devices, texts and
subtitles (`tty`, `srt`, …), pictures and sound, `mlv` and `vobsub` (which open files beside), and
`rawvideo`, which does not tell its size.
"""

PROTOCOLS = "none"
"""The protocols by which a format may open something beside the file; no protocol has this name."""


RESTRICTIONS: Mapping[str, str] = {
    "format_whitelist": ",".join(FORMATS),
    "protocol_whitelist": PROTOCOLS,
}
"""FFmpeg's options for opening a file."""


def harmless_name(path: Path) -> str:
    """A name with a file's ending, by which FFmpeg tells streams without a container apart."""
    ending = path.suffix.lower()
    return f"video{ending}" if ending[1:].isascii() and ending[1:].isalnum() else "video"
