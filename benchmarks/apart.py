"""Published code in a process of its own, as its own users run it.

`python -m benchmarks` makes settings for its process, as our command line does: threads that wait
sleep, freed memory is kept. Published code makes none, so it must not be measured under them.
"""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from unittest.mock import patch

from benchmarks import ENVIRONMENT

if TYPE_CHECKING:
    import torch

Sizes = TypeVar("Sizes")
Result = TypeVar("Result")
Build = Callable[[Path, Sizes, "torch.device"], Callable[[], object]]
"""Makes what is measured, from a published repository's folder, sizes and a device."""

# OpenMP's threads spin for up to about 15 ms when their work is done, which would take time from
# whatever is measured next.
SETTLE = 0.05  # seconds


class Apart:
    """A function in another process, to be called and measured there."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def seconds(self) -> float:
        """What one call takes."""
        taken = self._ask("seconds")
        time.sleep(SETTLE)
        return taken

    def peak_memory(self) -> int:
        """Bytes that one call needs at most, beyond those before it."""
        return self._ask("memory")

    def answer(self) -> Any:
        """What the other process says next.

        Raises:
            RuntimeError: that something failed there.
        """
        try:
            value, failure = self._connection.recv()
        except (EOFError, ConnectionError):
            value, failure = None, "it ended early"
        if failure is not None:
            raise RuntimeError(f"published code in a process of its own: {failure}")
        return value

    def _ask(self, question: Literal["seconds", "memory"]) -> Any:
        with contextlib.suppress(BrokenPipeError):  # it has ended, which the answer tells
            self._connection.send(question)
        return self.answer()


@contextlib.contextmanager
def apart(
    build: Build[Sizes], folder: Path | None, sizes: Sizes, device: "torch.device"
) -> Iterator[Apart | None]:
    """Start a process that builds something to measure and keeps it; it ends with the context.

    It has the environment as the user set it, as many threads of torch as this one, and no other
    settings. None where there is no folder to take code from.

    Args:
        build: a function of a module, called there.

    Raises:
        RuntimeError: something failed there.
    """
    if folder is None:
        yield None
        return
    import torch

    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    made = partial(build, folder, sizes, device)
    process = context.Process(
        target=_serve, args=(its, made, device, torch.get_num_threads()), daemon=True
    )
    with ours:
        with its, patch.dict(os.environ, ENVIRONMENT, clear=True):
            process.start()
        try:
            other = Apart(ours)
            other.answer()  # that it is built
            yield other
        finally:
            process.terminate()
            process.join()


def _serve(
    connection: Connection,
    build: Callable[[], Callable[[], object]],
    device: "torch.device",
    threads: int,
) -> None:
    import torch

    from benchmarks.devices import full_float32
    from benchmarks.published import running
    from benchmarks.quantities import peak_memory, seconds

    torch.set_num_threads(threads)
    measures = {"seconds": seconds, "memory": peak_memory}
    with (
        running(device),
        full_float32(device),
        contextlib.suppress(EOFError, KeyboardInterrupt),  # the parent is gone, or goes
    ):
        function, failure = _attempted(build)
        connection.send((None, failure))
        while function is not None:
            question = connection.recv()
            connection.send(_attempted(partial(measures[question], function, device)))


def _attempted(call: Callable[[], Result]) -> tuple[Result | None, str | None]:
    """What a call returns, or what failed."""
    try:
        return call(), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
