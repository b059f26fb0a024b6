"""A run's curves, for TensorBoard: event files that survive a kill or a full disk.

They are written by the training process itself, as TensorBoard's own writer would, but that one
writes in a thread, whose errors appear later, or never. Curves are not results: where they cannot
be written, the run says so once and goes on without them.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

# Protocol buffers, whose classes are created on import.
Event: Any = vars(event_pb2)["Event"]
SessionLog: Any = vars(event_pb2)["SessionLog"]
Summary: Any = vars(summary_pb2)["Summary"]
_FLUSH_SECONDS = 30


class Curves:
    """Numbers by step, in one event file for each time that the run is started.

    The file is made with its first number, so that a run with nothing to do leaves none. It tells
    TensorBoard from which step on the files before it no longer count. TensorBoard skips a last
    record that a kill has cut off.

    Args:
        first_step: from which the run goes on.
        say: gets one line if the curves cannot be written.
    """

    def __init__(self, folder: Path, *, first_step: int, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._first_step = first_step
        self._say = say
        self._file: BinaryIO | None = None
        self._records: RecordWriter | None = None
        self._lost = False
        self._flushed = time.monotonic()

    def add(self, name: str, value: float, step: int) -> None:
        """Add a number."""
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write all that was added to the file, as when the run's state is saved."""
        self._flushed = time.monotonic()
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                self._give_up(error)

    def close(self) -> None:
        """As `flush`; nothing can be added afterwards."""
        self.flush()
        if self._file is not None:
            self._file.close()

    def _write(self, event: Any) -> None:
        if self._lost:
            return
        try:
            if self._records is None:
                self._records = self._begun()
            self._records.write(event.SerializeToString())
        except OSError as error:
            self._give_up(error)

    def _begun(self) -> RecordWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads files in the order of their names.
        told = [path.name.split(".")[3] for path in self._folder.glob("events.out.tfevents.*.*")]
        latest = max((int(seconds) for seconds in told if seconds.isdecimal()), default=0)
        now = max(int(time.time()), latest + 1)
        name = f"events.out.tfevents.{now:010d}.{socket.gethostname()}.{os.getpid()}.0"
        self._file = (self._folder / name).open("xb")
        records = RecordWriter(self._file)
        first = {"wall_time": time.time(), "step": self._first_step}
        start = SessionLog(status=SessionLog.START)
        for event in (
            Event(file_version="brain.Event:2", **first),
            Event(session_log=start, **first),
        ):
            records.write(event.SerializeToString())
        return records

    def _give_up(self, error: OSError) -> None:
        self._say(
            f"{self._folder} cannot be written ({error.strerror or error}); "
            "the run goes on without its curves"
        )
        self._lost = True
        if self._file is not None:
            # Otherwise what it still holds would be written then.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
