"""Time and memory of one function, in the process that asks."""

import contextlib
import ctypes
import gc
import os
import pickle
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seconds(function: Callable[[], object], device: "torch.device | None" = None) -> float:
    """What one call takes, until a GPU has done all that it was told to."""
    finish(device)
    began = time.perf_counter()
    result = function()
    finish(device)
    taken = time.perf_counter() - began
    del result  # freed outside of the time of the next
    return taken


def finish(device: "torch.device | None") -> None:
    """Wait for a GPU, which computes while Python goes on; a CPU is done when a call is."""
    if device is not None and device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def peak_memory(function: Callable[[], object], device: "torch.device | None" = None) -> int:
    """Bytes that one call needs at most, beyond those before it.

    On a CPU they are resident ones, of a forked process of its own: the function runs once in
    this process's copy, so it may close over anything, and what it changes is lost. It runs on
    one thread: threads do not survive a fork. On a GPU, which does not survive one either, they
    are those of tensors there, and the function runs here.

    Raises:
        RuntimeError: the function failed in a process of its own.
    """
    if device is not None and device.type == "cuda":
        return _peak_on_gpu(function, device)
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: see above
        child = os.fork()
    if child == 0:
        os.close(read_end)
        answer: int | str = "it ended early"
        try:
            answer = _peak_here(function)
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        finally:
            os.write(write_end, pickle.dumps(answer))
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        received = pipe.read()
    os.waitpid(child, 0)
    # From this very program, through a pipe of its own.
    answer = pickle.loads(received) if received else "it was killed"  # noqa: S301
    if isinstance(answer, str):
        raise RuntimeError(f"memory could not be measured: {answer}")
    return answer


def _peak_on_gpu(function: Callable[[], object], device: "torch.device") -> int:
    import torch

    gc.collect()
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    result = function()
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_allocated(device)
    del result
    return peak - before


def _peak_here(function: Callable[[], object]) -> int:
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        # What was freed before must not be handed out again, uncounted.
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak restarts from here
    before = _resident()
    result = function()
    after = _peak()
    del result
    return max(after - before, 0)


def _resident() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return _peak()
    return pages * resource.getpagesize()


def _peak() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
