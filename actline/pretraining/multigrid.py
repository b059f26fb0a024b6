"""Multigrid training: many small clips first, few large ones last (Wu et al., CVPR 2020).

Clips of fewer frames and pixels leave room for larger batches, so that every step costs about the
same while a run sees its videos several times as often. The long cycle changes frames and size
over a stage of the learning rate, the short cycle changes the size from step to step (Section 3.2,
Figure 2).
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import ceil
from typing import Annotated, NamedTuple

import torch
from torch.utils.data import Sampler

from actline.datasets.batches import batches_per_epoch, derived_seed
from actline.datasets.trimmed_clips import ClipRequest
from actline.stored.ranges import Count, Range, Share

# X3D and SlowFast halve the sides five times.
SMALLEST_SIZE = 32


@dataclass(frozen=True)
class MultigridConfig:
    """Which shapes clips go through, and when (Section 3.2, Figure 2).

    The cycles are the paper's; `stages` and `tail_lr_drop` are those of X3D-Multigrid's script, as
    the paper takes the stages from each model's own schedule. (Its published run used others, which
    are in its recipe; see docs/multigrid.md.)

    Attributes:
        long_cycle: shares of the frames and of the side, from the first shape to the last, which
            is the full one. Each lasts for an equal part of a stage's steps.
        short_cycle: shares of the full side that steps go through, besides the long cycle's own;
            those that are not smaller than it are left out. () trains without a short cycle.
        stages: shares of the training at which a stage of the learning rate ends. Each runs one
            long cycle; after the last comes the tail, which fine-tunes at the full shape. () has
            no long cycle.
        tail_lr_drop: share of the tail at which the learning rate falls for the last time.
        tail_short_cycle: whether the tail has a short cycle, as in the published code.
        size_multiple: reduced sides are rounded to the nearest multiple of this.
        normalization_batch: clips of a full-shape batch that are normalized together; a smaller
            batch is normalized whole.
        scale_lr: whether the learning rate is multiplied by how many times the full shape's batch
            the long cycle's is (Section 3.2). SSDet's released script leaves it as it is.
        scale_splits: whether the batch is normalized in as many more parts (Section 3.3), so that
            each stays as large. SSDet's released script keeps the full shape's number of parts.

    Raises:
        ValueError: a value is out of its range.
    """

    long_cycle: tuple[tuple[float, float], ...] = (
        (0.25, 0.5**0.5),
        (0.5, 0.5**0.5),
        (0.5, 1.0),
        (1.0, 1.0),
    )
    short_cycle: tuple[float, ...] = (0.5, 0.5**0.5)
    stages: tuple[float, ...] = (0.4, 0.65, 0.85)
    tail_lr_drop: Share = 0.5
    tail_short_cycle: bool = True
    size_multiple: Annotated[int, Range(1, 4096)] = 16
    normalization_batch: Count = 8
    scale_lr: bool = True
    scale_splits: bool = True

    def __post_init__(self) -> None:
        if not self.long_cycle or self.long_cycle[-1] != (1.0, 1.0):
            raise ValueError("multigrid: the last shape of long_cycle must be the full one, (1, 1)")
        if not all(0 < share <= 1 for shape in self.long_cycle for share in shape):
            raise ValueError("multigrid: the shares of long_cycle must be above 0 and at most 1")
        if not all(0 < share < 1 for share in self.short_cycle) or not _rising(self.short_cycle):
            raise ValueError("multigrid: the shares of short_cycle must increase, between 0 and 1")
        if not all(0 < share <= 1 for share in self.stages) or not _rising(self.stages):
            raise ValueError("multigrid: the shares of stages must increase, above 0 and at most 1")
        if not 0 <= self.tail_lr_drop <= 1:
            raise ValueError("multigrid: tail_lr_drop must lie between 0 and 1")
        if self.size_multiple < 1 or self.normalization_batch < 1:
            raise ValueError("multigrid: size_multiple and normalization_batch must be at least 1")


class ClipShape(NamedTuple):
    """What the clips of one step are, and what the step needs besides.

    Attributes:
        batch_size: clips per batch and process.
        frames, size: sampled frames of a clip, and pixels a side.
        lr_factor: what the learning rate is multiplied by: how many times the full shape's batch
            the long cycle's is, or 1 without `scale_lr`. The short cycle leaves the rate alone,
            as published.
        splits: parts of the batch that are normalized separately; the same throughout a short
            cycle, and throughout the run without `scale_splits`.
        max_stride: a clip of fewer frames is taken at every nth sampled frame, n drawn from 1 to
            this, so that it spans up to the time of a full clip.
    """

    batch_size: int
    frames: int
    size: int
    lr_factor: float
    splits: int
    max_stride: int


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The shape of every optimizer step of a run (Section 3.2).

    A base epoch is as many steps as one pass over the data takes at the full shape. Since all
    steps cost about the same, `epochs` base epochs cost what as many epochs of ordinary training
    do, and milestones of the learning rate keep their meaning.

    Args:
        length: videos of the training set.
        batch_size, frames, size: the full shape; the batch is that of one process.
        epochs: base epochs.
        accumulate: batches of one shape whose gradients are added up for one step.

    Raises:
        ValueError: the shapes cannot be derived from the full one, or there are too few data for
            them.
    """

    length: int
    batch_size: int
    frames: int
    size: int
    epochs: int
    processes: int = 1
    accumulate: int = 1
    config: MultigridConfig = field(default_factory=MultigridConfig)

    def __post_init__(self) -> None:
        counts = (self.length, self.batch_size, self.epochs, self.processes, self.accumulate)
        if min(counts) < 1:
            raise ValueError(
                "multigrid: length, batch_size, epochs, processes and accumulate must be 1 or more"
            )
        together = self.config.normalization_batch
        if self.batch_size > together and self.batch_size % together:
            raise ValueError(
                f"multigrid: a batch of {self.batch_size} cannot be normalized {together} clips at "
                "a time; change normalization_batch or batch_size"
            )
        shapes = [shape for run in self._runs for shape in run.shapes]
        least = ceil(max(1 / share for share, _ in self.config.long_cycle))
        if min(shape.frames for shape in shapes) < 1:
            raise ValueError(
                f"multigrid: {self.frames} frames are too few for this long_cycle, which needs "
                f"{least}"
            )
        smallest = min(shape.size for shape in shapes)
        if smallest < SMALLEST_SIZE:
            raise ValueError(
                f"multigrid: from a size of {self.size}, clips get as small as {smallest} pixels a "
                f"side, and {SMALLEST_SIZE} is the least; enlarge size, or change the cycles"
            )
        largest = max(shape.batch_size for shape in shapes)
        if self.share < largest:
            raise ValueError(
                f"multigrid: the largest batch has {largest} clips, and each of {self.processes} "
                f"processes has {self.share} videos; lower batch_size, or change the cycles"
            )

    @property
    def share(self) -> int:
        """Videos that every process has in one pass over the data."""
        return self.length // self.processes

    @property
    def epoch_batches(self) -> int:
        """Batches of a base epoch."""
        return batches_per_epoch(self.length, self.batch_size, self.processes)

    @property
    def total_batches(self) -> int:
        """Batches of the run."""
        return self.epoch_batches * self.epochs

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the run; the last takes what batches are left."""
        return ceil(self.total_batches / self.accumulate)

    def step_of(self, batch: int) -> int:
        """The step that batch number `batch` belongs to, from 0 to `total_batches` - 1."""
        return batch // self.accumulate

    @property
    def milestones(self) -> tuple[float, ...]:
        """The base epochs after which the learning rate falls, as published.

        It falls after every stage but the last, and once within the tail: until then the tail
        keeps the last stage's rate.
        """
        ends = self._stage_ends
        drops = list(ends[:-1])
        if ends and ends[-1] < self.total_steps:
            tail = self.total_steps - ends[-1]
            drops.append(ends[-1] + int(tail * self.config.tail_lr_drop))
        return tuple(step * self.accumulate / self.epoch_batches for step in drops)

    def shape_at(self, step: int) -> ClipShape:
        """The shape of optimizer step `step`, from 0 to `total_steps` - 1.

        Raises:
            IndexError: the run has no such step.
        """
        if not 0 <= step < self.total_steps:
            raise IndexError(f"step {step} is not one of the run's {self.total_steps}")
        shapes = self._runs[bisect_right(self._run_starts, step) - 1].shapes
        return shapes[step % len(shapes)]

    @cached_property
    def _stage_ends(self) -> tuple[int, ...]:
        return tuple(int(share * self.total_steps + 1e-9) for share in self.config.stages)

    @cached_property
    def _runs(self) -> tuple["_Run", ...]:
        """Stretches of steps with one shape of the long cycle; none is empty."""
        long = self.config.long_cycle
        runs = []
        for start, end in pairwise((0, *self._stage_ends)):
            # Where steps cannot be divided evenly, earlier shapes have one more, as published.
            firsts = [start + ceil((end - start) * n / len(long)) for n in range(len(long) + 1)]
            for (frames, side), (first, following) in zip(long, pairwise(firsts), strict=True):
                if first < following:
                    runs.append(_Run(first, self._shapes(frames, side, short=True)))
        tail = self._stage_ends[-1] if self._stage_ends else 0
        if tail < self.total_steps:
            runs.append(_Run(tail, self._shapes(1.0, 1.0, short=self.config.tail_short_cycle)))
        return tuple(runs)

    @cached_property
    def _run_starts(self) -> tuple[int, ...]:
        return tuple(run.first for run in self._runs)

    def _shapes(self, frames: float, side: float, *, short: bool) -> tuple[ClipShape, ...]:
        """The short cycle of one shape of the long cycle, the largest batch first."""
        # Batches follow from the shares, not from rounded sizes: they are whole multiples of the
        # full shape's, and can be split as it can.
        growth = round(1 / (frames * side**2))
        smaller = [share for share in self.config.short_cycle if share < side - 1e-6]
        sides = (*smaller, side) if short else (side,)
        clip_frames = int(self.frames * frames + 1e-9)
        base_splits = max(1, self.batch_size // self.config.normalization_batch)
        return tuple(
            ClipShape(
                batch_size=self.batch_size * growth * round((side / reduced) ** 2),
                frames=clip_frames,
                size=self._rounded_size(reduced),
                lr_factor=float(growth) if self.config.scale_lr else 1.0,
                splits=base_splits * growth if self.config.scale_splits else base_splits,
                max_stride=self.frames // max(1, clip_frames),
            )
            for reduced in sides
        )

    def _rounded_size(self, share: float) -> int:
        """A share of the full side, rounded to a multiple; the full side stays as it is."""
        if share == 1:
            return self.size
        multiple = self.config.size_multiple
        return min(self.size, multiple * max(1, int(self.size * share / multiple + 0.5)))


class MultigridBatches(Sampler[list[ClipRequest]]):
    """Batches of clips of a schedule, from number `first` to `last` - 1.

    As in `TrainingBatches`, the order depends on the seed and the pass over the data alone, every
    process takes its own part, and what does not fill a batch at a pass's end is left out. A step
    has `schedule.accumulate` batches. Passes go by faster than base epochs: a request's `epoch`
    counts passes.

    Raises:
        ValueError: the schedule has no such batches, or no such process.
    """

    def __init__(
        self, schedule: Schedule, *, seed: int, first: int, last: int, process: int = 0
    ) -> None:
        if not 0 <= first <= last <= schedule.total_batches:
            raise ValueError(
                f"multigrid: batches {first} to {last} are not among {schedule.total_batches}"
            )
        if not 0 <= process < schedule.processes:
            raise ValueError(f"multigrid: no process {process} of {schedule.processes}")
        self.schedule = schedule
        self.seed = seed
        self.first = first
        self.last = last
        self.process = process

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[list[ClipRequest]]:
        shuffled, mine = -1, []
        for batch, (epoch, begin) in enumerate(self._places()):
            # Batches before the first are counted through, at well under a second for a whole run.
            if batch < self.first:
                continue
            if epoch != shuffled:
                shuffled, mine = epoch, self._order(epoch)
            shape = self.schedule.shape_at(self.schedule.step_of(batch))
            yield [
                ClipRequest(epoch, index, shape.frames, shape.size, shape.max_stride)
                for index in mine[begin : begin + shape.batch_size]
            ]

    def _places(self) -> Iterator[tuple[int, int]]:
        """The pass and the first place in it of every batch since the run's beginning."""
        epoch, begin = 0, 0
        for batch in range(self.last):
            size = self.schedule.shape_at(self.schedule.step_of(batch)).batch_size
            if begin + size > self.schedule.share:
                epoch, begin = epoch + 1, 0
            yield epoch, begin
            begin += size

    def _order(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(derived_seed(self.seed, epoch))
        order = torch.randperm(self.schedule.length, generator=generator).tolist()
        return order[self.process :: self.schedule.processes]


class _Run(NamedTuple):
    """Steps from `first` on, with one shape of the long cycle and its short cycle."""

    first: int
    shapes: tuple[ClipShape, ...]


def _rising(values: tuple[float, ...]) -> bool:
    return all(earlier < later for earlier, later in pairwise(values))
