"""Settings of a process that all long work in it gains from."""

import contextlib
import ctypes
import os
import platform

# Names of glibc's mallopt, and what they are set to.
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1
_MOST_FROM_HEAP = 32 * 2**20  # the most that glibc allows
_NEVER_TRIM = 2**31 - 1


def prepare() -> None:
    """Make this process quick at work on CPUs, and those it starts; called before torch loads.

    - Threads that wait for others sleep: spinning, they take time from decoding and from whatever
      else the machine does.
    - Memory that one step frees is kept for the next. glibc gives large blocks back to the system
      at once, which then clears each of their pages anew: a seventh of X3D's inference.

    Settings that the environment already has (`OMP_WAIT_POLICY`, `MALLOC_TRIM_THRESHOLD_`) stay.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if platform.system() != "Linux" or "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return
    with contextlib.suppress(OSError, AttributeError):  # other C libraries have no such function
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MOST_FROM_HEAP)
        mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)
