"""Files whose reading fails, or takes long, from some byte on: a small library preloaded, in C.

Mapped files are out of its reach, and so are those that a C++ library reads by streams of its own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.faults.commands import WRITING, Writing
from tests.faults.trials import contents
from tests.fuzz.kit import Kit

# A command and the end of the path of a file that it reads.
READ: tuple[tuple[str, str], ...] = (
    ("detect", "videos/tiny0.mp4"),
    ("detect", "detections.meta"),
    ("detect, a chain", "videos/tiny1.mp4"),
    ("extract", "videos/tiny0.mp4"),
    ("extract Fine features", "videos/tiny1.mp4"),
    ("train", "videos/tiny0.mp4"),
    ("train", "data/annotations.json"),
    ("train", "x3d.yaml"),
    ("train BMN", "snippets/tiny0.safetensors"),
    ("evaluate", "data/annotations.json"),
    ("evaluate", "found/tiny2.npz"),
    ("report", "found/tiny0.json"),
    ("report", "videos/tiny0.mp4"),
    ("plot", "found/tiny0.json"),
    ("data convert", "data/annotations.json"),
    ("convert", "in.pyth"),
)
SHARES = (0.0, 0.5, 0.99)  # of a file that can be read


def shim(folder: Path) -> Path | None:
    """The library; None where it cannot be compiled."""
    compiler, library = shutil.which("cc"), folder / "reads.so"
    if compiler is None or sys.platform != "linux":
        return None
    source = Path(__file__).with_suffix(".c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True
    )
    return library


def unreadable(
    writing: Writing, kit: Kit, scratch: Path, library: Path, *, part: str, share: float
) -> str | None:
    """A command of whose files one cannot be read from a place on; what is wrong, if anything."""
    folder = scratch / "reads"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    writing.before(kit, folder)
    files = [path for top in (kit.folder, folder) for path in top.rglob(Path(part).name)]
    size = max((path.stat().st_size for path in files if str(path).endswith(part)), default=1)
    fault = {"FAULT_PATH": part, "FAULT_AFTER": str(int(share * size))}
    status, said = _run(writing, kit, folder, {"LD_PRELOAD": str(library), **fault})
    if "Traceback" in said or status not in (0, 1):
        return f"status {status}: {said[-600:]}"
    told = [line for line in said.splitlines() if Path(part).name in line]
    if status == 1 and not told:
        return f"no line names {part}: {said[-300:]}"
    if status == 0 and part.endswith(".mp4"):
        return f"success was told: {said[-300:]}"
    left = [str(path) for path in folder.rglob(".actline-*.part")]
    return f"left {left}" if left else None


def slow(writing: Writing, kit: Kit, scratch: Path, library: Path, *, part: str) -> str | None:
    """A command of whose files one is slow to read gives what it gives else."""
    found = []
    folder = scratch / "reads"
    for fault in ({}, {"LD_PRELOAD": str(library), "FAULT_PATH": part, "FAULT_SLOW": "20000"}):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        writing.before(kit, folder)
        status, said = _run(writing, kit, folder, fault)
        if status:
            return f"slow: status {status}: {said[-600:]}"
        found.append(contents(writing, folder))
    return None if found[0] == found[1] else "slow: other results"


def reads(kit: Kit, scratch: Path) -> tuple[int, list[str]]:
    """How many reads were tried, and what went wrong."""
    library = shim(scratch)
    if library is None:
        return 0, []
    by_name = {writing.name: writing for writing in WRITING}
    tried, wrong = 0, []
    for name, part in READ:
        told = [
            unreadable(by_name[name], kit, scratch, library, part=part, share=share)
            for share in SHARES
        ]
        told.append(slow(by_name[name], kit, scratch, library, part=part))
        tried += len(told)
        wrong += [f"{name}, reading {part}: {problem}" for problem in told if problem]
    return tried, wrong


def _run(writing: Writing, kit: Kit, folder: Path, fault: dict[str, str]) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "actline.cli.main", *map(str, writing.argv(kit, folder))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **fault},
        check=False,
    )
    return ended.returncode, ended.stdout
