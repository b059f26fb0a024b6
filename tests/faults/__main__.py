"""Kill or stop a command, or fail the disk, wherever it writes: `python -m tests.faults`.

After each fault the same command runs again, and what it leaves is compared, byte for byte (a run's
state value for value), with what an undisturbed run leaves. Where file systems can be mounted, each
command is also tried on read-only ones and on ones that are too small. Prints a table: how many
points each command has, how many faults were tried, and how many went wrong. Exit status 1 when
any did.
"""

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from random import Random

from actline.cli.main import COMMANDS
from tests.faults.commands import WRITING, Writing
from tests.faults.reads import reads
from tests.faults.shim import Fault
from tests.faults.trials import on_read_only_disk, on_small_disk, trial, undisturbed
from tests.fuzz.kit import Kit, make_kit

FAULTS: tuple[Fault, ...] = ("kill", "tear", "term", "hup", "full", "eio")
# Of the room that a command's results need, on a small file system.
SHARES = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95)


def faults(
    writing: Writing, kit: Kit, scratch: Path, *, most: int | None, seed: int = 0
) -> tuple[int, int, list[str]]:
    """A command's points, how many trials were made, and what went wrong in them."""
    wanted, points = undisturbed(writing, kit, scratch)
    trials: list[tuple[Fault, int]] = [
        (fault, at) for fault in FAULTS for at in range(1, points + 1)
    ]
    if most is not None and len(trials) > most:
        trials = Random(seed).sample(trials, most)
    wrong = []
    for fault, at in trials:
        problem = trial(writing, kit, scratch, fault=fault, at=at, wanted=wanted)
        if problem is not None:
            wrong.append(f"{writing.name}, {fault} at point {at} of {points}: {problem}")
    made = len(trials) + 1
    problem = trial(writing, kit, scratch, fault="slow", at=0, wanted=wanted)
    if problem is not None:
        wrong.append(f"{writing.name}, on a slow disk: {problem}")
    return points, made, wrong


def disks(writing: Writing, kit: Kit, scratch: Path) -> tuple[int, list[str]]:
    """How many real disks, too small or read-only, a command was tried on, and what went wrong."""
    wanted, _ = undisturbed(writing, kit, scratch)
    told = {
        "read-only": on_read_only_disk(writing, kit, scratch, wanted=wanted),
        **{
            f"with room for {share:.0%}": on_small_disk(
                writing, kit, scratch, share=share, wanted=wanted
            )
            for share in SHARES
        },
    }
    wrong = [
        f"{writing.name}, a disk {disk}: {problem}" for disk, problem in told.items() if problem
    ]
    return len(told), wrong


def _reads(kit: Path | None) -> int:
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        tried, wrong = reads(make_kit(kit or Path(temporary) / "kit"), Path(temporary))
    print(f"{tried} reads that failed or were slow: {len(wrong)} wrong")
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong))


def main() -> int:
    """Parse, try, print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [writing.name for writing in WRITING]
    parser.add_argument("--command", choices=names, nargs="+", default=names)
    parser.add_argument("--reads", action="store_true", help="files that cannot be read, alone")
    parser.add_argument("--most", type=int, help="trials of each command (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the trials drawn")
    parser.add_argument("--kit", type=Path, help="keep the working place here for further runs")
    arguments = parser.parse_args()
    if arguments.reads:
        return _reads(arguments.kit)
    for command in COMMANDS:  # loaded once, not by each process that is forked
        import_module(f"actline.cli.{command}")
    failed = False
    print("| command | points | trials | wrong | disks | wrong |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        kit = make_kit(arguments.kit or Path(temporary) / "kit")
        for writing in WRITING:
            if writing.name not in arguments.command:
                continue
            points, tried, wrong = faults(
                writing, kit, Path(temporary), most=arguments.most, seed=arguments.seed
            )
            try:
                mounted, wrong_disks = disks(writing, kit, Path(temporary))
            except OSError as error:
                mounted, wrong_disks = 0, []
                print(error, file=sys.stderr, flush=True)
            row = (writing.name, points, tried, len(wrong), mounted, len(wrong_disks))
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            for line in (*wrong, *wrong_disks):
                print(line, file=sys.stderr, flush=True)
            failed |= bool(wrong or wrong_disks)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
