"""Real files of every kind give the frame on display at a time, however they are read."""

import gc
import itertools
import struct
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from encode import BITS, make_sound, make_video, number_of, numbered, remux
from hypothesis import given, settings
from hypothesis import strategies as st

from actline.errors import VideoError
from actline.video.decode import (
    Exact,
    ShortSide,
    frame_times,
    probe,
    read_clip,
    read_frames,
    shown_times,
)
from actline.video.frames import timed_frames
from actline.video.sampling import AtRate, EveryNth, sample_times
from actline.video.timestamps import on_display, read_header

SIZE = Exact(60, 48)

# Kinds of files in which reading from the middle may go wrong, and the frames between key frames.
KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "reordered, long between key frames": ("a.mp4", "libx264", {"bf": "3", "g": "250"}),
    "key frames that earlier frames lean on": (
        "b.mp4",
        "libx264",
        {"bf": "3", "x264-params": "open-gop=1:keyint=30:scenecut=0"},
    ),
    "no key frames but the first": (
        "c.mp4",
        "libx264",
        {"x264-params": "intra-refresh=1:keyint=30"},
    ),
    "fragments": ("d.mp4", "libx264", {"bf": "2", "g": "40"}),
    "matroska": ("e.mkv", "libx264", {"bf": "2", "g": "40"}),
    "vp9 with hidden frames": (
        "f.webm",
        "libvpx-vp9",
        {"g": "40", "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "10"},
    ),
    "transport stream": ("g.ts", "libx264", {"bf": "3", "g": "40"}),
    "open transport stream": ("h.ts", "mpeg2video", {"bf": "2", "g": "15"}),
    "avi": ("i.avi", "mpeg4", {"bf": "2", "g": "40"}),
    "avi without display times": ("j.avi", "libx264", {"bf": "2", "g": "40"}),
    "flash": ("k.flv", "libx264", {"bf": "2", "g": "40"}),
    "quicktime": ("l.mov", "mjpeg", {}),
    "no container": ("m.h264", "libx264", {"bf": "2", "g": "40"}),
}


