"""Kill a command, or fill the disk, at every point where it writes: `python -m tests.faults`.

After each fault the same command runs again, and what it leaves is compared, byte for byte, with
what an undisturbed run leaves. Prints a table: how many points each command has, how many were
tried, and what went wrong. Exit status 1 when anything did.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from random import Random

from tests.faults.commands import WRITING, Writing
from tests.faults.shim import Fault
from tests.faults.trials import trial, undisturbed
from tests.fuzz.kit import Kit, make_kit

FAULTS: tuple[Fault, ...] = ("kill", "tear", "full")


def faults(
    writing: Writing, kit: Kit, scratch: Path, *, most: int | None, seed: int = 0
) -> tuple[int, int, list[str]]:
    """A command's points, how many trials were made, and what went wrong in them."""
    wanted, points = undisturbed(writing, kit, scratch)
    trials = [(fault, at) for fault in FAULTS for at in range(1, points + 1)]
    if most is not None and len(trials) > most:
        trials = Random(seed).sample(trials, most)
    wrong = []
    for fault, at in trials:
        problem = trial(writing, kit, scratch, fault=fault, at=at, wanted=wanted)
        if problem is not None:
            wrong.append(f"{writing.name}, {fault} at point {at} of {points}: {problem}")
    return points, len(trials), wrong


def main() -> int:
    """Parse, try, print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [writing.name for writing in WRITING]
    parser.add_argument("--command", choices=names, nargs="+", default=names)
    parser.add_argument("--most", type=int, help="trials of each command (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the trials drawn")
    parser.add_argument("--kit", type=Path, help="keep the working place here for further runs")
    arguments = parser.parse_args()
    failed = False
    print("| command | points | trials | wrong |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        kit = make_kit(arguments.kit or Path(temporary) / "kit")
        for writing in WRITING:
            if writing.name not in arguments.command:
                continue
            points, tried, wrong = faults(
                writing, kit, Path(temporary), most=arguments.most, seed=arguments.seed
            )
            print(f"| {writing.name} | {points} | {tried} | {len(wrong)} |", flush=True)
            for line in wrong:
                print(line, file=sys.stderr, flush=True)
            failed |= bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
