"""Memory does not grow with the size of results, but by their columns; the script works."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.load.results import A_VIDEO, annotate, classes, detect, main

PEAK = """
import sys
from pathlib import Path
from actline.timeline.read import read_segments
found = read_segments(Path(sys.argv[1]))
print(sum(map(len, found.values())))
about = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in about.splitlines() if line.startswith("VmHWM")))
"""


@pytest.mark.parametrize("form", ["many videos", "one video", "table"])
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its peak from /proc")
def test_a_segment_of_results_takes_its_columns(tmp_path: Path, form: str):
    peaks, counts = [], []
    for mib in (0.1, 12):
        path = tmp_path / ("r.csv" if form == "table" else "r.json")
        videos = 1 + round(mib * 2**20 / A_VIDEO / 80)
        annotate(
            tmp_path / "a.json", videos=videos, activities=3, names=classes(50), random=Random(0)
        )
        detect(tmp_path / "a.json", path, mib=mib, random=Random(0))
        if form == "one video":
            given = json.loads(path.read_text())["results"].values()
            rows = [row for entries in given for row in entries]
            path.write_text(json.dumps({"results": {"all": rows}}))
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True
        )
        count, peak = map(int, done.stdout.split())
        counts.append(count)
        peaks.append(peak * 1024)
    more = counts[1] - counts[0]
    assert more > 80_000
    # 28 bytes a segment, twice while a list grows, and the part of the file that is looked at:
    # its text twice, and a long list's objects. As objects all would take 700 bytes a segment.
    at_once = 16 * 2**20 * (8 if form == "one video" else 2)
    assert peaks[1] - peaks[0] < 100 * more + at_once


@pytest.mark.slow
def test_the_script_prints_a_row_for_each_command(tmp_path: Path, capsys):
    small = ["--mib", "0.5", "--segments", "2000", "--classes", "100", "--folder", str(tmp_path)]
    assert main(small) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert len(rows) == 13
    assert not list(tmp_path.iterdir())
