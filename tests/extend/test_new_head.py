"""`docs/extend.md`, "A new detector head": its files and edits make a head that trains and detects.

They are put into a copy of the package, outside the repository.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs.blocks import ROOT, Block, blocks
from tiny_segments import INTERVAL, SEGMENTS, SUPPRESSION, WIDTH, write_annotations, write_features

TITLE = "## A new detector head"


def of_section() -> list[Block]:
    page = ROOT / "docs" / "extend.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(f"{TITLE}\n")
    first = before.count("\n")
    last = first + 1 + rest.partition("\n## ")[0].count("\n")
    return [one for one in blocks(page) if first < one.line <= last + 1]


def path_of(block: Block) -> str:
    return block.code.splitlines()[0].removeprefix("# ").removeprefix("--- ")


def edited(text: str, diff: str) -> str:
    """A file's text with a diff's changes, each of which fits at one place."""
    for hunk in diff.split("@@\n")[1:]:
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, f"the page shows {before!r}, which the file does not have"
        text = text.replace(before, after)
    return text


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """A copy of the package with the section's files and edits."""
    folder = tmp_path_factory.mktemp("head")
    shutil.copytree(ROOT / "actline", folder / "actline", ignore=shutil.ignore_patterns("*.pyc"))
    for block in of_section():
        path = folder / path_of(block)
        if block.language == "python":
            assert not path.exists(), f"{path_of(block)} is to be a new file"
            path.write_text(block.code)
        elif block.language == "diff":
            path.write_text(edited(path.read_text(), block.code))
    return folder


def test_a_new_head_takes_three_files_and_a_line_in_two():
    languages = [block.language for block in of_section()]
    assert languages.count("python") == 3
    edits = [block for block in of_section() if block.language == "diff"]
    assert len(edits) == 2
    for block in edits:
        added = re.findall(r"^\+(?!from )(.+)$", block.code, re.MULTILINE)
        assert len(added) == 1, "one line, besides its import"


@pytest.mark.slow
def test_the_new_head_is_trained_chained_and_detects_with_labels(package, tmp_path):
    annotations = write_annotations(tmp_path / "annotations.json")
    write_features(tmp_path / "features")
    recipe = {
        "task": "points",
        "name": "points",
        "out": "run",
        "network": {"channels": WIDTH, "width": 8, "length": 20},
        "data": {"annotations": annotations.name, "features": "features"},
        "suppression": SUPPRESSION,
        "optimizer": {"lr": 0.01, "kind": "adam"},
        "epochs": 2,
        "batch_size": 2,
        "evaluate_every": 0,
    }
    (tmp_path / "points.yaml").write_text(json.dumps(recipe))
    (commands,) = [block for block in of_section() if block.language == "sh"]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    for _, *words in commands.commands():
        code = "import sys; from actline.cli.main import main; sys.exit(main(sys.argv[1:]))"
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    found = sorted((tmp_path / "found").glob("*.json"))
    assert found and {path.stem for path in found} < set(SEGMENTS)
    for path in found:
        (segments,) = json.loads(path.read_text())["results"].values()
        assert {one["label"] for one in segments} == {"move"}
        assert all(one["segment"][0] < one["segment"][1] for one in segments)
    assert INTERVAL == 0.5, "the interval that the page's command gives"
