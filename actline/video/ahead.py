"""Prefetching: the next items are made in a thread while the last one is used."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item], *, most: int) -> Generator[Item, None, None]:
    """Yield `items` unchanged, prefetching up to `most` of them in another thread.

    Decoding and networks release Python's global lock, so they run at the same time. What `items`
    raises is raised here, at the same position. Closing or dropping this iterator ends the thread
    after the current item.
    """
    made: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(max(1, most))
    ended = threading.Event()

    def hand_over(item: Item | None, error: BaseException | None) -> bool:
        while not ended.is_set():
            try:
                made.put((item, error), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for item in items:
                if not hand_over(item, None):
                    return
        except BaseException as error:
            hand_over(None, error)
            return
        hand_over(None, StopIteration())

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        ended.set()
        thread.join()
