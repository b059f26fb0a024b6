"""Windows cover every frame, fade into each other, and are cut from one stream of frames."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from actline.video.windows import blend_weights, window_middles, window_starts, windows

lengths = st.tuples(st.integers(1, 300), st.integers(2, 64), st.integers(0, 32)).filter(
    lambda s: s[2] <= s[1] // 2
)


@given(lengths)
def test_every_frame_is_in_a_window_and_every_window_is_full(sizes):
    frames, window, overlap = sizes
    starts = window_starts(frames, window=window, overlap=overlap)
    covered = np.zeros(frames, int)
    for start in starts:
        assert start + window <= frames or len(starts) == 1
        covered[start : start + window] += 1
    assert covered.min() >= 1
    assert starts == sorted(set(starts))


@given(lengths)
def test_weights_are_positive_everywhere(sizes):
    frames, window, overlap = sizes
    starts = window_starts(frames, window=window, overlap=overlap)
    for start in starts:
        length = min(window, frames)
        weights = blend_weights(length, overlap, first=start == 0, last=start + length == frames)
        assert weights.min() > 0
        assert weights.max() <= 1


@given(lengths)
def test_streamed_windows_hold_the_frames_they_name(sizes):
    frames, window, overlap = sizes
    stream = (np.full((1, 1, 3), i % 256, np.uint8) for i in range(frames))
    starts = window_starts(frames, window=window, overlap=overlap)
    for start, content in windows(stream, starts, window):
        expected = [i % 256 for i in range(start, min(start + window, frames))]
        assert content[:, 0, 0, 0].tolist() == expected


@given(lengths)
def test_the_middles_of_all_windows_are_all_frames_each_once(sizes):
    frames, window, overlap = sizes
    starts = window_starts(frames, window=window, overlap=overlap)
    middles = window_middles(starts, window=window, frames=frames)
    assert [n for first, last in middles for n in range(first, last)] == list(range(frames))
    for start, (first, last) in zip(starts, middles, strict=True):
        assert start <= first < last <= start + window
