"""Time and memory of two functions that do the same work, measured side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.apart import Apart
from benchmarks.quantities import peak_memory, seconds

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
    ours_memory = peak_memory(ours, device)
    other_memory = None
    if other is not None:
        other_memory = other.peak_memory() if isinstance(other, Apart) else peak_memory(other)
    return Row(
        what=what,
        sizes=sizes,
        ours=ours_seconds,
        other=other_seconds,
        other_name=other_name,
        target=target,
        ours_memory=ours_memory,
        other_memory=other_memory,
        note=note,
    )
