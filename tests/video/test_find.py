"""Videos are named, listed and found in one way, however a data set is laid out."""

import contextlib
import os
import unicodedata

import av
import av.error
import pytest
from av.format import ContainerFormat
from encode import make_folder

from actline.errors import OutputError, VideoError
from actline.files import result_files
from actline.names import VIDEO_ENDINGS, output_path
from actline.video.container import opened
from actline.video.find import find_video, list_videos


@pytest.mark.parametrize("name", ["ID.mp4", "ID.mkv", "ID.webm", "ID"])
def test_videos_are_found_by_their_id(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    assert find_video(tmp_path, "ID") == tmp_path / name


@pytest.mark.parametrize("ending", [".MP4", ".MOV", ".Mp4", ".MkV"])
def test_endings_may_be_in_capitals(tmp_path, ending):
    (tmp_path / "other.mp4").write_bytes(b"x")
    (tmp_path / "ID.txt").write_bytes(b"x")
    path = tmp_path / f"ID{ending}"
    path.write_bytes(b"x")
    assert find_video(tmp_path, "ID").samefile(path)


def test_ids_are_not_matched_by_other_letters_or_longer_names(tmp_path):
    for name in ("id.MP4", "ID2.MP4", "ID.more.MP4", "ID.txt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(VideoError, match="no video ID in"):
        find_video(tmp_path, "ID")


def test_small_letters_are_preferred_to_capitals(tmp_path):
    (tmp_path / "ID.MP4").write_bytes(b"x")
    (tmp_path / "ID.mkv").write_bytes(b"x")
    assert find_video(tmp_path, "ID") == tmp_path / "ID.mkv"


def test_ids_may_have_dots(tmp_path):
    (tmp_path / "v.1.mp4").write_bytes(b"x")
    assert find_video(tmp_path, "v.1") == tmp_path / "v.1.mp4"


def test_a_file_is_preferred_to_a_folder_of_frames(tmp_path):
    make_folder(tmp_path / "ID", frames=1)
    assert find_video(tmp_path, "ID") == tmp_path / "ID"
    (tmp_path / "ID.mp4").write_bytes(b"x")
    assert find_video(tmp_path, "ID") == tmp_path / "ID.mp4"


def test_a_video_that_is_not_there_says_what_was_looked_for(tmp_path):
    with pytest.raises(VideoError, match=r"no video ID in .*\.mp4, .* folder of frames"):
        find_video(tmp_path, "ID")


def test_videos_may_lie_in_folders_of_their_class(tmp_path):
    (tmp_path / "open door").mkdir()
    (tmp_path / "open door" / "abc.mp4").touch()
    (tmp_path / "open door" / "def_000001_000011.MP4").touch()
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "frames-000001.jpg").touch()
    assert find_video(tmp_path, "abc") == tmp_path / "open door" / "abc.mp4"
    assert find_video(tmp_path, "abc_000010_000020") == tmp_path / "open door" / "abc.mp4"
    clip = "def_000001_000011"
    assert find_video(tmp_path, clip) == tmp_path / "open door" / f"{clip}.MP4"
    assert find_video(tmp_path, "frames") == tmp_path / "frames"
    with pytest.raises(VideoError, match="no video ghi"):
        find_video(tmp_path, "ghi")
    (tmp_path / "ghi.Mp4").touch()  # the listing is made anew when the folder changes
    assert find_video(tmp_path, "ghi") == tmp_path / "ghi.Mp4"


def test_folders_below_are_part_of_the_id(tmp_path):
    for name in ("camA", "camB"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "GOPR0001.MP4").touch()
    (tmp_path / "camB" / "only.mp4").touch()
    listed = [(video.id, video.problem) for video in list_videos(tmp_path).videos]
    assert listed == [("camA/GOPR0001", ""), ("camB/GOPR0001", ""), ("camB/only", "")]
    assert find_video(tmp_path, "camB/GOPR0001") == tmp_path / "camB" / "GOPR0001.MP4"
    assert find_video(tmp_path, "only") == tmp_path / "camB" / "only.mp4"
    assert find_video(tmp_path / "camA", "camA/GOPR0001.MP4").parent.name == "camA"
    with pytest.raises(VideoError, match=r"2 files .* camA/GOPR0001, camB/GOPR0001; write the"):
        find_video(tmp_path, "GOPR0001")


@pytest.mark.parametrize("video_id", ["../a", "/etc/a", "", ".", "b/../../a", "a\0"])
def test_ids_do_not_lead_out_of_the_folder(tmp_path, video_id):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "in").mkdir()
    with pytest.raises(VideoError, match="video"):
        find_video(tmp_path / "in", video_id)
    with pytest.raises(OutputError, match="rename the video"):
        output_path(tmp_path / "in", video_id, ".json")


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("v_abc.mp4", "abc"),
        ("abc.mp4", "v_abc"),
        ("run/v_abc.mp4", "run/abc"),
        ("abc.mp4", "abc.avi"),
        ("abc.mp4", "v_abc.mp4"),
        (unicodedata.normalize("NFD", "Café.mp4"), unicodedata.normalize("NFC", "Café")),
        (unicodedata.normalize("NFC", "Café.mp4"), unicodedata.normalize("NFD", "Café")),
        (unicodedata.normalize("NFD", "Straßé/é.mp4"), unicodedata.normalize("NFC", "é")),
        ("a/b/c.mp4", "b/c"),
    ],
)
def test_ids_may_be_written_as_data_sets_do(tmp_path, file, wanted):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    assert find_video(tmp_path, wanted) == tmp_path / file


