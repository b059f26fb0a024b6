"""Batches of training items: ordered by the seed, loaded by workers, padded."""

import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from actline.errors import ActlineError

BatchType = TypeVar("BatchType")


class TrainingBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index), epoch after epoch, from number `first` to `last` - 1.

    The order depends on seed and epoch alone, so that a stopped run can go on in the middle of an
    epoch. Every process takes its own share. What does not fill a batch at an epoch's end is left
    out, as split normalization needs whole batches; a data set smaller than one batch gives one
    small batch per epoch, of the same size in all processes.
    """

    def __init__(
        self,
        length: int,
        *,
        batch_size: int,
        seed: int,
        first: int,
        last: int,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.length = length
        self.batch_size = min(batch_size, max(1, length // processes))
        self.seed = seed
        self.first = first
        self.last = last
        self.process = process
        self.processes = processes

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        per_epoch = batches_per_epoch(self.length, self.batch_size, self.processes)
        mine: list[int] = []
        for batch in range(self.first, self.last):
            epoch, position = divmod(batch, per_epoch)
            if position == 0 or not mine:
                generator = torch.Generator().manual_seed(derived_seed(self.seed, epoch))
                order = torch.randperm(self.length, generator=generator).tolist()
                mine = order[self.process :: self.processes]
            begin = position * self.batch_size
            yield [(epoch, index) for index in mine[begin : begin + self.batch_size]]


def batches_per_epoch(length: int, batch_size: int, processes: int) -> int:
    """Batches per epoch of each process, at least one."""
    return max(1, length // processes // batch_size)


class _Guarded(Dataset[Any]):
    """A data set that returns, in place of a batch, the error that one of its items raised.

    An error raised in a worker process arrives garbled; one that is returned arrives whole.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __getitems__(self, keys: list[Any]) -> list[Any] | ActlineError:
        try:
            return [self.dataset[key] for key in keys]
        except ActlineError as error:
            return error


def _collated(collate: Callable[[list[Any]], Any], samples: list[Any] | ActlineError) -> Any:
    return samples if isinstance(samples, ActlineError) else collate(samples)


def load_batches(
    dataset: Dataset[Any],
    sampler: Sampler[Any],
    collate: Callable[[Any], BatchType],
    *,
    workers: int,
    pinned: bool,
) -> Iterator[BatchType]:
    """The sampler's batches, read by `workers` processes.

    Raises:
        ActlineError: an item of the data set raised it.
    """
    loader = DataLoader(
        _Guarded(dataset),
        batch_sampler=sampler,
        collate_fn=partial(_collated, collate),
        num_workers=workers,
        pin_memory=pinned,
        worker_init_fn=_let_the_run_stop,
        # Its own generator: the loader must not draw from the one that dropout draws from.
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, ActlineError):
            raise batch
        yield batch


def _let_the_run_stop(_worker: int) -> None:
    """Ctrl-C reaches all processes of a terminal; workers go on until the run itself stops."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def pad_in_time(tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack tensors (C, T, ...) of different T: (B, C, max T, ...) and the mask (B, max T)."""
    longest = max(tensor.shape[1] for tensor in tensors)
    mask = torch.zeros(len(tensors), longest)
    for row, tensor in enumerate(tensors):
        mask[row, : tensor.shape[1]] = 1
    if all(tensor.shape[1] == longest for tensor in tensors):
        return torch.stack(list(tensors)), mask
    first = tensors[0]
    padded = first.new_zeros(len(tensors), first.shape[0], longest, *first.shape[2:])
    for row, tensor in enumerate(tensors):
        padded[row, :, : tensor.shape[1]] = tensor
    return padded, mask


def derived_seed(*numbers: int) -> int:
    """One seed from several numbers, well mixed, the same on every machine."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
