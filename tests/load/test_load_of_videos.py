"""Memory does not grow with a video's length; the script that measures it works."""

import subprocess
import sys
from pathlib import Path

import pytest
from tiny import write_video

from tests.load.videos import RATE, main, repeat

PEAK = """
import sys
from pathlib import Path
from actline.video.decode import ShortSide, read_frames
from actline.video.sampling import AtRate, sample_times
path = Path(sys.argv[1])
times = sample_times(path, AtRate(5))
print(sum(1 for _ in read_frames(path, times, size=ShortSide(32))))
about = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in about.splitlines() if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its peak from /proc")
def test_a_long_video_takes_the_memory_of_a_short_one(tmp_path):
    write_video(tmp_path / "clip.mp4", "move", (2.0, 8.0), seconds=10.0, rate=RATE)
    peaks = {}
    for minutes in (1, 20):
        path = repeat(tmp_path / "clip.mp4", tmp_path / f"{minutes}.mp4", 60.0 * minutes)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True
        )
        frames, peak = map(int, done.stdout.split())
        assert frames == 5 * 60 * minutes
        peaks[minutes] = peak / 1024
    # Decoded, the frames are 320 MB; what is known of 30 000 packets is some 50 bytes each, twice.
    assert peaks[20] - peaks[1] < 40


@pytest.mark.slow
def test_the_script_prints_a_row_for_each_command(tmp_path, capsys):
    assert main(["--hours", "0.01", "--small", "6", "--share", "2", "--folder", str(tmp_path)]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert len(rows) == 7
    assert not list(tmp_path.iterdir())