@pytest.fixture(scope="module")
def of_kind(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")

    def encode(kind: str) -> Path:
        name, codec, options = KINDS[kind]
        path = folder / name
        if not path.exists():
            make_video(
                path,
                seconds=12,
                rate=25,
                codec=codec,
                options=options,
                pixels="yuvj420p" if codec == "mjpeg" else "yuv420p",
                container_options={"movflags": "frag_keyframe+empty_moov"}
                if kind == "fragments"
                else None,
            )
        return path

    return encode


def variable_stamps() -> list[float]:
    """300 frames over 42 s, the first at 1.5 s, 20 to 500 ms apart."""
    gaps = np.random.default_rng(0).choice([0.02, 0.04, 0.2, 0.3, 0.5], 299, p=[0.2] * 5)
    return [1.5, *(1.5 + np.cumsum(gaps)).tolist()]


@pytest.fixture(scope="module")
def variable(tmp_path_factory) -> Path:
    """Variable rate, a late start, B-frames, and few key frames."""
    path = tmp_path_factory.mktemp("variable") / "variable.mp4"
    return make_video(path, stamps=variable_stamps(), options={"bf": "3", "g": "120"})


def numbers(frames) -> list[int]:
    return [number_of(frame) for frame in frames]


# --- which frame ---


def test_times_are_the_files_own_not_counted(variable):
    stamps = np.array(variable_stamps())
    assert np.allclose(frame_times(variable), stamps - stamps[0], atol=1e-3)


@given(wanted=st.lists(st.floats(0, 41), min_size=1, max_size=12).map(sorted))
@settings(max_examples=25, deadline=None)
def test_the_frame_at_a_time_is_the_last_one_not_later(variable, wanted):
    times = frame_times(variable)
    # Nearer to a timestamp than rounding, either frame is right.
    wanted = [time for time in wanted if np.abs(times - time).min() > 2e-3] or [0.0]
    expected = np.searchsorted(times, wanted, side="right") - 1
    assert numbers(read_frames(variable, wanted, size=SIZE)) == expected.tolist()


def test_each_frame_is_found_at_its_own_time(variable):
    times = frame_times(variable)
    assert numbers(read_frames(variable, times, size=SIZE)) == list(range(len(times)))


def test_before_the_first_frame_there_is_the_first(variable):
    assert numbers(read_frames(variable, [-3.0, 0.0], size=SIZE)) == [0, 0]


def test_the_last_frame_is_held_for_a_second_at_most(variable):
    end = shown_times(variable).duration
    assert numbers(read_frames(variable, [end, end + 0.9], size=SIZE)) == [299, 299]
    with pytest.raises(VideoError, match=r"can be decoded only up to .* s, not to"):
        read_clip(variable, [end, end + 1.5], size=SIZE)


@pytest.mark.parametrize("name", ["v.mkv", "v.flv"])
@pytest.mark.parametrize("reordered", ["0", "2"])  # which moves and so rounds the first timestamp
def test_rounded_times_neither_skip_nor_repeat_frames(tmp_path, name, reordered):
    path = make_video(tmp_path / name, seconds=3, rate=30, options={"bf": reordered})
    found = numbers(read_frames(path, sample_times(path, AtRate(30)), size=SIZE))
    assert found == list(range(90))


def test_trimming_by_an_edit_list_is_applied(tmp_path):
    path = make_video(tmp_path / "v.mp4", seconds=16, rate=25, options={"bf": "3", "g": "60"})
    with av.open(str(path)) as container:
        second = int(1 / container.streams.video[0].time_base)
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12
    duration, start = struct.unpack(">II", content[at : at + 8])
    content[at : at + 8] = struct.pack(">II", duration - 5000, start + 3 * second)
    path.write_bytes(content)
    times = frame_times(path)
    assert (len(times), probe(path).duration) == (275, pytest.approx(11))
    assert numbers(read_frames(path, [0, 1, 9], size=SIZE)) == [75, 100, 300]


def test_which_frame_is_on_display_is_told_by_number_as_by_reading(variable):
    times, wanted = frame_times(variable), np.arange(0, 41, 0.37)
    assert numbers(read_frames(variable, wanted, size=SIZE)) == on_display(times, wanted).tolist()


# --- however it is read ---


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_the_same_from_any_place(of_kind, kind):
    path = of_kind(kind)
    times = sample_times(path, AtRate(6))
    assert len(times) == 72
    whole = read_clip(path, times, size=SIZE)
    expected = np.searchsorted(frame_times(path), times + 1e-6, side="right") - 1
    # VP9 at this speed blurs a block now and then.
    wrong = np.count_nonzero(np.array(numbers(whole)) != expected)
    assert wrong <= (2 if "vp9" in kind else 0)
    for start in range(0, len(times), 5):
        part = read_clip(path, times[start : start + 7], size=SIZE)
        assert np.array_equal(part, whole[start : start + 7]), times[start]


@given(cuts=st.lists(st.integers(1, 300), max_size=6), rate=st.sampled_from([3.0, 7.3, 25.0]))
@settings(max_examples=20, deadline=None)
def test_whole_chunked_and_sought_reading_give_identical_pixels(variable, cuts, rate):
    times = sample_times(variable, AtRate(rate))
    whole = read_clip(variable, times, size=SIZE)
    borders = sorted({0, len(times), *(cut for cut in cuts if cut < len(times))})
    pieces = [read_clip(variable, times[a:b], size=SIZE) for a, b in itertools.pairwise(borders)]
    assert np.array_equal(np.concatenate(pieces), whole)


@given(start=st.integers(0, 41), stride=st.sampled_from([1, 3, 10]))
@settings(max_examples=15, deadline=None)
def test_every_nth_frame_is_the_same_in_the_middle(of_kind, start, stride):
    path = of_kind("key frames that earlier frames lean on")
    times = sample_times(path, EveryNth(stride))
    first = start * len(times) // 42
    found = numbers(read_frames(path, times[first : first + 9], size=SIZE))
    assert found == [number * stride for number in range(first, min(first + 9, len(times)))]


def test_a_late_time_is_sought_not_decoded_up_to(tmp_path):
    path = make_video(tmp_path / "v.mp4", seconds=60, rate=10, options={"g": "50", "bf": "3"})
    header = read_header(path)
    for time in np.arange(6.0, 59.0, 0.37):
        landed, _ = next(timed_frames(path, header, [time], seek=True))
        assert time - 11 < landed <= time  # two distances of key frames, and what is reordered


# --- what streams there are ---


def test_the_default_stream_is_read_beside_sound_and_others(tmp_path):
    path = tmp_path / "several.mkv"
    with av.open(str(path), "w") as container:
        large = container.add_stream("libx264", rate=10)
        large.width, large.height, large.pix_fmt = 160, 128, "yuv420p"
        default = container.add_stream("libx264", rate=10)
        default.width, default.height, default.pix_fmt = 80, 64, "yuv420p"
        large.disposition, default.disposition = 0, av.stream.Disposition.default
        for number in range(20):
            for stream, shown in ((large, 0), (default, number)):
                picture = numbered(shown, (stream.width, stream.height))
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame))
        for stream in (large, default):
            container.mux(stream.encode())
    assert (probe(path).width, probe(path).height) == (80, 64)
    assert numbers(read_frames(path, [0.5, 1.2], size=SIZE)) == [5, 12]