def test_hidden_files_are_passed_over_and_others_named(tmp_path):
    for name in ("a.mp4", "._a.mp4", ".hidden.mp4", "b.doc", "a.mp4.part", "clip.jpg", "a.MOV"):
        (tmp_path / name).touch()
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "c.mp4").touch()
    listing = list_videos(tmp_path)
    assert [video.path.name for video in listing.videos if not video.problem] == ["a.mp4"]
    assert "has the same id as a.mp4" in next(v.problem for v in listing.videos if v.problem)
    assert listing.passed_over == ("a.mp4.part", "b.doc", "clip.jpg")
    assert listing.told().endswith("3 files are not taken as video: a.mp4.part, b.doc, clip.jpg")
    assert find_video(tmp_path, "a.MOV") == tmp_path / "a.MOV"


def test_a_folder_is_of_frames_unless_videos_lie_in_it_or_below(tmp_path):
    make_folder(tmp_path / "frames", frames=2)
    (tmp_path / "frames" / "flow").mkdir()
    (tmp_path / "frames" / "flow" / "x_00001.jpg").touch()
    make_folder(tmp_path / "photos", frames=2)
    (tmp_path / "photos" / "in").mkdir()
    (tmp_path / "photos" / "in" / "a.mp4").touch()
    make_folder(tmp_path / "thumbs", frames=2)
    (tmp_path / "thumbs" / "b.mp4").touch()
    (tmp_path / "empty").mkdir()
    assert [video.id for video in list_videos(tmp_path).videos] == [
        "frames",
        "photos/in/a",
        "thumbs/b",
    ]


def test_links_in_a_ring_come_to_an_end(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").touch()
    (tmp_path / "in" / "ring").symlink_to(tmp_path)
    (tmp_path / "in" / "gone.mp4").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.mp4")
    listing = list_videos(tmp_path)
    assert [video.id for video in listing.videos] == ["in/a", "in/gone"]
    assert listing.passed_over == ("pipe.mp4",)


def test_folders_in_folders_without_number_are_looked_into_so_far(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").touch()
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):  # more than Python calls within calls
        os.mkdir("d")  # noqa: PTH102
        os.chdir("d")
    listing = list_videos(tmp_path)
    assert [video.id for video in listing.videos if not video.problem] == ["a"]
    (told,) = [video.problem for video in listing.videos if video.problem]
    assert "in more than 100 folders; set ACTLINE_LIMITS=depth=…" in told
    assert not result_files(tmp_path, ".json")
    with pytest.raises(VideoError, match="no video b"):
        find_video(tmp_path, "b")
    for _ in range(1200):  # what tidies up recurses as well
        os.chdir("..")
        os.rmdir("d")  # noqa: PTH106


def test_a_listing_is_made_again_when_a_folder_below_changes(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(VideoError, match="no video a"):
        find_video(tmp_path, "a")
    os.utime(tmp_path / "in", (1, 1))
    (tmp_path / "in" / "a.mp4").touch()
    assert find_video(tmp_path, "a") == tmp_path / "in" / "a.mp4"


# What FFmpeg reads a moving picture from, though it is a picture, sound, or does not tell its size.
NO_VIDEOS = {
    *("avif", "webp", "apng", "jxl", "m4a", "m4b", "isma", "ogg", "oga", "mka", "wma", "ra"),
    *("yuv", "rgb", "avs", "a64", "mpo"),
}


def test_every_container_that_ffmpeg_writes_a_video_to_and_reads_is_known(tmp_path):
    """By FFmpeg's own list of formats and their endings."""
    endings = set()
    for name in sorted(av.formats_available):
        with contextlib.suppress(ValueError):
            form = ContainerFormat(name, "w")
            if not form.no_file and not name.startswith("image"):
                endings |= {(name, ending.strip()) for ending in form.extensions}
    known = set()
    for name, ending in sorted(endings - {(n, e) for n, e in endings if e in NO_VIDEOS}):
        path = tmp_path / f"{name}.{ending}"
        for codec in ("mpeg4", "mpeg2video", "mjpeg", "flv", "gif", "dvvideo", "libx264"):
            if _written(path, name, codec) and _frames(path) > 1:
                known.add(f".{ending}")
                with opened(path):  # its format is among those that may be opened
                    pass
                break
    assert len(known) > 20
    assert known <= set(VIDEO_ENDINGS)


def _written(path, name, codec):
    size, rate, pixels = (720, 576), 25, "yuv420p"
    try:
        with av.open(str(path), "w", format=name) as container:
            stream = container.add_stream(codec, rate=rate)
            stream.width, stream.height = size
            stream.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, pixels)
            for _ in range(4):
                picture = av.VideoFrame(*size, stream.pix_fmt)
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    except (av.error.FFmpegError, ValueError, OSError):
        return False
    return True


def _frames(path):
    try:
        with av.open(str(path)) as container:
            return sum(1 for _ in container.decode(video=0))
    except (av.error.FFmpegError, ValueError, OSError, IndexError):
        return 0
