"""Signals that ask a run to end: remembered until a step is done, or obeyed at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Done = TypeVar("Done")


class Stop:
    """Whether a signal came that asks the run to end."""

    def __init__(self) -> None:
        self.requested = False
        self._at_once = False

    def remember(self, number: int, frame: object) -> None:
        """Handle a signal."""
        self.requested = True
        if self._at_once:
            self._at_once = False
            raise _StoppedError

    def at_once(self, work: Callable[[], Done]) -> Done | None:
        """Run what a signal may interrupt at once, as none of it is kept; None if it does."""
        try:
            try:
                self._at_once = True
                return None if self.requested else work()
            finally:
                self._at_once = False
        except _StoppedError:
            return None


class _StoppedError(BaseException):
    """A signal came; not an `Exception`, so that no handler on its way stops it."""


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """While the block runs, signals that ask it to end are remembered, not obeyed at once.

    What the starter has asked to be ignored (as `nohup` does) stays ignored. Only the main thread
    of a process may set signal handlers.
    """
    stop = Stop()
    main = threading.current_thread() is threading.main_thread()
    previous = {
        number: signal.signal(number, stop.remember)
        for number in (_STOP if main else ())
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


# Windows has no SIGHUP.
_STOP = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))
