"""Kill a command at random times, over and over: `python -m tests.faults.soak --minutes 20`.

First the command runs undisturbed over many small videos (or epochs), and its memory and open files
are looked at meanwhile: late in its run it should hold what it held early. Then, until the time is
up: an empty folder, the command, a signal at a random time, the command again, until it ends by
itself; what it leaves is compared with what the undisturbed run left. Exit status 1 when it
differs, or when a run that was asked to end, and was not killed, told anything but that.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

from tests.faults.commands import Writing
from tests.faults.trials import contents
from tests.fuzz.kit import ON_CPU, Kit, make_kit

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
LONGEST = 30.0  # seconds until a signal comes


@dataclass
class Watched:
    """Memory (MiB) and open files of a process, as it went on."""

    memory: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def look(self, process: int) -> None:
        """Note what a process holds now, if it is still there."""
        try:
            status = Path(f"/proc/{process}/status").read_text()
            files = len(list(Path(f"/proc/{process}/fd").iterdir()))
        except OSError:
            return
        resident = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        if resident:
            self.memory.append(int(resident[0].split()[1]) / 1024)
            self.files.append(files)

    def told(self) -> str:
        """What was held a quarter, half and three quarters through, in the end, and at most."""
        quarters = [int(part * (len(self.memory) - 1)) for part in (0.25, 0.5, 0.75, 0.98)]
        near = [slice(max(0, place - 2), place + 3) for place in quarters]
        memory = ", ".join(f"{median(self.memory[part]):.0f}" for part in near)
        files = ", ".join(f"{median(self.files[part]):.0f}" for part in near)
        return (
            f"after each quarter, and at most: memory {memory}, {max(self.memory):.0f} MiB; open "
            f"files {files}, {max(self.files)}"
        )


def soaked(kit: Kit, videos: Path, epochs: int) -> tuple[Writing, ...]:
    """The commands, with enough to do for some minutes."""

    def detect(kit: Kit, out: Path) -> list[object]:
        return ["detect", videos, "--checkpoint", kit.fine, "--out", out / "found", *ON_CPU]

    def extract(kit: Kit, out: Path) -> list[object]:
        options = ("--checkpoint", kit.fine, "--snippets", "0.4", "--out", out / "features")
        return ["extract", videos, *options, *ON_CPU]

    def train(kit: Kit, out: Path) -> list[object]:
        values = (f"out={out / 'run'}", f"epochs={epochs}", "save_every_seconds=1")
        return ["train", kit.folder / "x3d.yaml", *values, *ON_CPU]

    return (
        Writing("detect", detect),
        Writing("extract", extract),
        Writing("train", train, varies=("tensorboard",)),
    )


def start(argv: list[object], log: Path) -> subprocess.Popen[bytes]:
    """The command in a process of its own, as a user starts it."""
    with log.open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "actline.cli.main", *map(str, argv)],
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def soak(
    writing: Writing,
    kit: Kit,
    scratch: Path,
    *,
    seconds: float,
    random: Random,
    say: Callable[[str], None],
) -> list[str]:
    """Soak one command; what went wrong."""
    folder, log = scratch / "out", scratch / "log"

    def fresh() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    fresh()
    end = time.monotonic() + seconds
    began, watched = time.monotonic(), Watched()
    process = start(writing.argv(kit, folder), log)
    while process.poll() is None:
        watched.look(process.pid)
        time.sleep(0.2)
    took = time.monotonic() - began
    if process.returncode:
        return [f"undisturbed: status {process.returncode}: {log.read_text()[-500:]}"]
    say(f"{writing.name}: undisturbed in {took:.0f} s; {watched.told()}")
    wanted = contents(writing, folder)
    rounds = 0
    sent = dict.fromkeys(SIGNALS, 0)
    wrong: list[str] = []
    while time.monotonic() < end:
        fresh()
        status, number = -1, SIGNALS[0]
        while status != 0:
            process = start(writing.argv(kit, folder), log)
            try:
                undisturbed = random.uniform(0.0, min(0.5 * took, LONGEST))
                status = process.wait(undisturbed if number else None)
                number = None
            except subprocess.TimeoutExpired:
                number = random.choice(SIGNALS)
                process.send_signal(number)
                sent[number] += 1
                status = process.wait(3600)  # however busy the machine is
            said = log.read_text(errors="replace")
            allowed = (0, -number, 128 + number, 130) if number else (0,)
            # Before it has begun, Python itself ends by a signal, and by Ctrl-C with a traceback.
            if status not in allowed or ("Traceback" in said and "actline: " in said):
                wrong.append(f"{number}: status {status}: {said[-800:]}")
                break
        rounds += 1
        found = contents(writing, folder)
        if status == 0 and found != wanted:
            names = {n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n)}
            wrong.append(f"round {rounds}: different {sorted(names)[:5]}")
    kinds = ", ".join(f"{count} {number.name}" for number, count in sent.items())
    say(f"{writing.name}: {rounds} runs to their end; {kinds}; {len(wrong)} wrong")
    return wrong


def main() -> int:
    """Parse, soak, print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--command", choices=("detect", "extract", "train"), required=True)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--videos", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of times and signals")
    parser.add_argument("--kit", type=Path, help="keep the working place here for further runs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        scratch = Path(temporary)
        kit = make_kit(arguments.kit or scratch / "kit")
        videos = scratch / "videos"
        videos.mkdir()
        for number in range(arguments.videos):
            shutil.copy(kit.videos / f"tiny{number % 4}.mp4", videos / f"video{number:05d}.mp4")
        writing = next(
            one for one in soaked(kit, videos, arguments.epochs) if one.name == arguments.command
        )
        wrong = soak(
            writing,
            kit,
            scratch,
            seconds=60 * arguments.minutes,
            random=Random(arguments.seed),
            say=lambda line: print(line, flush=True),
        )
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
