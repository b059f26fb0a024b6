"""Folders of frames, as the published code reads videos, are videos too."""

import numpy as np
import pytest
from encode import cut, make_folder, number_of, numbered
from PIL import Image

from actline.errors import VideoError
from actline.video.decode import Exact, ShortSide, frame_times, probe, read_clip, read_frames
from actline.video.find import find_video
from actline.video.sampling import AtRate, EveryNth, sample_times

SIZE = Exact(60, 48)


def test_a_folder_of_frames_is_a_video(tmp_path):
    folder = make_folder(tmp_path / "ID", frames=48)
    assert find_video(tmp_path, "ID") == folder
    info = probe(folder)
    assert (info.duration, info.width, info.height, info.codec) == (2.0, 80, 64, "frames")
    times = sample_times(folder, EveryNth(10))
    assert [number_of(f) for f in read_frames(folder, times, size=SIZE)] == [0, 10, 20, 30, 40]
    assert [number_of(f) for f in read_frames(folder, [0, 0.5, 9], size=SIZE)] == [0, 12, 47]


def test_its_rate_is_what_one_says(tmp_path):
    folder = make_folder(tmp_path / "ID", frames=20)
    assert probe(folder, frame_rate=10).duration == 2
    assert np.allclose(frame_times(folder, frame_rate=10), np.arange(20) / 10)
    times = sample_times(folder, AtRate(5), frame_rate=10)
    found = [number_of(f) for f in read_frames(folder, times, size=SIZE, frame_rate=10)]
    assert found == list(range(0, 20, 2))


def test_each_frame_is_found_at_its_own_time(tmp_path):
    folder = make_folder(tmp_path / "ID", frames=50)
    times = frame_times(folder, frame_rate=29.97)
    found = [number_of(f) for f in read_frames(folder, times, size=SIZE, frame_rate=29.97)]
    assert found == list(range(50))


def test_pictures_of_several_sizes_are_given_one(tmp_path):
    folder = make_folder(tmp_path / "ID", frames=5)
    Image.fromarray(numbered(2, (120, 64))).save(folder / "ID-000003.jpg")
    assert read_clip(folder, [0, 0.1, 0.2], size=ShortSide(48)).shape == (3, 48, 60, 3)


def test_hidden_and_other_files_are_passed_over(tmp_path):
    folder = make_folder(tmp_path / "ID", frames=5)
    (folder / "._ID-000009.jpg").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    assert len(frame_times(folder)) == 5


@pytest.mark.parametrize("missing", [1, 3])
def test_a_gap_in_the_numbers_is_named(tmp_path, missing):
    folder = make_folder(tmp_path / "ID", frames=5)
    (folder / f"ID-{missing:06d}.jpg").unlink()
    for read in (probe, frame_times, lambda path: read_clip(path, [0], size=SIZE)):
        with pytest.raises(VideoError, match=f"ID: frame {missing} is missing; extract the"):
            read(folder)


def test_two_pictures_of_one_number_are_named(tmp_path):
    folder = make_folder(tmp_path / "ID", frames=5)
    (folder / "ID-3.jpg").write_bytes(b"x")
    with pytest.raises(VideoError, match="are both frame 3; keep one of them"):
        probe(folder)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5])
def test_a_damaged_picture_is_named(tmp_path, part):
    folder = make_folder(tmp_path / "ID", frames=5)
    cut(folder / "ID-000003.jpg", folder / "ID-000003.jpg", part=part)
    with pytest.raises(VideoError, match=r"ID-000003\.jpg is .*; extract it again"):
        read_clip(folder, frame_times(folder), size=SIZE)
