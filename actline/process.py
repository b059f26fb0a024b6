"""Process settings that speed up all long work."""

import contextlib
import ctypes
import os
import platform

# Parameters of glibc's mallopt, and their values.
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1
_MOST_FROM_HEAP = 32 * 2**20  # the most that glibc allows
_NEVER_TRIM = 2**31 - 1


def prepare() -> None:
    """Tune this process, and those it starts, for work on CPUs; call it before torch loads.

    - Threads that wait for others sleep: spinning would take time from decoding and from other
    programs.
    - Memory that one step frees is kept for the next. glibc returns large blocks to the system at
    once, which then has to clear their pages again: a seventh of X3D's inference time.

    Values already set in the environment (`OMP_WAIT_POLICY`, `MALLOC_TRIM_THRESHOLD_`) are kept.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if platform.system() != "Linux" or "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return
    with contextlib.suppress(OSError, AttributeError):  # other C libraries have no such function
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MOST_FROM_HEAP)
        mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)
