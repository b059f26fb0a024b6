"""Mutate every kind of input and read it: `python -m tests.fuzz --minutes 60`.

Each mutant is read in a child process with bounds on time and memory, and ends as one of

    error      one clear line and exit status 1, as it should
    accepted   read, and what was read can be true
    silent     read, and what was read cannot be true
    traceback  an exception of ours, or an unclear or unprintable line
    hang       longer than --seconds
    memory     more than --megabytes
    crash      the process died

The last five are failures: their files are kept, with what was said, in --keep. A seed and a
number give the same mutant again. Exit status 1 when there was a failure.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

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

    def read(self, one: Input, path: Path, out: Path) -> tuple[str, str]:
        """How a mutant ended, and what was said."""
        child = self.child or self._start()
        assert child.stdin is not None
        child.stdin.write(
            json.dumps({"input": one.name, "path": str(path), "out": str(out)}) + "\n"
        )
        child.stdin.flush()
        answer = self._line(child, self.seconds)
        if answer is None:
            hung = child.poll() is None
            self.stop()
            if hung:
                return "hang", f"more than {self.seconds:g} s"
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

    def _start(self) -> subprocess.Popen[str]:
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


def fuzz(
    kit: Kit,
    one: Input,
    *,
    seed: int,
    first: int = 0,
    mutants: int | None,
    minutes: float | None,
    seconds: float,
    megabytes: int,
    keep: Path | None,
) -> Counter[str]:
    """Counts of outcomes of one kind, after so many mutants or so many minutes."""
    counts: Counter[str] = Counter()
    seeds = one.seeds(kit)
    reader = Reader(kit, seconds=seconds, megabytes=megabytes)
    end = math.inf if minutes is None else time.monotonic() + 60 * minutes
    last = math.inf if mutants is None else first + mutants
    number = first
    try:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
            folder = Path(scratch) / "trial"
            while number < last and time.monotonic() < end:
                name, raw = mutant(one, seeds, seed, number)
                shutil.rmtree(folder, ignore_errors=True)
                (folder / "in").mkdir(parents=True)
                (folder / "out").mkdir()
                path = one.place(kit, folder / "in", name)
                path.write_bytes(raw)
                outcome, told = reader.read(one, path, folder / "out")
                counts[outcome] += 1
                if outcome in FAILURES and keep is not None:
                    _keep(keep, one, f"{seed}-{number}-{name}", raw, f"{outcome}\n{told}\n")
                number += 1
    finally:
        reader.stop()
    bad = sum(counts[what] for what in FAILURES)
    print(f"{one.name}: {number - first} mutants, {bad} failures", file=sys.stderr, flush=True)
    return counts


def table(counts: dict[str, Counter[str]]) -> str:
    """Rows of Markdown: a kind each, and all of them."""
    rows = [("input", "mutants", *OUTCOMES)]
    total: Counter[str] = Counter()
    for name, found in counts.items():
        total += found
        rows.append((name, str(sum(found.values())), *(str(found[one]) for one in OUTCOMES)))
    rows.append(("all", str(sum(total.values())), *(str(total[one]) for one in OUTCOMES)))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def _keep(keep: Path, one: Input, name: str, raw: bytes, told: str) -> None:
    folder = keep / one.name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(raw)
    (folder / f"{name}.told").write_text(told, encoding="utf-8", errors="backslashreplace")


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
    arguments = parser.parse_args()
    inputs = [
        one
        for one in INPUTS
        if (one.name in arguments.input if arguments.input else one.group in arguments.group)
    ]
    mutants = arguments.mutants
    if mutants is None and arguments.minutes is None:
        mutants = 100
    minutes = arguments.minutes
    if minutes is not None:
        minutes *= min(arguments.jobs, len(inputs)) / len(inputs)
    with tempfile.TemporaryDirectory(prefix="kit-") as temporary:
        kit = make_kit(arguments.kit or Path(temporary) / "kit")

        def count(one: Input) -> Counter[str]:
            return fuzz(
                kit,
                one,
                seed=arguments.seed,
                first=arguments.first,
                mutants=mutants,
                minutes=minutes,
                seconds=arguments.seconds,
                megabytes=arguments.megabytes,
                keep=arguments.keep,
            )

        with ThreadPoolExecutor(arguments.jobs) as pool:
            found = list(pool.map(count, inputs))
    counts = {one.name: outcomes for one, outcomes in zip(inputs, found, strict=True)}
    print(table(counts))
    return int(any(found[one] for found in counts.values() for one in FAILURES))


if __name__ == "__main__":
    sys.exit(main())
