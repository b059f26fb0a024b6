"""The worked examples of docs/extend.md, made in a copy of the package outside the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def section_of(title: str) -> str:
    """The text of a section of docs/extend.md."""
    page = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
    return re.split(r"^## ", page.split(f"## {title}\n")[1], flags=re.MULTILINE)[0]


def blocks(section: str, language: str) -> dict[str, str]:
    """A section's blocks of a language, by the file that their first line names."""
    found = re.findall(rf"^```{language}\n(?:# |--- )(\S+)\n(.*?)^```", section, re.DOTALL | re.M)
    return dict(found)


def edited(text: str, diff: str) -> str:
    """A file's text with a diff's changes, each of which fits at one place."""
    for hunk in diff.split("@@\n")[1:]:
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


def make_example(section: str, folder: Path) -> None:
    """Copy the package into a folder and make a section's new files and edits there."""
    shutil.copytree(ROOT / "actline", folder / "actline", ignore=lambda *_: ["__pycache__"])
    for name, code in blocks(section, "python").items():
        path = folder / name
        assert not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    for name, diff in blocks(section, "diff").items():
        path = folder / name
        path.write_text(edited(path.read_text(encoding="utf-8"), diff), encoding="utf-8")


def run_python(code: str, folder: Path) -> None:
    """Run Python code on the copy of the package in a folder, and in it."""
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
