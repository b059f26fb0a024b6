"""Sampling depends on the file and the sampling alone, and covers the whole video."""

import numpy as np
import pytest
from encode import make_folder, make_video
from hypothesis import given, settings
from hypothesis import strategies as st

from actline.errors import VideoError
from actline.video.decode import frame_times, probe
from actline.video.sampling import AtRate, EveryNth, find_video, sample_times


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("video") / "v.mp4", seconds=7, rate=30)


@given(rate=st.floats(0.05, 120))
@settings(max_examples=30, deadline=None)
def test_a_rate_covers_the_video_and_no_more(video, rate):
    times = sample_times(video, AtRate(rate))
    duration = probe(video).duration
    assert np.allclose(times, np.arange(len(times)) / rate)
    assert times[-1] < duration
    assert times[-1] + 1 / rate >= duration - 1e-6


@given(stride=st.integers(1, 400))
@settings(max_examples=20, deadline=None)
def test_a_stride_takes_every_nth_frame_by_timestamp(video, stride):
    assert np.array_equal(sample_times(video, EveryNth(stride)), frame_times(video)[::stride])


def test_a_whole_number_of_samples_has_none_past_the_end(video):
    assert len(sample_times(video, AtRate(30))) == 210
    assert len(sample_times(video, AtRate(10))) == 70


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_positive(rate):
    with pytest.raises(ValueError, match="positive"):
        AtRate(rate)


def test_a_stride_is_positive():
    with pytest.raises(ValueError, match="starts at 1"):
        EveryNth(0)


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
