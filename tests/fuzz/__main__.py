"""Mutate every kind of input and read it: `python -m tests.fuzz --minutes 60`.

Each mutant is read in a child process with bounds on time and memory, and ends as one of

    error      one clear line and exit status 1, as it should
    accepted   read, and what was read can be true
    silent     read, and what was read cannot be true
    traceback  an exception of ours, or an unclear or unprintable line
    hang       longer than --seconds, and again longer than five times as long
    memory     more than --megabytes
    crash      the process died

The last five are failures: their files are kept, with what was said, in --keep. A seed and a
number give the same mutant again. Exit status 1 when there was a failure.

With --guided, atheris makes the mutants, led by which lines of Actline they reach, and the reader
alone reads them, without the command around it (pip install atheris). What `sound` means and the
outcomes are the same.
"""

import argparse
import json
import math
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from random import Random

from tests.fuzz.guided import Course, guide, store
from tests.fuzz.inputs import GROUPS, INPUTS, Input
from tests.fuzz.kit import Kit, make_kit

FAILURES = ("silent", "traceback", "hang", "memory", "crash")
OUTCOMES = ("error", "accepted", *FAILURES)


class Reader:
    """The child process, started again when a mutant ended it."""

    def __init__(self, kit: Kit, *, seconds: float, megabytes: int) -> None:
        self.kit = kit
        self.seconds = seconds
        self.megabytes = megabytes
        self.child: subprocess.Popen[str] | None = None

    def read(self, one: Input, path: Path, out: Path, patience: float = 1) -> tuple[str, str]:
        """How a mutant ended, and what was said."""
        child = self.start()
        assert child.stdin is not None
        child.stdin.write(
            json.dumps({"input": one.name, "path": str(path), "out": str(out)}) + "\n"
        )
        child.stdin.flush()
        answer = self._line(child, patience * self.seconds)
        if answer is None:
            hung = child.poll() is None
            self.stop()
            if hung:
                return "hang", f"more than {patience * self.seconds:g} s"
            return "crash", f"the process ended with status {child.returncode}"
        found = json.loads(answer)
        if found["outcome"] == "memory":
            self.stop()  # what is left of it is not worth keeping
        return found["outcome"], found["told"]

    def stop(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child = None

    def start(self) -> subprocess.Popen[str]:
        """The process, started where it is not there."""
        if self.child is not None:
            return self.child
        command = [sys.executable, "-m", "tests.fuzz.child", str(self.kit.folder)]
        self.child = subprocess.Popen(
            [*command, str(self.megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._line(self.child, 300) is None:
            raise RuntimeError("the reading process does not start; run `python -m pytest` first")
        return self.child

    @staticmethod
    def _line(child: subprocess.Popen[str], seconds: float) -> str | None:
        assert child.stdout is not None
        ready, _, _ = select.select([child.stdout], [], [], seconds)
        return (child.stdout.readline() or None) if ready else None


def mutant(one: Input, seeds: dict[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """The name and bytes of a kind's mutant of that number."""
    random = Random(f"{seed} {one.name} {number}")
    name = random.choice(sorted(seeds))
    raw = seeds[name]
    for _ in range(random.choice((1, 1, 1, 2))):
        raw = random.choice(one.mutations)(raw, random) or b"\0"
    return name, raw


def found_before(one: Input) -> list[tuple[str, bytes]]:
    """Inputs of a kind that failed once, in `found`, with the names that they are read by."""
    folder = Path(__file__).parent / "found" / one.name.replace(" ", "-")
    return [(path.name.partition("--")[2], path.read_bytes()) for path in sorted(folder.glob("*"))]


def trial(
    reader: Reader, one: Input, name: str, raw: bytes, folder: Path, *, patience: float = 1
) -> tuple[str, str]:
    """Lay out one input in a folder made anew, and read it: how it ended, and what was said.

    Args:
        patience: how many times as long as usual it may take.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "in").mkdir(parents=True)
    (folder / "out").mkdir()
    path = one.place(reader.kit, folder / "in", name)
    path.write_bytes(raw)
    return reader.read(one, path, folder / "out", patience)


def fuzz(reader: Reader, one: Input, course: Course) -> Counter[str]:
    """Counts of outcomes of one kind."""
    counts: Counter[str] = Counter()
    seeds = one.seeds(reader.kit)
    reader.start()  # which takes longer than many a mutant
    end = math.inf if course.minutes is None else time.monotonic() + 60 * course.minutes
    last = math.inf if course.mutants is None else course.first + course.mutants
    number = course.first
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        folder = Path(scratch) / "trial"
        while number < last and time.monotonic() < end:
            name, raw = mutant(one, seeds, course.seed, number)
            outcome, told = trial(reader, one, name, raw, folder)
            if outcome == "hang":  # or the machine is busy
                outcome, told = trial(reader, one, name, raw, folder, patience=5)
            counts[outcome] += 1
            if outcome in FAILURES and course.keep is not None:
                kept = course.keep / one.name.replace(" ", "-")
                store(kept, f"{course.seed}-{number}-{name}", raw, outcome, told)
            number += 1
    bad = sum(counts[what] for what in FAILURES)
    done = number - course.first
    print(f"{one.name}: {done} mutants, {bad} failures", file=sys.stderr, flush=True)
    return counts


def fuzz_all(
    readers: Sequence[Reader], inputs: Sequence[Input], course: Course
) -> list[Counter[str]]:
    """Counts of each kind; as many kinds at a time as there are readers, which are stopped then."""
    free: SimpleQueue[Reader] = SimpleQueue()
    for reader in readers:
        free.put(reader)

    def count(one: Input) -> Counter[str]:
        reader = free.get()
        try:
            return fuzz(reader, one, course)
        finally:
            free.put(reader)

    try:
        with ThreadPoolExecutor(len(readers)) as pool:
            return list(pool.map(count, inputs))
    finally:
        for reader in readers:
            reader.stop()


def table(counts: dict[str, Counter[str]]) -> str:
    """Rows of Markdown: a kind each, and all of them."""
    rows: list[tuple[str, ...]] = [("input", "mutants", *OUTCOMES)]
    total: Counter[str] = Counter()
    for name, found in counts.items():
        total += found
        rows.append((name, str(sum(found.values())), *(str(found[one]) for one in OUTCOMES)))
    rows.append(("all", str(sum(total.values())), *(str(total[one]) for one in OUTCOMES)))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def main() -> int:
    """Parse, run, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--group", choices=GROUPS, nargs="+", default=list(GROUPS))
    parser.add_argument("--input", choices=[one.name for one in INPUTS], nargs="+")
    parser.add_argument("--minutes", type=float, help="how long in all")
    parser.add_argument("--mutants", type=int, help="how many of each kind (default: 100)")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0, help="for one mutant (default: 20)")
    parser.add_argument("--megabytes", type=int, default=700, help="for one mutant (default: 700)")
    parser.add_argument("--jobs", type=int, default=2, help="processes that read (default: 2)")
    parser.add_argument("--keep", type=Path, help="folder for the files that failed")
    parser.add_argument("--kit", type=Path, help="keep the working place here for further runs")
    parser.add_argument("--guided", action="store_true", help="coverage-guided, by atheris")
    arguments = parser.parse_args()
    if arguments.guided and find_spec("atheris") is None:
        told = "python -m tests.fuzz: atheris is not installed; run `pip install atheris`"
        print(told, file=sys.stderr)
        return 2
    inputs = [
        one
        for one in INPUTS
        if (one.name in arguments.input if arguments.input else one.group in arguments.group)
    ]
    if arguments.guided:
        inputs = [one for one in inputs if one.read is not None]
    mutants = arguments.mutants
    if mutants is None and arguments.minutes is None:
        mutants = 100
    minutes = arguments.minutes
    if minutes is not None:
        minutes *= min(arguments.jobs, len(inputs)) / len(inputs)
    with tempfile.TemporaryDirectory(prefix="kit-") as temporary:
        kit = make_kit(arguments.kit or Path(temporary) / "kit")

        inputs = [one for one in inputs if one.seeds(kit)]  # of packages that are installed
        bounds = {"seconds": arguments.seconds, "megabytes": arguments.megabytes}
        course = Course(arguments.seed, arguments.first, mutants, minutes, arguments.keep)
        if arguments.guided:
            with ThreadPoolExecutor(arguments.jobs) as pool:
                found = list(pool.map(lambda one: guide(kit, one, course, **bounds), inputs))
        else:
            readers = [Reader(kit, **bounds) for _ in range(arguments.jobs)]
            found = fuzz_all(readers, inputs, course)
    counts = {one.name: outcomes for one, outcomes in zip(inputs, found, strict=True)}
    print(table(counts))
    return int(any(found[one] for found in counts.values() for one in FAILURES))


if __name__ == "__main__":
    sys.exit(main())
