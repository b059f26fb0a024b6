"""What a video may cost is compared with declared limits before it is spent."""

import shutil
import struct
import zlib

import av
import numpy as np
import pytest
from encode import make_folder, make_video, numbered
from PIL import Image

from actline.errors import VideoError
from actline.stored.limits import VARIABLE, Limits
from actline.video.container import opened
from actline.video.decode import Exact, ShortSide, probe, read_clip, shown_times
from actline.video.sampling import AtRate, EveryNth, sample_times

HOUR = 3600


def with_gap(path, seconds, *, frames=5):
    """Frames a fifth of a second apart, the latter half after a gap."""
    half = frames // 2
    stamps = [n / 5 + (seconds if n >= half else 0) for n in range(frames)]
    return make_video(path, stamps=stamps)


@pytest.mark.parametrize("ending", ["mkv", "nut"])
@pytest.mark.parametrize(("hours", "limit"), [(25, "gap_hours"), (2000, "video_hours")])
def test_hours_that_hold_nothing_are_refused_and_the_limit_can_be_lifted(
    tmp_path, monkeypatch, ending, hours, limit
):
    path = with_gap(tmp_path / f"a.{ending}", hours * HOUR)
    for read in (shown_times, probe, lambda p: read_clip(p, [0], size=ShortSide(16))):
        with pytest.raises(VideoError, match=f"a.{ending} .* hours.* ACTLINE_LIMITS={limit}="):
            read(path)
    monkeypatch.setenv(VARIABLE, "gap_hours=3000,video_hours=3000")
    assert shown_times(path).duration == pytest.approx(hours * HOUR + 1, abs=1)


