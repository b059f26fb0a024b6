"""Time is the file's own, as players show it: whatever the container, no frame is lost or moved."""

import itertools
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from encode import Picture, make_folder, make_video, number_of, numbered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.annotations.check import check_videos
from actline.errors import VideoError
from actline.timeline import Activity
from actline.video.decode import (
    Exact,
    ShortSide,
    frame_times,
    probe,
    read_clip,
    read_frames,
    shown_times,
)
from actline.video.decoded import decoded_video, read_decoded_clip
from actline.video.sampling import AtRate, EveryNth, sample_times

SIZE = Exact(60, 48)
RATE = 25
REORDERED = {"bf": "2", "g": "30"}
COARSE = {"bf": "2", "g": "12", "b": "4000000"}
FLAT = {"b": "4000000", "g": "30"}

# File names, codecs, and options: containers that keep time in every way there is.
FILES: dict[str, tuple[str, dict[str, str]]] = {
    "a.mp4": ("libx264", REORDERED),
    "b.mkv": ("libx264", REORDERED),
    "c.ts": ("libx264", REORDERED),
    "d.flv": ("libx264", REORDERED),
    "e.avi": ("libx264", REORDERED),
    "f.asf": ("libx264", REORDERED),
    "g.mxf": ("libx264", REORDERED),
    "h.mpg": ("libx264", REORDERED),
    "i.vob": ("libx264", REORDERED),
    "j.h264": ("libx264", REORDERED),
    "k.nut": ("libx264", REORDERED),
    "l.3gp": ("libx264", REORDERED),
    "m.mpg": ("mpeg1video", COARSE),
    "n.mpg": ("mpeg2video", COARSE),
    "o.vob": ("mpeg2video", COARSE),
    "p.mxf": ("mpeg2video", COARSE),
    "q.m1v": ("mpeg1video", COARSE),
    "r.avi": ("mpeg1video", COARSE),
    "s.avi": ("mpeg4", COARSE),
    "t.asf": ("mpeg4", COARSE),
    "u.wmv": ("wmv2", FLAT),
    "v.avi": ("mjpeg", {"b": "4000000"}),
    "w.mjpeg": ("mjpeg", {"b": "4000000"}),
    "x.avi": ("rawvideo", {}),
    "y.gif": ("gif", {}),
    "z.apng": ("apng", {}),
}
PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8", "apng": "rgb24"}


def encode(
    path: Path,
    codec: str,
    options: dict[str, str],
    *,
    seconds: float = 6,
    stamps: Sequence[float] | None = None,
    picture: Picture = numbered,
) -> Path:
    pixels = PIXELS.get(codec, "yuv420p")
    return make_video(
        path,
        seconds=seconds,
        rate=RATE,
        codec=codec,
        options=options,
        pixels=pixels,
        stamps=stamps,
        picture=picture,
    )


