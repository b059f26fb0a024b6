"""A process that lets atheris mutate one kind of input, led by which lines of Actline it reaches.

It reads by the reader alone and not by a command, thousands of times a second where a command
takes a second. What it finds it keeps and goes on; a hang or a crash ends it, and `guide` starts it
again.
"""

import contextlib
import hashlib
import os
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fuzz.inputs import Input
    from tests.fuzz.kit import Kit

# What the process counts, in the order of its numbers in a file.
COUNTED: tuple[str, ...] = ("error", "accepted", "silent", "traceback", "memory")
# How a process of libFuzzer ends, by the beginning of the name of the file that it leaves.
ENDS = {"timeout": "hang", "crash": "crash", "oom": "memory", "leak": "memory"}
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Course:
    """How far to go with each kind.

    Attributes:
        first: number of the first mutant.
        mutants, minutes: after which to end; None for any.
        keep: folder for the inputs that failed.
    """

    seed: int
    first: int = 0
    mutants: int | None = None
    minutes: float | None = None
    keep: Path | None = None


def guide(
    kit: "Kit", one: "Input", course: Course, *, seconds: float, megabytes: int
) -> Counter[str]:
    """Counts of outcomes of one kind, its files in turn, in so many minutes, or one."""
    counts: Counter[str] = Counter()
    seeds, seed = one.seeds(kit), course.seed
    with tempfile.TemporaryDirectory(prefix="guided-") as temporary:
        kept = (course.keep or Path(temporary) / "kept") / one.name.replace(" ", "-")
        for name, raw in sorted(seeds.items()):
            folder = Path(temporary) / name
            corpus = folder / "corpus"
            corpus.mkdir(parents=True)
            (corpus / "seed").write_bytes(raw)
            end = time.monotonic() + 60 * (course.minutes or 1) / len(seeds)
            while (left := int(end - time.monotonic())) > 0:
                options = (
                    *(f"-seed={1 + seed}", f"-max_total_time={left}", f"-timeout={int(seconds)}"),
                    *("-rss_limit_mb=0", f"-max_len={min(_LARGEST, 4 * len(raw) + 4096)}"),
                )
                process = (str(kit.folder), one.name, name)
                counts += _run(
                    process, options, folder, kept / one.name.replace(" ", "-"), megabytes
                )
                seed += 1
    bad = sum(counts[what] for what in counts if what not in ("error", "accepted"))
    print(f"{one.name}: {counts.total()} executions, {bad} failures", file=sys.stderr, flush=True)
    return counts


def _run(
    process: tuple[str, str, str],
    options: tuple[str, ...],
    folder: Path,
    kept: Path,
    megabytes: int,
) -> Counter[str]:
    """One process, until its time is over or an input ends it."""
    counted, ends = folder / "counted", folder / "ends"
    counted.write_bytes(bytes(8 * len(COUNTED)))
    ends.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.guided", *process),
            *(str(counted), str(kept), str(megabytes)),
            *(*options, f"-artifact_prefix={ends}/", str(folder / "corpus")),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="backslashreplace",
        check=False,
    )
    numbers_of = struct.unpack(f"<{len(COUNTED)}Q", counted.read_bytes())
    counts = Counter(dict(zip(COUNTED, numbers_of, strict=True)))
    if done.returncode and not counts.total():
        raise RuntimeError(f"the guided process does not start: {done.stderr[-2000:]}")
    for left_over in ends.iterdir():
        outcome = ENDS.get(left_over.name.partition("-")[0], "crash")
        counts[outcome] += 1
        store(kept, f"{left_over.name}-{process[-1]}", left_over.read_bytes(), outcome, done.stderr)
        left_over.unlink()
    return counts


def store(folder: Path, name: str, raw: bytes, outcome: str, told: str) -> None:
    """Keep an input and what was said of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(raw)
    text = f"{outcome}\n{told[-3000:]}\n"
    (folder / f"{name}.told").write_text(text, encoding="utf-8", errors="backslashreplace")


def main() -> None:
    """Read what atheris makes of a kind's seed, until it ends the process."""
    kit_folder, kind, name, counted, kept, megabytes, *options = sys.argv[1:]
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["actline"]):
        from tests.fuzz.inputs import INPUTS
        from tests.fuzz.kit import Kit
    import torch

    from tests.fuzz.child import bound_memory

    torch.set_num_threads(1)
    one = next(one for one in INPUTS if one.name == kind)
    trial = Trial(one, Kit(Path(kit_folder)), name, Path(counted), Path(kept))
    bound_memory(int(megabytes))

    def changed(raw: bytes, most: int, seed: int) -> bytes:
        """Half by the structure of the form, half as libFuzzer does."""
        random = Random(seed)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(raw, most))
        return (random.choice(one.mutations)(raw, random) or b"\0")[:most]

    atheris.Setup([sys.argv[0], *options], trial, custom_mutator=changed)
    atheris.Fuzz()


class Trial:
    """Reads an input, counts how that ends, and keeps each failure once."""

    def __init__(self, one: "Input", kit: "Kit", name: str, counted: Path, kept: Path) -> None:
        self.one, self.kit, self.name, self.kept = one, kit, name, kept
        self.folder = tempfile.TemporaryDirectory(prefix="trial-")
        (Path(self.folder.name) / "in").mkdir()
        self.out = Path(self.folder.name) / "out"
        self.out.mkdir()
        self.path = one.place(kit, Path(self.folder.name) / "in", name)
        self.counts: Counter[str] = Counter()
        self.counted = os.open(counted, os.O_WRONLY)
        self.known: set[str] = set()

    def __call__(self, raw: bytes) -> None:
        self.path.write_bytes(raw)
        outcome, told = self._outcome()
        self.counts[outcome] += 1
        numbers = [self.counts[what] for what in COUNTED]
        os.pwrite(self.counted, struct.pack(f"<{len(COUNTED)}Q", *numbers), 0)
        if outcome not in ("error", "accepted"):
            place = hashlib.sha256("".join(told.split("\n")[-8:]).encode(errors="replace"))
            if place.hexdigest() not in self.known:
                self.known.add(place.hexdigest())
                found = f"{place.hexdigest()[:12]}-{self.name}"
                store(self.kept, found, raw, outcome, told)

    def _outcome(self) -> tuple[str, str]:
        from actline.errors import ActlineError
        from tests.fuzz.child import LONGEST_LINE
        from tests.fuzz.inputs import accepted_is_sound

        assert self.one.read is not None
        try:
            with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
                self.one.read(self.kit, self.path)
        except ActlineError as error:
            clear = "\n" not in str(error) and len(str(error)) <= LONGEST_LINE
            return ("error", "") if clear else ("traceback", f"unclear: {str(error)[:500]}")
        except MemoryError:
            return "memory", traceback.format_exc()
        except Exception:
            return "traceback", traceback.format_exc()
        # Of a video, most of what its check reads is FFmpeg's.
        unsound = None
        if self.one.group != "videos":
            unsound = accepted_is_sound(self.one, self.kit, self.path, self.out)
        return ("accepted", "") if unsound is None else ("silent", unsound)


if __name__ == "__main__":
    main()
