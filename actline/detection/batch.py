"""Going through many videos: bad ones are reported, done ones skipped, processes share them."""

import contextlib
import errno
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

from actline.detection.provenance import RECORDS
from actline.errors import OutputError, VideoError
from actline.files import Claims, sweep_once
from actline.names import output_path
from actline.plain import plain
from actline.progress import progress
from actline.video.find import Video

T = TypeVar("T")
Work = Callable[[Video, Callable[[int], None]], T]
"""The work on a video; it calls its second argument with the number of newly seen frames."""

# A full disk, or one that cannot be written: every other video would fail too.
_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of one video.

    Attributes:
        status: "done" now; "skipped", as it was done before; or "failed".
        result: of one that is done.
        error: of one that failed.
        seconds: that the work took.
    """

    video: Video
    status: Literal["done", "skipped", "failed"]
    result: T | None = None
    error: Exception | None = None
    seconds: float = 0.0


def for_each_video(
    what: str,
    videos: Sequence[Video],
    work: Work[T],
    *,
    out: Path | None = None,
    done: Callable[[Video], bool] = lambda video: False,
    workers: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Outcome[T]]:
    """Do `work` on every video that is not `done`; a bad one fails and the rest go on.

    Whatever `work` or `done` raise for one video is that video's failure. Only what would hit every
    other video ends the run: an interrupt, and a disk that is full or read-only.

    Processes that write into one folder share the videos: one that another is working on is left to
    it, and checked again at the end. What killed processes left unfinished is removed.

    Args:
        what: the work, as in "detecting", for its progress.
        out: the folder that results are written to; None if none are.
        workers: threads, each working on its own video. Results come as they are done.
        say: gets a line on what is done already, or by others.

    Yields:
        Each video's outcome: first those of the videos that fail or are skipped from the start.
    """
    waiting: list[Video] = []
    skipped = 0
    for video in videos:
        checked = _attempt(video, lambda video: _ready(video, done))
        if checked.status == "done" and checked.result:
            waiting.append(video)
        elif checked.status == "done":
            skipped += 1
            yield Outcome(video, "skipped")
        else:
            yield Outcome(video, "failed", error=checked.error)
    if skipped:
        say(f"{skipped} of {len(videos)} videos are done already")
    if out is not None:
        _sweep(out, videos)
    if not waiting:  # then nothing is written either
        return
    elsewhere = 0
    with contextlib.ExitStack() as stack:
        advance = stack.enter_context(progress(what, total=len(waiting), unit="videos"))
        claims = None if out is None else stack.enter_context(Claims(out))
        run = stack.enter_context(_Run(work, done, claims, workers, say))
        for outcome in run.through(waiting):
            advance(1, plain(outcome.video.path.name))
            elsewhere += outcome.status == "skipped"
            yield outcome
    if elsewhere:
        say(f"{elsewhere} of {len(videos)} videos were done by another process meanwhile")


def _ready(video: Video, done: Callable[[Video], bool]) -> bool:
    """Whether a video is to be done.

    Raises:
        VideoError: it cannot be.
    """
    if video.problem:
        raise VideoError(video.problem)
    return not done(video)


def _attempt(video: Video, work: Callable[[Video], T]) -> Outcome[T]:
    """Do something with a video; its failure is an outcome, unless all others would fail too."""
    began = time.perf_counter()
    try:
        result = work(video)
    except Exception as error:
        if isinstance(error, OutputError) and _errno(error) in _HOPELESS:
            raise
        return Outcome(video, "failed", error=error)
    return Outcome(video, "done", result, seconds=time.perf_counter() - began)


class _Stopped(BaseException):
    """The run ends before the video does."""


@dataclass
class _Run(Generic[T]):
    """The work on the videos that are to be done, in this thread or in several."""

    work: Work[T]
    done: Callable[[Video], bool]
    claims: Claims | None
    workers: int
    say: Callable[[str], None]
    running: dict[Future[Outcome[T]], Video] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "_Run[T]":
        self.pool = ThreadPoolExecutor(self.workers) if self.workers > 1 else None
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def through(self, videos: Sequence[Video]) -> Iterator[Outcome[T]]:
        """Work on all videos, those claimed by other processes last."""
        busy: list[Video] = []
        for video in videos:
            if self._claim(video):
                yield from self._begin(video)
            else:
                busy.append(video)
        yield from self._ended(all_of=True)
        for video in busy:
            if not self._claim(video):
                # While waiting, a process holds nothing that others may be waiting for.
                yield from self._ended(all_of=True)
                self.say(f"{video.id}: waits for another process that is working on it")
                self._claim(video, wait=True)
            yield from self._begin(video)
        yield from self._ended(all_of=True)

    def _claim(self, video: Video, *, wait: bool = False) -> bool:
        return self.claims is None or self.claims.take(video.id, wait=wait)

    def _release(self, video: Video) -> None:
        if self.claims is not None:
            self.claims.release(video.id)

    def _begin(self, video: Video) -> Iterator[Outcome[T]]:
        """Do a claimed video, or give it to a thread and yield the finished ones."""
        if self.pool is None:
            try:
                outcome = self._do(video)
            finally:
                self._release(video)
            yield outcome
            return
        self.running[self.pool.submit(self._do, video)] = video
        if len(self.running) >= self.workers:
            yield from self._ended()

    def _ended(self, *, all_of: bool = False) -> Iterator[Outcome[T]]:
        """Outcomes of the threads' videos: of one or more, or of all."""
        while self.running:
            ended, _ = wait(self.running, return_when=FIRST_COMPLETED)
            for future in ended:
                self._release(self.running.pop(future))
                yield future.result()
            if not all_of:
                return

    def _do(self, video: Video) -> Outcome[T]:
        """Work on a video, unless another process has done so meanwhile."""
        checked = _attempt(video, self.done)
        if checked.status == "failed":
            return Outcome(video, "failed", error=checked.error)
        if checked.result:
            return Outcome(video, "skipped")
        return _attempt(video, self._work)

    def _work(self, video: Video) -> T:
        name = plain(Path(video.id).with_name(video.path.name))
        with progress(name, unit="frames", show=self.pool is None) as advance:

            def on_frames(count: int) -> None:
                if self.stopped.is_set():
                    raise _Stopped
                advance(count)

            return self.work(video, on_frames)


def _sweep(out: Path, videos: Sequence[Video]) -> None:
    """Remove unfinished files of killed processes, as there may be nothing to write now."""
    folders = {out, out / RECORDS}
    for video in videos:
        with contextlib.suppress(OutputError):
            folders.add(output_path(out, video.id, "").parent)
    for folder in folders:
        sweep_once(folder)


def _errno(error: BaseException) -> int | None:
    cause = error.__cause__
    return cause.errno if isinstance(cause, OSError) else None
