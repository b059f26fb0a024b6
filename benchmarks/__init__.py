"""Speed and memory against published code: `python -m benchmarks`, one script a claim."""

import os

# The environment as the user has it. It is read before anything here changes it, and it is what
# published code runs in (`benchmarks.apart`).
ENVIRONMENT = dict(os.environ)
