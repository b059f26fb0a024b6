"""Mutated inputs for every reader: `python -m tests.fuzz --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # for `tiny`, as the tests import it
