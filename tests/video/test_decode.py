"""Real files of every kind give the frame on display at a time, however they are read."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from actline.errors import VideoError
from actline.video.decode import Exact, ShortSide, frame_times, probe, read_clip, read_frames
from actline.video.sampling import AtRate, EveryNth, find_video, sample_times

SIZE = Exact(32, 24)


def encode(
    path: Path,
    stamps: list[int],
    *,
    base: Fraction = Fraction(1, 100),
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    options: dict[str, str] | None = None,
) -> Path:
    """A video whose frame i has brightness 2 i (mod 250) and the timestamp stamps[i]."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = base
        for number, stamp in enumerate(stamps):
            picture = np.full((size[1], size[0], 3), 2 * number % 250, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = stamp, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def shown(frames) -> list[int]:
    """The number of each frame, read off its brightness."""
    return [round(float(frame.mean()) / 2) for frame in frames]


@pytest.fixture(scope="module")
def variable(tmp_path_factory) -> Path:
    """12 s with B-frames, one key frame, gaps of 40 to 400 ms, and a start at 1 s."""
    gaps = np.random.default_rng(0).choice([4, 8, 20, 40], 99)
    stamps = [100, *(100 + np.cumsum(gaps)).tolist()]
    path = tmp_path_factory.mktemp("video") / "variable.mp4"
    return encode(path, stamps, options={"bf": "3", "g": "40"})


def test_times_are_the_files_own_not_counted(variable):
    gaps = np.random.default_rng(0).choice([4, 8, 20, 40], 99)
    assert np.allclose(frame_times(variable), np.append(0, np.cumsum(gaps)) / 100, atol=1e-3)


def test_the_frame_at_a_time_is_the_one_on_display(variable):
    times = frame_times(variable)
    wanted = np.arange(0, times[-1], 0.13)
    expected = np.searchsorted(times, wanted + 1e-6, side="right") - 1
    found = shown(read_frames(variable, wanted, size=SIZE))
    assert np.abs(np.array(found) - expected).max() <= 1  # brightness passes through a codec


@given(st.lists(st.integers(1, 89), max_size=5))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whole_chunked_and_sought_reading_give_identical_pixels(variable, cuts):
    times = sample_times(variable, AtRate(7.0))
    whole = read_clip(variable, times, size=SIZE)
    borders = sorted({0, len(times), *(cut for cut in cuts if cut < len(times))})
    pieces = [read_clip(variable, times[a:b], size=SIZE) for a, b in itertools.pairwise(borders)]
    assert np.array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.avi", "mpeg4"),
        ("a.webm", "libvpx"),
        ("a.mov", "mpeg4"),
    ],
)
def test_containers_and_codecs_are_read_from_any_place(tmp_path, name, codec):
    path = encode(tmp_path / name, list(range(0, 1000, 4)), codec=codec)
    times = sample_times(path, AtRate(5.0))
    whole = read_clip(path, times, size=SIZE)
    late = [t for t in times if t > 7]
    assert np.array_equal(read_clip(path, late, size=SIZE), whole[-len(late) :])
    assert probe(path).duration == pytest.approx(10, abs=0.1)


def test_every_nth_frame_by_timestamp(variable):
    assert np.array_equal(sample_times(variable, EveryNth(7)), frame_times(variable)[::7])


def test_frames_are_resized_by_their_short_side(variable):
    frame = next(read_frames(variable, [0.0], size=ShortSide(24)))
    assert frame.shape == (24, 32, 3)


def test_rotation_metadata_is_applied(tmp_path):
    path = encode(tmp_path / "plain.mp4", list(range(0, 40, 4)), size=(64, 48))
    content = path.read_bytes()
    at = content.index(b"tkhd") + 4 + 40  # its matrix, in 16.16 fixed point
    one = (1 << 16).to_bytes(4, "big")
    minus_one = (2**32 - (1 << 16)).to_bytes(4, "big")
    zero, w = bytes(4), (1 << 30).to_bytes(4, "big")
    matrix = zero + one + zero + minus_one + zero + zero + zero + zero + w
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(content[:at] + matrix + content[at + 36 :])
    info = probe(turned)
    assert (info.width, info.height) == (48, 64)
    assert next(read_frames(turned, [0.0], size=ShortSide(24))).shape == (32, 24, 3)


def test_a_folder_of_frames_is_a_video(tmp_path):
    folder = tmp_path / "ID"
    folder.mkdir()
    for number in range(1, 49):
        Image.new("RGB", (64, 48), (number * 4,) * 3).save(folder / f"ID-{number:06d}.jpg")
    assert find_video(tmp_path, "ID") == folder
    assert probe(folder).duration == 2.0
    found = [float(f.mean()) / 4 for f in read_frames(folder, [0, 0.5, 1.99], size=SIZE)]
    assert np.allclose(found, [1, 13, 48], atol=0.6)
    (folder / "ID-000007.jpg").unlink()
    with pytest.raises(VideoError, match="frame 7 is missing"):
        probe(folder)


def test_audio_and_cover_art_do_not_matter(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        small = container.add_stream("libx264", rate=10)
        small.width, small.height, small.pix_fmt = 32, 32, "yuv420p"
        audio = container.add_stream("aac", rate=44100)
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 99, np.uint8), format="rgb24")
            container.mux(video.encode(frame))
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(small.encode(frame))
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        sound.sample_rate = 44100
        container.mux(audio.encode(sound))
        for stream in (video, small, audio):
            container.mux(stream.encode())
    assert (probe(path).width, probe(path).height) == (64, 48)
    assert abs(float(read_clip(path, [0.5], size=SIZE).mean()) - 99) < 3


def test_a_cut_off_file_says_how_much_is_there(tmp_path):
    whole = encode(tmp_path / "w.mp4", list(range(0, 1000, 4)), options={"g": "10"})
    fast = tmp_path / "fast.mp4"
    with (
        av.open(str(whole)) as source,
        av.open(str(fast), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    fast.write_bytes(fast.read_bytes()[: int(fast.stat().st_size * 0.6)])
    with pytest.raises(VideoError, match=r"cut off|can be decoded for"):
        read_clip(fast, sample_times(fast, AtRate(5)), size=SIZE)


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path):
    import resource

    path = encode(tmp_path / "long.mp4", list(range(0, 400_000, 4)), size=(16, 16))
    assert len(frame_times(path)) == 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = sum(1 for _ in read_frames(path, sample_times(path, AtRate(5)), size=Exact(16, 16)))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert count == 20_000
    assert grown < 50_000  # KiB
