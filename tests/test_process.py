"""What the command line sets up for its process, measured from outside."""

import os
import platform
import subprocess
import sys

import pytest

# Blocks as large as an X3D's features, freed and asked for again.
SCRIPT = """
import os, resource, sys
from actline.process import prepare
if "prepare" in sys.argv:
    prepare()
def again():
    for _ in range(10):
        blocks = [bytearray(20 << 20) for _ in range(5)]
        del blocks
again()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
again()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, os.environ["OMP_WAIT_POLICY"])
"""


def faults(*arguments: str, **environment: str) -> tuple[int, str]:
    """Pages that the system handed out anew, and how threads wait."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    count, policy = run.stdout.split()
    return int(count), policy


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back")
def test_freed_memory_is_kept_for_the_next_step_unless_the_environment_says_otherwise():
    handed_out, _ = faults(OMP_WAIT_POLICY="active")
    kept, _ = faults("prepare", OMP_WAIT_POLICY="active")
    assert handed_out > 10_000 and kept < 1_000
    # The user's word counts: memory from 1 MiB on is given back as soon as it is free.
    limits = {"MALLOC_TRIM_THRESHOLD_": "1048576", "MALLOC_MMAP_THRESHOLD_": "1048576"}
    asked, _ = faults("prepare", OMP_WAIT_POLICY="active", **limits)
    assert asked > 10_000


def test_waiting_threads_sleep_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert faults("prepare")[1] == "passive"
    assert faults("prepare", OMP_WAIT_POLICY="active")[1] == "active"
