"""A decoded video gives the clips that decoding gives."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tiny

from actline.errors import OutputError, VideoError
from actline.video.decode import ShortSide, read_clip
from actline.video.decoded import decoded_video, read_decoded_clip

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


@pytest.mark.parametrize(
    "damaged",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:5],
        lambda raw: b"",
        lambda raw: b"x" * len(raw),
        lambda raw: raw.replace(b"pixels", b"pickle"),
        lambda raw: raw.replace(b"'|u1'", b"'|i1'"),
        lambda raw: raw.replace(b"'<f8'", b"'<i8'"),
        lambda raw: raw.replace(b"(10,)", b"(11,)"),
        lambda raw: raw.replace(b"(10,)", b"(-1,)"),
    ],
)
def test_a_decoded_video_that_is_not_what_was_written_is_decoded_again(tmp_path, damaged):
    video, folder, times = tmp_path / "a.mp4", tmp_path / "decoded", np.arange(4) / 5
    tiny.write_video(video, "brighten", (0.0, 1.0), seconds=1.0, rate=10)
    before = clip_of(folder, "a", video, times)
    (decoded,) = folder.glob("*.npy")
    raw = decoded.read_bytes()
    assert damaged(raw) != raw
    decoded.write_bytes(damaged(raw))
    np.testing.assert_array_equal(clip_of(folder, "a", video, times), before)
    assert decoded.read_bytes() == raw


def test_a_changed_pixel_is_found(tmp_path):
    video, folder, times = tmp_path / "a.mp4", tmp_path / "decoded", np.arange(4) / 5
    tiny.write_video(video, "brighten", (0.0, 1.0), seconds=1.0, rate=10)
    clip_of(folder, "a", video, times)
    (decoded,) = folder.glob("*.npy")
    raw = bytearray(decoded.read_bytes())
    raw[-len(raw) // 2] ^= 1
    decoded.write_bytes(raw)
    with pytest.raises(VideoError, match=r"px\.npy is damaged; remove it"):
        clip_of(folder, "a", video, np.arange(10) / 10)


def test_a_changed_time_is_found(tmp_path):
    """Also that of a frame which, for it, is not chosen."""
    video, folder = tmp_path / "a.mp4", tmp_path / "decoded"
    tiny.write_video(video, "brighten", (0.0, 1.0), seconds=1.0, rate=10)
    clip_of(folder, "a", video, np.arange(4) / 5)
    (decoded,) = folder.glob("*.npy")
    frames = np.load(decoded, mmap_mode="r+")
    frames["time"][3] += 0.01
    frames.flush()
    for wanted in (0.305, 0.4):
        with pytest.raises(VideoError, match=r"px\.npy is damaged; remove it"):
            clip_of(folder, "a", video, np.array([wanted]))


def test_a_full_disk_while_decoding_is_one_clear_line(tmp_path, small_disk):
    """The decoded form is mapped into memory, where a full disk would kill the process."""
    video = tmp_path / "a.mp4"
    tiny.write_video(video, "brighten", (0.0, 1.0), seconds=60.0, rate=10)
    times = np.arange(4) / 5
    with pytest.raises(OutputError, match="No space left on device"):
        clip_of(small_disk / "decoded", "a", video, times)
    assert not list((small_disk / "decoded").iterdir())
    clip_of(tmp_path / "decoded", "a", video, times)


def test_what_a_killed_process_was_decoding_is_removed_by_one_that_finds_all_decoded(tmp_path):
    video, folder = tmp_path / "a.mp4", tmp_path / "decoded"
    tiny.write_video(video, "brighten", (0.0, 1.0), seconds=1.0, rate=10)
    clip_of(folder, "a", video, np.zeros(1))
    left = folder / ".actline-abcdefgh.part"
    left.mkdir()
    (left / "lock").touch()
    program = f"""
from pathlib import Path
from actline.video.decoded import decoded_video
from actline.video.decode import ShortSide
decoded_video(Path({str(folder)!r}), "a", Path({str(video)!r}), size=ShortSide(32))
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert [path.suffix for path in folder.iterdir()] == [".npy"]


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
