"""Kills and full disks at every point where a command writes: `python -m tests.faults --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # for `tiny`, as the tests import it
