"""Frames nobody asks for are not decoded where that changes no pixel of the others."""

from pathlib import Path

import numpy as np
import pytest
from encode import make_video, number_of
from hypothesis import given, settings
from hypothesis import strategies as st

from actline.video.container import demuxed, opened
from actline.video.decode import Exact, frame_times, read_clip
from actline.video.frames import attempted
from actline.video.skipping import spared
from actline.video.timestamps import EARLY_SECONDS, read_header

SIZE = Exact(60, 48)
SECONDS, RATE = 8, 25

# How x264 may order and refer to frames.
OPTIONS = {
    "b-frames that others refer to": {"bf": "5", "x264-params": "b-pyramid=normal:b-adapt=0"},
    "b-frames that none refers to": {"bf": "3", "x264-params": "b-pyramid=none"},
    "p-frames that none refers to": {"bf": "0", "x264-params": "nal-hrd=none:ref=4"},
    "open groups": {"bf": "3", "x264-params": "open-gop=1:keyint=20:scenecut=0"},
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("skipping")
    return {
        kind: make_video(folder / f"{i}.mp4", seconds=SECONDS, rate=RATE, options=options)
        for i, (kind, options) in enumerate(OPTIONS.items())
    }


def decoded(path: Path, wanted: list[float]) -> list[float]:
    """The seconds of all frames that the decoder made."""
    header = read_header(path)
    with opened(path) as (container, stream):
        packets, decoder = demuxed(container, stream), stream.codec_context
        return [
            (stamp - header.start) * header.base
            for stamp, frame in attempted(path, spared(packets, decoder, header, wanted), decoder)
            if stamp is not None and frame is not None
        ]


@pytest.mark.parametrize("kind", OPTIONS)
@settings(max_examples=15, deadline=None)
@given(
    times=st.lists(st.floats(0, SECONDS - 0.1), min_size=1, max_size=12),
    on_frames=st.booleans(),
)
def test_pixels_are_those_of_decoding_everything(videos, kind, times, on_frames):
    path = videos[kind]
    shown = frame_times(path)
    wanted = np.sort(np.array(times))
    if on_frames:
        wanted = shown[np.searchsorted(shown, wanted, side="right") - 1]
    everything = read_clip(path, shown, size=SIZE)
    ours = read_clip(path, wanted, size=SIZE)
    index = np.searchsorted(shown, wanted + EARLY_SECONDS, side="right") - 1
    np.testing.assert_array_equal(ours, everything[index])
    assert [number_of(picture) for picture in ours] == index.tolist()


@pytest.mark.parametrize("kind", list(OPTIONS)[:2])
def test_what_nobody_asks_for_is_left_out(videos, kind):
    path = videos[kind]
    every = decoded(path, frame_times(path).tolist())
    assert len(every) == SECONDS * RATE
    wanted = [0.0, 4.0]
    few = decoded(path, wanted)
    assert len(few) < 0.7 * len(every)
    assert set(wanted) <= set(np.round(few, 9)) and set(few) <= set(every)


def test_other_codecs_are_decoded_whole(tmp_path):
    path = make_video(tmp_path / "v.avi", codec="mpeg4", options={"bf": "2"})
    assert len(decoded(path, [0.0])) == len(frame_times(path))