def test_among_equals_the_largest_stream_is_read(tmp_path):
    path = tmp_path / "several.ts"
    with av.open(str(path), "w") as container:
        streams = []
        for width in (80, 160):
            stream = container.add_stream("mpeg2video", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, 64, "yuv420p"
            streams.append(stream)
        for number in range(20):
            for stream in streams:
                picture = numbered(number, (stream.width, 64))
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    assert probe(path).width == 160


def test_cover_art_is_not_the_video(tmp_path):
    video = make_video(tmp_path / "v.mp4", seconds=2)
    path = tmp_path / "covered.mp4"
    with av.open(str(video)) as source, av.open(str(path), "w") as target:
        cover = target.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 320, 256, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = target.add_stream_from_template(source.streams.video[0])
        picture = av.VideoFrame.from_ndarray(numbered(9, (320, 256)), format="rgb24")
        art = [*cover.encode(picture), *cover.encode()]
        target.mux(art)
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    assert (probe(path).width, len(frame_times(path))) == (80, 20)


@pytest.mark.parametrize("suffix", [".mkv", ".flv", ".mp4"])
def test_sound_that_outlasts_the_video_does_not_lengthen_it(tmp_path, suffix):
    video = make_video(tmp_path / "v.mp4", seconds=3)
    sound = make_sound(tmp_path / "s.m4a", seconds=9)
    path = tmp_path / f"both{suffix}"
    with (
        av.open(str(video)) as frames,
        av.open(str(sound)) as tones,
        av.open(str(path), "w") as target,
    ):
        sources = (frames, tones)
        streams = [target.add_stream_from_template(source.streams[0]) for source in sources]
        for source, stream in zip(sources, streams, strict=True):
            for packet in source.demux():
                if packet.size:
                    packet.stream = stream
                    target.mux(packet)
    assert probe(path).duration == pytest.approx(3, abs=0.2)
    assert len(sample_times(path, AtRate(5))) in (15, 16)


# --- how frames look ---


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (270, 3)])
def test_rotation_metadata_is_applied(tmp_path, rotation, turns):
    path = make_video(tmp_path / "v.mp4", rotation=rotation)
    info = probe(path)
    upright = (64, 80) if turns % 2 else (80, 64)
    assert (info.width, info.height, info.rotation) == (*upright, rotation)
    frame = read_clip(path, [1.1], size=ShortSide(48))[0]
    assert frame.shape == ((60, 48, 3) if turns % 2 else (48, 60, 3))
    assert number_of(np.rot90(frame, -turns)) == 11
    assert read_clip(path, [1.1], size=Exact(50, 70)).shape == (1, 70, 50, 3)


