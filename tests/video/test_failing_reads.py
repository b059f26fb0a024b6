"""A disk that fails in the middle of a video: an error, never a video that ends there."""

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from tests.faults.reads import shim

PROGRAM = """
import sys
from pathlib import Path
from actline.errors import VideoError
from actline.video.decode import ShortSide, frame_times, read_frames
for path in map(Path, sys.argv[1:]):
    try:
        found = list(read_frames(path, frame_times(path), size=ShortSide(32)))
        print(f"{len(found)} frames")
    except VideoError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Noise, so that files are larger than what is read at once; a live one tells no length."""
    folder = tmp_path_factory.mktemp("videos")
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (96, 96, 3), dtype=np.uint8) for _ in range(40)]
    paths = [folder / name for name in ("noise.mp4", "noise.mkv", "noise.ts", "noise-live.mkv")]
    for path in paths:
        options = {"live": "1"} if "live" in path.name else {}
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
            for picture in pictures:
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return paths


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_video_that_cannot_be_read_to_its_end_fails(videos, tmp_path: Path, share: float) -> None:
    library = shim(tmp_path)
    if library is None:
        pytest.skip("no C compiler here")
    after = int(share * min(path.stat().st_size for path in videos))
    fault = {"LD_PRELOAD": str(library), "FAULT_PATH": "noise", "FAULT_AFTER": str(after)}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, videos)],
        capture_output=True,
        text=True,
        env={**os.environ, **fault},
        check=True,
    )
    wanted = [f"cannot read {path}: Input/output error; copy it again" for path in videos]
    assert ended.stdout.splitlines() == wanted
    assert ended.stderr == ""


def test_they_are_read_whole_where_the_disk_does_not_fail(videos, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, videos)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "40 frames\n" * 4
