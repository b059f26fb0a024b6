"""What commands take of time and memory on large inputs: `python -m tests.load.videos --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # for `tiny`, as the tests import it
