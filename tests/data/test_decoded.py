"""A decoded video gives the clips that decoding gives."""

import os

import numpy as np
import pytest
import tiny

from actline.data.decoded import decoded_video, read_decoded_clip
from actline.errors import VideoError
from actline.video.decode import ShortSide, read_clip

SIZE = ShortSide(32)


def clip_of(folder, video_id, video, times):
    return read_decoded_clip(decoded_video(folder, video_id, video, size=SIZE), times)


def test_a_decoded_video_gives_the_frames_that_decoding_gives(tmp_path):
    data = tiny.write_data(tmp_path / "data", videos=1)
    video = data / "videos" / "tiny0.mp4"
    for times in (np.arange(8) / 5, np.array([0.0, 0.07, 1.31, 3.95])):
        clip = clip_of(tmp_path / "decoded", "tiny0", video, times)
        np.testing.assert_array_equal(clip, read_clip(video, times, size=SIZE))


@pytest.mark.parametrize("seconds", [10, -1000])
def test_a_video_that_was_replaced_is_decoded_again(tmp_path, seconds):
    """By a newer file, or by one that was filmed before."""
    video = tmp_path / "a.mp4"
    times = np.arange(4) / 5
    tiny.write_video(video, "brighten", (0.0, 1.0), seconds=1.0, rate=10)
    before = clip_of(tmp_path / "decoded", "a", video, times)
    changed = video.stat().st_mtime + seconds
    tiny.write_video(video, "brighten", (0.5, 1.0), seconds=1.0, rate=10)
    os.utime(video, (changed, changed))
    after = clip_of(tmp_path / "decoded", "a", video, times)
    assert (before != after).any()
    np.testing.assert_array_equal(after, read_clip(video, times, size=SIZE))
    assert len(list(tmp_path.glob("decoded/*.npy"))) == 1  # the old one is removed


def test_two_videos_of_one_id_have_their_own_decoded_forms(tmp_path):
    times = np.arange(4) / 5
    for name, start in (("camA", 0.0), ("camB", 0.5)):
        (tmp_path / name).mkdir()
        video = tmp_path / name / "a.mp4"
        tiny.write_video(video, "brighten", (start, 1.0), seconds=1.0, rate=10)
        os.utime(video, (1e9, 1e9))
        clip = clip_of(tmp_path / "decoded", "a", video, times)
        np.testing.assert_array_equal(clip, read_clip(video, times, size=SIZE))
    assert len(list(tmp_path.glob("decoded/*.npy"))) == 2


def test_an_unreadable_video_leaves_no_decoded_form(tmp_path):
    video = tmp_path / "a.mp4"
    video.write_text("not a video")
    with pytest.raises(VideoError):
        clip_of(tmp_path / "decoded", "a", video, np.zeros(1))
    assert not list(tmp_path.glob("decoded/*"))
