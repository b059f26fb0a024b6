"""FFmpeg opens the file that was given, in a format of moving pictures, and nothing else."""

import os
import shutil
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from encode import make_folder, make_sound, make_video

from actline.errors import VideoError
from actline.video.decode import ShortSide, probe, read_clip, shown_times
from actline.video.formats import FORMATS

SIZE = ShortSide(48)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("formats") / "other.mp4", seconds=1)


def scripts(other):
    """Texts by which FFmpeg would open another file, or make pictures of letters."""
    where = other.as_posix()
    return {
        "concat": f"ffconcat version 1.0\nfile {other.name}\n",
        "concat by a whole path": f"ffconcat version 1.0\nfile '{where}'\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{where}\n#EXT-X-ENDLIST\n",
        "hls of an address": (
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n"
            "#EXT-X-ENDLIST\n"
        ),
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
            f'<Period><AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>{where}'
            "</BaseURL></Representation></AdaptationSet></Period></MPD>"
        ),
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        "subtitles": "1\n00:00:00,000 --> 00:00:01,000\nx\n",
        "letters": "\x1b[31mX\n" * 40,
        "metadata": ";FFMETADATA1\ntitle=x\n",
        "image of XML": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{where}"/></svg>',
    }


@pytest.mark.parametrize("ending", ["mp4", "avi", "gif", "mpg"])
@pytest.mark.parametrize("kind", scripts(Path("x")))
def test_a_script_is_no_video_whatever_its_ending(tmp_path, video, kind, ending):
    path = tmp_path / f"a.{ending}"
    shutil.copy(video, tmp_path)
    path.write_text(scripts(tmp_path / video.name)[kind])
    for read in (probe, shown_times, lambda p: read_clip(p, [0], size=SIZE)):
        with pytest.raises(VideoError, match=rf"a\.{ending} is not a video that can be read"):
            read(path)


def test_the_scripts_would_be_followed_without_the_list(tmp_path, video):
    """So that the test above can fail."""
    shutil.copy(video, tmp_path)
    path = tmp_path / "a.mp4"
    path.write_text(scripts(tmp_path / video.name)["concat"])
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 10


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_a_script_names_is_not_opened(tmp_path):
    """Opening a pipe would wait for its writer; and one that is waiting would be let go."""
    pipe, path = tmp_path / "other.mp4", tmp_path / "a.mp4"
    os.mkfifo(pipe)
    path.write_text(scripts(pipe)["concat"])
    with pytest.raises(VideoError):
        probe(path)
    with pytest.raises(OSError, match="No such device"):  # nobody has it open for reading
        os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    with pytest.raises(VideoError, match=r"other\.mp4 is neither a file nor a folder"):
        probe(pipe)


@pytest.mark.parametrize(
    "name",
    [
        "-x.mp4", "--help.mp4", "file:x.mp4", "pipe:0", "http:x.mp4", "concat:a|b.mp4",
        "subfile,,start,0,end,9,,:x.mp4", "data:video.mp4", "a?b#c.mp4", "%03d.jpg", "%03d.gif",
        "a*b.gif", "[a]{b}.mp4", "a%d.mp4", "fd:", "cache:x.mp4", " x.mp4", "x.mp4 ", "é\u0301.mp4",
        "crypto:x", "lavfi.mp4", "x.m3u8", "x.sdp", "x.txt", "tcp:x.y:1?listen.mp4",
    ],
)  # fmt: skip
def test_a_name_means_nothing(tmp_path, monkeypatch, video, name):
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    source = video
    if name.endswith(".gif"):
        source = make_video(tmp_path / "x.gif", seconds=1, codec="gif", pixels="rgb8")
    shutil.copy(source, path)
    expected = read_clip(source, [0, 0.5], size=SIZE)
    assert np.array_equal(read_clip(path, [0, 0.5], size=SIZE), expected)


@pytest.mark.parametrize("kind", ["jpg", "png", "wav", "srt"])
def test_what_is_no_moving_picture_is_no_video(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind in ("jpg", "png"):
        frame = next((make_folder(tmp_path / "ID", frames=1)).iterdir())
        shutil.copy(frame, path)
    elif kind == "wav":
        with wave.open(str(path), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(bytes(16000))
    else:
        path.write_text(scripts(path)["subtitles"])
    with pytest.raises(VideoError, match=rf"a\.{kind} is not a video"):
        probe(path)


def test_a_file_of_sound_is_named_so(tmp_path):
    with pytest.raises(VideoError, match="no video, only other streams"):
        probe(make_sound(tmp_path / "a.mp4"))


def test_no_format_that_opens_other_files_is_on_the_list():
    refused = {
        *("hls", "dash", "concat", "concatf", "image2", "image2pipe", "sdp", "rtsp", "rtp", "sap"),
        *("lavfi", "tty", "srt", "ass", "webvtt", "ffmetadata", "mlv", "vobsub", "rawvideo", "imf"),
        *("x11grab", "v4l2", "video4linux2", "fbdev", "kmsgrab", "alsa", "webm_dash_manifest"),
    }
    assert not refused & set(FORMATS)
    assert not [name for name in FORMATS if name.endswith("_pipe")]