def write_palette(path: Path) -> Path:
    """Frames of bytes whose palette, black to white, comes with the first of them alone."""
    ramp = np.zeros((256, 4), np.uint8)
    ramp[:, :] = np.arange(256, dtype=np.uint8)[:, None]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "pal8"
        for number in range(150):
            grey = np.ascontiguousarray(numbered(number, (80, 64))[..., 0])
            frame = av.VideoFrame(80, 64, "pal8")
            for plane, content in zip(frame.planes, (grey, ramp), strict=True):
                plane.update(content.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbers(frames) -> list[int]:
    return [number_of(frame) for frame in frames]


def decoded(path: Path) -> int:
    """How many frames FFmpeg makes of a file."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))


def assert_whole(path: Path, expected: Sequence[int]) -> None:
    """Every frame once and in order in one pass, and the same pixels from anywhere."""
    times = frame_times(path)
    assert (np.diff(times) > 0).all()
    whole = read_clip(path, times, size=SIZE)
    assert numbers(whole) == list(expected)
    late = np.flatnonzero(times > times[0] + 4)
    for index in late[:: max(1, len(late) // 7)]:
        (sought,) = read_frames(path, times[index : index + 1], size=SIZE)
        assert np.array_equal(sought, whole[index]), times[index]


@pytest.mark.parametrize("name", FILES)
def test_every_frame_is_read_once_and_in_order_from_anywhere(tmp_path, name):
    path = encode(tmp_path / name, *FILES[name])
    shown = shown_times(path)
    assert len(shown.times) == decoded(path) == 150
    assert shown.duration == pytest.approx(6, abs=0.05)
    assert probe(path).duration == shown.duration
    assert_whole(path, range(150))


@pytest.mark.parametrize("frames", [10, 63, 251, 700])
@pytest.mark.parametrize("reordered", ["0", "3", "7"])
def test_counted_frames_keep_the_rate_of_the_stream(tmp_path, frames, reordered):
    options = {"bf": reordered, "g": "250", "x264-params": "b-adapt=0"}
    path = encode(tmp_path / "v.mpg", "libx264", options, seconds=frames / RATE)
    shown = shown_times(path)
    assert np.allclose(shown.times, np.arange(frames) / RATE)
    assert shown.duration == pytest.approx(frames / RATE)


def test_a_palette_that_comes_once_is_not_lost(tmp_path):
    assert_whole(write_palette(tmp_path / "v.avi"), range(150))


def test_an_avi_without_its_index_is_read_the_same(tmp_path):
    path = encode(tmp_path / "v.avi", "mpeg4", COARSE)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"idx1")])
    assert_whole(path, range(150))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.mp4", None),
        ("h.mpg", "without a timestamp: frames are counted, 25 a second"),
        ("e.avi", "decoding timestamps only"),
        ("g.mxf", "decoding timestamps only"),
        ("j.h264", "no timestamps: frames are counted, 25 a second"),
    ],
)
def test_data_check_tells_when_frames_are_counted(tmp_path, name, told):
    path = encode(tmp_path / name, *FILES[name], seconds=2)
    path.rename(tmp_path / "v")
    video = AnnotatedVideo("v", "training", None, (Activity("walk", 0.0, 1.0),))
    found, _ = check_videos(Annotations(("walk",), (video,)), tmp_path)
    times = [finding for finding in found if finding.what == "videos with unusual times"]
    if told is None:
        assert not times
    else:
        assert told in times[0].examples[0]
        assert not times[0].serious


# --- recordings that were joined, and gaps ---


def part(path: Path, first: int, frames: int, start: float, codec: str = "libx264") -> bytes:
    """A recording whose frames show numbers from `first`, and whose timestamps begin at `start`."""
    encode(
        path,
        codec,
        COARSE if codec == "mpeg2video" else REORDERED if codec == "libx264" else {},
        # MPEG-2 knows no milliseconds.
        stamps=[start + index / RATE for index in range(frames)] if codec == "libx264" else None,
        seconds=frames / RATE,
        picture=lambda number, size: numbered(first + number, size),
    )
    return path.read_bytes()


JOINED = [
    ("v.ts", "libx264", 0.0),
    ("v.ts", "libx264", 1.5),  # back, but not to the beginning
    ("v.ts", "libx264", 66.0),  # ahead
    ("v.ts", "mpeg2video", 0.0),
    ("v.mpg", "mpeg2video", 0.0),
    ("v.mpg", "libx264", 0.0),
    ("v.mkv", "libx264", 0.0),
    ("v.h264", "libx264", 0.0),
]


@pytest.mark.parametrize(("name", "codec", "start"), JOINED)
def test_joined_recordings_are_read_to_the_end(tmp_path, name, codec, start):
    path = tmp_path / name
    path.write_bytes(part(path, 0, 150, 0.0, codec) + part(path, 150, 150, start, codec))
    shown = shown_times(path)
    assert len(shown.times) == 300
    assert shown.duration == pytest.approx(12, abs=0.1)
    assert shown.notes
    assert_whole(path, range(300))


def test_parts_of_different_reordering_do_not_overlap(tmp_path):
    path = tmp_path / "v.ts"
    encode(path, "libx264", {"bf": "0", "g": "30"})
    plain = path.read_bytes()
    path.write_bytes(part(path, 0, 150, 0.0) + plain)
    assert_whole(path, [*range(150), *range(150)])
    path.write_bytes(plain + part(path, 150, 150, 0.0))
    assert_whole(path, range(300))


@given(
    starts=st.lists(st.floats(0, 200), min_size=2, max_size=4),
    lengths=st.lists(st.integers(30, 90), min_size=4, max_size=4),
)
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_sequence_of_recordings_is_read_once_and_in_order(tmp_path, starts, lengths):
    path, content, first = tmp_path / "v.ts", b"", 0
    for start, frames in zip(starts, lengths, strict=False):
        content += part(path, first, frames, start)
        first += frames
    path.write_bytes(content)
    assert_whole(path, range(first))


def test_a_clock_that_overflows_goes_on(tmp_path):
    path = tmp_path / "v.ts"
    part(path, 0, 250, 2**33 / 90_000 - 5)
    assert shown_times(path).duration == pytest.approx(10, abs=0.1)
    assert_whole(path, range(250))


@pytest.mark.parametrize("name", ["v.ts", "v.mp4", "v.mkv"])
def test_a_gap_of_the_pictures_stays_one_and_is_told(tmp_path, name):
    stamps = [*np.arange(0, 3, 0.04), *np.arange(8, 11, 0.04)]
    path = make_video(tmp_path / name, rate=RATE, stamps=stamps, options=REORDERED)
    shown = shown_times(path)
    assert shown.duration == pytest.approx(11, abs=0.1)
    assert "no new frame from 3.0 to 8.0 s" in shown.notes[0]
    assert numbers(read_frames(path, [2.9, 5, 7.9, 8.1], size=SIZE)) == [72, 74, 74, 77]


def test_a_long_gap_of_the_pictures_alone_stays_as_long_as_the_sound(tmp_path):
    stamps = [*np.arange(0, 3, 0.04), *np.arange(18, 21, 0.04)]
    path = make_video(tmp_path / "v.ts", rate=RATE, stamps=stamps, options=REORDERED, sound=True)
    assert shown_times(path).duration == pytest.approx(21, abs=0.2)


@pytest.mark.parametrize("name", ["v.flv", "v.mov"])
def test_a_recording_that_is_not_read_is_an_error(tmp_path, name):
    path = make_video(tmp_path / name, seconds=3)
    assert shown_times(path).duration == pytest.approx(3, abs=0.1)
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(VideoError, match=r"another recording after the first 3\.0 s"):
        sample_times(path, AtRate(5))


# --- zero ---


@pytest.mark.parametrize("name", ["v.mp4", "v.mov", "v.mkv", "v.ts", "v.flv", "v.avi"])
@pytest.mark.parametrize("late", [0.0, 2.0])
def test_zero_is_where_the_first_stream_begins(tmp_path, name, late):
    stamps = (late + np.arange(150) / RATE).tolist()
    path = make_video(tmp_path / name, rate=RATE, stamps=stamps, options=REORDERED, sound=True)
    first = frame_times(path)[0]
    # What reordering and the sound's own start take is the file's, and players show it.
    assert first == pytest.approx(late, abs=0.15)
    assert shown_times(path).duration == pytest.approx(late + 6, abs=0.2)
    for sampling in (AtRate(RATE), EveryNth(1)):
        times = sample_times(path, sampling)
        assert times[0] == first
        assert numbers(read_frames(path, times, size=SIZE)) == list(range(150))
    assert numbers(read_frames(path, [0.0, first + 1.02, first + 5], size=SIZE)) == [0, 25, 125]
    assert numbers(read_frames(path, [first + 5], size=SIZE)) == [125]


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts", "v.flv"])
def test_without_other_streams_the_first_frame_is_at_zero(tmp_path, name):
    path = make_video(tmp_path / name, stamps=[3 + index / 10 for index in range(20)])
    assert frame_times(path)[0] == 0


def test_a_video_that_begins_late_is_compared_on_its_clock(tmp_path):
    stamps = [2 + index / 10 for index in range(100)]
    make_video(tmp_path / "v.mp4", stamps=stamps, sound=True)
    video = AnnotatedVideo("v", "training", 12.0, (Activity("walk", 10.5, 12.0),))
    found, seconds = check_videos(Annotations(("walk",), (video,)), tmp_path)
    assert found == ()
    assert seconds[0] == pytest.approx(12, abs=0.1)


# --- one duration ---


def claim(path: Path, factor: float) -> Path:
    """Let an mp4's headers tell another duration than its packets."""
    content = bytearray(path.read_bytes())
    for box, at in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        place = content.index(box) + at
        (value,) = struct.unpack(">I", content[place : place + 4])
        content[place : place + 4] = struct.pack(">I", round(value * factor))
    if b"edts" in content:  # which would cut it, as is its office
        content[content.index(b"edts") :][:4] = b"free"
        place = content.index(b"edts")
        content[place : place + 4] = b"free"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_false_header_neither_cuts_nor_stretches_nor_refuses(tmp_path, factor):
    path = claim(encode(tmp_path / "v.mp4", "libx264", {"bf": "0"}), factor)
    assert shown_times(path).duration == probe(path).duration == 6
    assert len(sample_times(path, AtRate(5))) == 30
    assert numbers(read_frames(path, [5.9], size=SIZE)) == [147]


@pytest.mark.parametrize("told", [b"00:00:03", b"00:00:12"])
def test_a_stale_tag_neither_cuts_nor_stretches_nor_refuses(tmp_path, told):
    path = encode(tmp_path / "v.mkv", "libx264", REORDERED)
    content = path.read_bytes()
    tag = content.index(b"DURATION")
    place = content.index(b"00:00:0", tag)
    path.write_bytes(content[:place] + told + content[place + len(told) :])
    with av.open(str(path)) as container:
        assert container.streams.video[0].metadata["DURATION"].encode().startswith(told)
    assert shown_times(path).duration == probe(path).duration == pytest.approx(6, abs=1e-3)
    assert len(sample_times(path, AtRate(5))) == 30


def test_the_file_is_read_again_when_it_changes(tmp_path):
    path = encode(tmp_path / "v.mp4", "libx264", REORDERED)
    assert len(frame_times(path)) == 150
    encode(path, "libx264", REORDERED, seconds=3)
    assert len(frame_times(path)) == 75


# --- turned and mirrored ---

ORIENTATIONS = [
    matrix
    for a, b, c, d in itertools.product((-1, 0, 1), repeat=4)
    if abs(a) == abs(d) != abs(b) == abs(c) and (matrix := (a, b, c, d))
]


def oriented(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def placed(picture: NDArray[np.uint8], matrix: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """The pixel at (x, y) moved to (a x + c y, b x + d y), by definition."""
    a, b, c, d = matrix
    y, x = np.indices(picture.shape[:2])
    across, down = a * x + c * y, b * x + d * y
    across, down = across - across.min(), down - down.min()
    shown = np.zeros((down.max() + 1, across.max() + 1, 3), np.uint8)
    shown[down, across] = picture
    return shown


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_frames_are_turned_and_mirrored_as_the_matrix_says(tmp_path, matrix):
    assert len(ORIENTATIONS) == 8
    path = make_video(tmp_path / "v.mp4", seconds=1)
    plain = read_clip(path, [0.5], size=Exact(80, 64))[0]
    oriented(path, matrix)
    info = probe(path)
    assert (info.width, info.height) == ((80, 64) if matrix[0] else (64, 80))
    shown = read_clip(path, [0.5], size=Exact(info.width, info.height))[0]
    assert np.array_equal(shown, placed(plain, matrix))
    if shutil.which("ffmpeg"):
        command = ["ffmpeg", "-v", "error", "-i", path, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
        raw = subprocess.run(command, capture_output=True, check=True).stdout
        theirs = np.frombuffer(raw, np.uint8).reshape(10, info.height, info.width, 3)
        # Versions convert colours a little differently.
        assert np.abs(theirs[5].astype(int) - shown).max() <= 3


# --- fast videos ---


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
@pytest.mark.parametrize("rate", [240, 500, 1000, 4000])
def test_frames_of_fast_videos_are_neither_early_nor_late(tmp_path, name, rate):
    if name == "v.mkv" and rate > 1000:
        pytest.skip("Matroska counts milliseconds")
    path = make_video(tmp_path / name, seconds=120 / rate, rate=rate, options=REORDERED)
    times = frame_times(path)
    for share in (0.0, 0.5):
        wanted = times + share * float(np.median(np.diff(times)))
        assert numbers(read_frames(path, wanted, size=SIZE)) == list(range(120))
    assert numbers(read_frames(path, sample_times(path, AtRate(rate)), size=SIZE)) == list(
        range(120)
    )


def test_frames_of_a_fast_folder_are_not_early(tmp_path):
    folder = make_folder(tmp_path / "v", frames=20)
    times = np.arange(20) / 2000
    assert numbers(read_frames(folder, times, size=SIZE, frame_rate=2000)) == list(range(20))


# --- what is kept ---


def test_frames_decoded_by_another_clock_are_decoded_again(tmp_path, monkeypatch):
    path = encode(tmp_path / "v.mp4", "libx264", REORDERED, seconds=2)
    times, size = np.array([0.0, 1.0]), ShortSide(32)
    monkeypatch.setattr("actline.video.decoded.CLOCK", 1)
    old = decoded_video(tmp_path / "kept", "v", path, size=size)
    frames = np.load(old)
    frames["time"] += 1
    np.save(old, frames)
    monkeypatch.undo()
    right = read_clip(path, times, size=size)
    kept = decoded_video(tmp_path / "kept", "v", path, size=size)
    assert np.array_equal(read_decoded_clip(kept, times), right)
    assert list((tmp_path / "kept").glob("*.npy")) == [kept]
