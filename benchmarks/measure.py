"""Time and memory of two functions that do the same work, measured side by side."""

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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.apart import Apart

if TYPE_CHECKING:
    import torch


SHORT = 1.0  # seconds


@dataclass(frozen=True)
class Row:
    """One line of the table: times in seconds, memory in bytes.

    Attributes:
        what: the claim.
        sizes: of the inputs.
        ours, other: medians; `other` is None where nothing was compared.
        other_name: whose code, or what form of it, the other is.
        target: how many times faster than the other ours should be; None where there is no target.
        ours_memory, other_memory: peaks beyond what was there before.
        note: what a reader must know.
        device: what both were measured on, "cpu" or "cuda".
    """

    what: str
    sizes: str
    ours: float
    other: float | None
    other_name: str
    target: float | None
    ours_memory: int | None = None
    other_memory: int | None = None
    note: str = ""
    device: str = "cpu"


def alternate(
    ours: Callable[[], object],
    other: Callable[[], object] | Apart | None,
    *,
    runs: int = 5,
    device: "torch.device | None" = None,
) -> tuple[float, float | None]:
    """Median seconds of ours and of the other, called in turn after a warm-up of each.

    In turn, so that whatever else the machine does meets both: the ratio can then be trusted
    where single times cannot. Where they run in two processes, each turn of short work has a
    warm-up of its own, as work that is repeated has.

    Args:
        other: in this process or in one of its own; None where nothing is compared.
        device: where both compute; None is the CPU.
    """
    calls: list[Callable[[], float]] = [partial(seconds, ours, device)]
    if isinstance(other, Apart):
        calls.append(other.seconds)
    elif other is not None:
        calls.append(partial(seconds, other, device))
    first = [call() for call in calls]
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(runs):
        for call, times in zip(calls, taken, strict=True):
            if isinstance(other, Apart) and max(first) < SHORT:
                call()  # what the other process left in the caches is not part of the work
            times.append(call())
    medians = [median(times) for times in taken]
    return medians[0], None if other is None else medians[1]


def compared(
    ours: Callable[[], object],
    other: Callable[[], object] | Apart | None,
    *,
    what: str,
    sizes: str,
    other_name: str,
    target: float | None,
    note: str,
    runs: int = 5,
    device: "torch.device | None" = None,
) -> Row:
    """A row with the times that `alternate` takes, and then the memory of each."""
    ours_seconds, other_seconds = alternate(ours, other, runs=runs, device=device)
    return Row(
        what=what,
        sizes=sizes,
        ours=ours_seconds,
        other=other_seconds,
        other_name=other_name,
        target=target,
        ours_memory=peak_memory(ours, device),
        other_memory=None if other is None else peak_memory(other),
        note=note,
    )


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


def peak_memory(
    function: Callable[[], object] | Apart, device: "torch.device | None" = None
) -> int:
    """Bytes that one call needs at most, beyond those before it.

    On a CPU they are resident ones, of a forked process of its own: the function runs once in
    this process's copy, so it may close over anything, and what it changes is lost. It runs on
    one thread: threads do not survive a fork. On a GPU, which does not survive one either, they
    are those of tensors there, and the function runs here.

    Raises:
        RuntimeError: the function failed in a process of its own.
    """
    if isinstance(function, Apart):
        return function.peak_memory()
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
