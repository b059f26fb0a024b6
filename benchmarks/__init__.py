"""Speed and memory against published code: `python -m benchmarks`, one script a claim."""
