"""Sampling depends on the file and the sampling alone, and covers the whole video."""

import numpy as np
import pytest
from encode import make_video
from hypothesis import given, settings
from hypothesis import strategies as st

from actline.video.decode import frame_times, probe
from actline.video.sampling import AtRate, EveryNth, sample_times


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
    with pytest.raises(ValueError, match="must be at least 1"):
        EveryNth(0)