def test_a_picture_that_begins_long_after_the_sound_is_refused(tmp_path):
    path = tmp_path / "a.mkv"
    make_video(tmp_path / "plain.mkv", seconds=1, sound=True)
    with av.open(str(tmp_path / "plain.mkv")) as source, av.open(str(path), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if not packet.size:
                continue
            if packet.stream.type == "video":
                late = int(30 * HOUR / packet.time_base)
                packet.pts = packet.pts + late
                packet.dts = None if packet.dts is None else packet.dts + late
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    with pytest.raises(VideoError, match="no frame for 30 hours"):
        shown_times(path)


def test_samples_are_bounded_by_the_frames_there_are(tmp_path, monkeypatch):
    path = with_gap(tmp_path / "a.mkv", 3 * HOUR)
    assert len(sample_times(path, EveryNth(1))) == 5
    assert len(sample_times(path, AtRate(1.5))) == pytest.approx(1.5 * 3 * HOUR, abs=3)
    with pytest.raises(VideoError, match=r"5 frames for .*samples_per_frame="):
        sample_times(path, AtRate(24))
    monkeypatch.setenv(VARIABLE, "samples_per_frame=1000000")
    assert len(sample_times(path, AtRate(24))) == pytest.approx(24 * 3 * HOUR, abs=30)


def test_a_slow_video_is_read(tmp_path):
    """A frame every ten seconds, as of a screen on which little happens."""
    path = make_video(tmp_path / "a.mkv", stamps=[10 * n for n in range(400)])
    assert len(sample_times(path, AtRate(24))) == 24 * 4000


@pytest.mark.parametrize("ending", ["mp4", "avi", "gif"])
def test_frames_larger_than_the_limit_are_refused(tmp_path, monkeypatch, ending):
    codec, pixels = {"gif": ("gif", "rgb8"), "avi": ("mpeg4", "yuv420p")}.get(
        ending, ("libx264", "yuv420p")
    )
    path = make_video(
        tmp_path / f"a.{ending}", seconds=0.2, size=(1600, 800), codec=codec, pixels=pixels
    )
    assert probe(path).width == 1600
    monkeypatch.setenv(VARIABLE, "frame_megapixels=1")
    for read in (lambda p: read_clip(p, [0], size=ShortSide(16)), probe):
        with pytest.raises(VideoError, match=r"frame.* million.*ACTLINE_LIMITS=frame_megapixels"):
            read(path)


def test_an_animation_that_changes_a_pixel_of_a_giant_canvas_a_thousand_times_is_refused(tmp_path):
    side = 6000
    head = b"GIF89a" + struct.pack("<HHBBB", side, side, 0xF0, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    frame = b"\x21\xf9\x04\0\x0a\0\0\0" + frame
    (tmp_path / "a.gif").write_bytes(head + 5 * frame + b"\x3b")
    assert read_clip(tmp_path / "a.gif", [0, 0.4], size=ShortSide(16)).shape == (2, 16, 16, 3)
    (tmp_path / "b.gif").write_bytes(head + 1000 * frame + b"\x3b")
    with pytest.raises(VideoError, match=r"b\.gif unpacks to 36 billion pixels"):
        read_clip(tmp_path / "b.gif", [0, 50], size=ShortSide(16))


def test_a_still_picture_filmed_for_long_is_read(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for number in range(300):
            black = av.VideoFrame(1920, 1080, "yuv420p")
            for plane in black.planes:
                plane.update(bytes(plane.buffer_size))
            black.pts = number
            container.mux(stream.encode(black))
        container.mux(stream.encode())
    pixels_a_byte = 300 * 1920 * 1080 / path.stat().st_size
    assert pixels_a_byte < Limits().pixels_per_byte / 4


def test_frames_that_grow_on_the_way_are_not_decoded(tmp_path, monkeypatch):
    small = make_video(tmp_path / "small.h264", seconds=1, size=(80, 64))
    large = make_video(tmp_path / "large.h264", seconds=3, size=(1100, 960))
    path = tmp_path / "both.h264"
    path.write_bytes(small.read_bytes() + large.read_bytes())

    def differ():
        first, *_, last = read_clip(path, shown_times(path).times, size=Exact(80, 64))
        return np.abs(first.astype(int) - last).max() > 100

    assert differ()
    monkeypatch.setenv(VARIABLE, "frame_megapixels=1")
    with pytest.raises(VideoError):
        differ()


def test_frames_that_are_a_line_are_refused(tmp_path):
    path = make_video(tmp_path / "a.mkv", seconds=0.2, size=(1600, 16))
    with pytest.raises(VideoError, match=r"32 times as long as wide; crop it, or .*frame_aspect"):
        read_clip(path, [0], size=ShortSide(224))


def test_large_frames_have_fewer_decoding_threads(tmp_path):
    threads = {}
    for side in (320, 5600):
        path = tmp_path / f"{side}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mjpeg", rate=10)
            stream.width, stream.height, stream.pix_fmt = side, side, "yuvj444p"
            frame = av.VideoFrame(side, side, "yuvj444p")
            container.mux([*stream.encode(frame), *stream.encode()])
        with opened(path) as (_, stream):
            threads[side] = stream.codec_context.thread_count
    assert threads[320] > 1
    assert threads[5600] * 3 * 5600**2 < 300e6


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_pictures_larger_than_the_limit_are_refused(tmp_path, monkeypatch, ending):
    folder = make_folder(tmp_path / "ID", frames=2)
    (folder / "ID-000002.jpg").unlink()
    Image.fromarray(numbered(1, (1600, 800))).save(folder / f"ID-000002.{ending}")
    assert read_clip(folder, [0, 0.05], size=ShortSide(16)).shape[0] == 2
    monkeypatch.setenv(VARIABLE, "frame_megapixels=1")
    with pytest.raises(VideoError, match=r"ID-000002\.... has frames of 1600 x 800 pixels"):
        read_clip(folder, [0, 0.05], size=ShortSide(16))


def test_a_picture_that_unpacks_to_gigapixels_is_refused(tmp_path):
    """Its header alone says so; Pillow has a limit of its own on that."""
    folder = make_folder(tmp_path / "ID", frames=1)
    Image.new("1", (15_000, 15_000)).save(folder / "ID-000002.png")
    with pytest.raises(VideoError, match=r"ID-000002\.png has more than 40 million pixels"):
        read_clip(folder, [0, 0.05], size=ShortSide(16))


def test_the_limits_hold_what_cameras_record():
    most = Limits()
    assert most.frame_megapixels * 1e6 > 8192 * 4352  # the largest of H.264, HEVC and AV1
    assert most.video_hours > 7 * 24


@pytest.mark.parametrize("stamp", [1 << 62, (1 << 63) - 1, 1 << 63])
def test_timestamps_near_the_end_of_64_bits_are_refused(tmp_path, stamp):
    path = tmp_path / "a.mp4"
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    make_video(path, seconds=2, options={"g": "5"}, container_options=fragments)
    raw = path.read_bytes()
    at = raw.rindex(b"tfdt") + 8
    path.write_bytes(raw[:at] + stamp.to_bytes(8, "big") + raw[at + 8 :])
    with pytest.raises(VideoError, match=r"a\.mp4 "):
        read_clip(path, [1.9], size=ShortSide(16))


def test_a_few_bytes_that_list_a_billion_frames_are_refused_before_memory_is_taken(tmp_path):
    """By a table for frames of one size, in a plain file and in a fragment."""
    plain = make_video(tmp_path / "plain.mp4", seconds=1)
    data = bytearray(plain.read_bytes())
    at = data.index(b"stsz") + 8
    data[at : at + 8] = struct.pack(">II", 1, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(data)
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    make_video(tmp_path / "parts.mp4", seconds=1, container_options=fragments)
    data = bytearray((tmp_path / "parts.mp4").read_bytes())
    at = data.index(b"trun") + 4
    data[at : at + 8] = struct.pack(">II", 0x00000001, 1 << 30)
    (tmp_path / "b.mp4").write_bytes(data)
    header = plain.read_bytes()
    moov = header[header.index(b"moov") - 4 :]
    moov = bytearray(moov[: int.from_bytes(moov[:4], "big")])
    at = moov.index(b"stsz") + 8
    moov[at : at + 8] = struct.pack(">II", 1, 1 << 30)
    packed = zlib.compress(bytes(moov))
    inner = box(b"dcom", b"zlib") + box(b"cmvd", len(moov).to_bytes(4, "big") + packed)
    (tmp_path / "c.mov").write_bytes(
        box(b"ftyp", b"qt  \0\0\0\0") + box(b"moov", box(b"cmov", inner))
    )
    for name in ("a.mp4", "b.mp4", "c.mov"):
        with pytest.raises(VideoError, match=r"lists 10737.* frames, more .*=listed_frames="):
            probe(tmp_path / name)


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def test_edits_that_repeat_a_video_a_thousand_times_are_bounded(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mp4", seconds=1, sound=True)
    assert len(shown_times(path).times) == 10
    monkeypatch.setenv(VARIABLE, "listed_frames=1")
    assert len(shown_times(shutil.copy(path, tmp_path / "b.mp4")).times) == 10
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 8
    data[at : at + 4] = (100_000).to_bytes(4, "big")
    (tmp_path / "c.mp4").write_bytes(data)
    with pytest.raises(VideoError, match=r"c\.mp4 lists \d+ frames, more"):
        shown_times(tmp_path / "c.mp4")
