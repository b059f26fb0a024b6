"""A decoded video gives the clips that decoding gives."""

import os

import numpy as np
import pytest
import tiny

from actline.data.decoded import read_decoded_clip
from actline.errors import VideoError
from actline.video.decode import ShortSide, read_clip

SIZE = ShortSide(32)


def test_a_decoded_video_gives_the_frames_that_decoding_gives(tmp_path):
    data = tiny.write_data(tmp_path / "data", videos=1)
    video = data / "videos" / "tiny0.mp4"
    for times in (np.arange(8) / 5, np.array([0.0, 0.07, 1.31, 3.95])):
        clip = read_decoded_clip(tmp_path / "decoded", "tiny0", video, times, size=SIZE)
        np.testing.assert_array_equal(clip, read_clip(video, times, size=SIZE))


def test_a_video_that_is_newer_than_its_decoded_form_is_decoded_anew(tmp_path):
    video = tmp_path / "a.mp4"
    times = np.arange(4) / 5
    tiny.write_video(video, "brighten", (0.0, 1.0), seconds=1.0, rate=10)
    before = read_decoded_clip(tmp_path / "decoded", "a", video, times, size=SIZE)
    tiny.write_video(video, "brighten", (0.5, 1.0), seconds=1.0, rate=10)
    later = (tmp_path / "decoded" / "a.32px.npy").stat().st_mtime + 10
    os.utime(video, (later, later))
    after = read_decoded_clip(tmp_path / "decoded", "a", video, times, size=SIZE)
    assert (before != after).any()
    np.testing.assert_array_equal(after, read_clip(video, times, size=SIZE))


def test_an_unreadable_video_leaves_no_decoded_form(tmp_path):
    video = tmp_path / "a.mp4"
    video.write_text("not a video")
    with pytest.raises(VideoError):
        read_decoded_clip(tmp_path / "decoded", "a", video, np.zeros(1), size=SIZE)
    assert not list(tmp_path.glob("decoded/*"))