def test_frames_are_resized_by_their_short_side(variable):
    assert read_clip(variable, [0, 9], size=ShortSide(32)).shape == (2, 32, 40, 3)


def test_colours_are_rgb(tmp_path):
    def red(number: int, size: tuple[int, int]) -> np.ndarray:
        return np.full((size[1], size[0], 3), (200, 40, 10), np.uint8)

    path = make_video(tmp_path / "v.mp4", picture=red)
    assert np.abs(read_clip(path, [1], size=SIZE)[0].mean((0, 1)) - (200, 40, 10)).max() < 6


def test_a_video_that_changes_its_size_gives_frames_of_one_size(tmp_path):
    parts = [
        make_video(tmp_path / f"{w}.ts", size=(w, 64), stamps=stamps)
        for w, stamps in ((80, np.arange(0, 8, 0.1)), (120, np.arange(8, 16, 0.1)))
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    whole = read_clip(path, [0, 3, 7, 10, 12, 15], size=ShortSide(48))
    assert whole.shape == (6, 48, 60, 3)
    assert np.array_equal(read_clip(path, [10, 12, 15], size=ShortSide(48)), whole[3:])


# --- lengths ---


def test_a_video_of_one_frame(tmp_path):
    path = make_video(tmp_path / "v.mp4", seconds=0.1)
    assert frame_times(path).tolist() == [0]
    assert probe(path).duration == pytest.approx(0.1)
    assert numbers(read_frames(path, sample_times(path, AtRate(5)), size=SIZE)) == [0]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_last_picture_that_stays_for_long_is_not_damage(tmp_path, suffix):
    source = make_video(tmp_path / "s.mp4", seconds=2, options={"bf": "0"})
    path = tmp_path / f"held{suffix}"
    with av.open(str(source)) as opened, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(opened.streams.video[0])
        packets = [packet for packet in opened.demux() if packet.size]
        packets[-1].duration = int(8 / packets[-1].time_base)
        for packet in packets:
            packet.stream = stream
            target.mux(packet)
    assert probe(path).duration == pytest.approx(9.9)
    assert len(sample_times(path, AtRate(2))) == 20
    assert numbers(read_frames(path, [1.5, 5, 9.8], size=SIZE)) == [15, 19, 19]


def test_a_long_gap_between_frames_counts_into_the_duration(tmp_path):
    path = make_video(tmp_path / "v.mp4", stamps=[0, 1, 2, 12])
    assert frame_times(path).tolist() == [0, 1, 2, 12]
    assert shown_times(path).duration == 13
    assert numbers(read_frames(path, [2.5, 11.9, 12.5], size=SIZE)) == [2, 2, 3]


@pytest.mark.slow
def test_100_000_frames_take_no_more_memory_than_1000(tmp_path):
    resource = pytest.importorskip("resource", reason="Windows counts memory otherwise")
    kib = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes
    assert 2**BITS > 100_000
    path = make_video(
        tmp_path / "long.mp4",
        seconds=4000,
        rate=25,
        size=(20, 16),
        options={"preset": "ultrafast", "qp": "10", "g": "1000"},
    )
    assert len(frame_times(path)) == 100_000
    times = sample_times(path, AtRate(5))
    assert len(times) == 20_000
    size = Exact(20, 16)
    assert numbers(read_frames(path, [3999.99], size=size)) == [99_999]
    gc.collect()
    reading = read_frames(path, times, size=size)
    first = numbers(itertools.islice(reading, 200))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rest = numbers(reading)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert first + rest == list(range(0, 100_000, 5))
    assert grown < 20_000 * kib


def test_putting_a_video_into_another_container_changes_no_pixel(tmp_path, variable):
    other = remux(variable, tmp_path / "v.mov")
    times = [0, 5, 17.3]
    assert np.array_equal(read_clip(other, times, size=SIZE), read_clip(variable, times, size=SIZE))
