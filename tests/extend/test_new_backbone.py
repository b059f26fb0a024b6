"""The worked example of docs/extend.md, "A new backbone": two new files, two lines, no more.

Its code blocks make the example in a copy of the package outside the repository, which then
trains, is saved and loaded, detects, and gives snippet features.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny import write_data, write_recipe

ROOT = Path(__file__).parents[2]

DRIVER = """
import sys
from pathlib import Path

import pytest
import torch

import actline
from actline.cli.main import main
from actline.features.snippets import load_snippets
from actline.models.checkpoint import load_checkpoint

here = Path.cwd()
assert Path(actline.__file__).parent == here / "actline", actline.__file__
assert pytest.main(["-q", "-p", "no:cacheprovider", "tests/models/test_r2plus1d.py"]) == 0
assert main(["train", "recipe.yaml", "--device", "cpu"]) == 0

network, card = load_checkpoint("run/best.safetensors")
assert type(network).__name__ == "R2Plus1D"
assert card.network.channels == (8, 8, 16) and card.network.dropout == 0.2

video = "data/videos/tiny5.mp4"
common = ["--checkpoint", "run/best.safetensors", "--device", "cpu", "--out"]
assert main(["detect", video, *common, "found"]) == 0
assert (here / "found" / "tiny5.json").is_file()
assert main(["extract", video, *common, "features", "--snippets", "0.4"]) == 0
features = load_snippets(here / "features" / "tiny5.safetensors")
assert features.features.shape == (16, 10), features.features.shape
"""


@pytest.fixture(scope="module")
def section() -> str:
    page = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
    return re.split(r"^## ", page.split("## A new backbone\n")[1], flags=re.MULTILINE)[0]


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


def test_it_takes_two_new_files_and_two_lines(section):
    diffs = blocks(section, "diff")
    assert len(blocks(section, "python")) == 2
    assert len(diffs) == 1
    assert "".join(diffs.values()).count("\n+") == 2


def test_the_example_trains_is_saved_loaded_and_detects(section, tmp_path):
    shutil.copytree(ROOT / "actline", tmp_path / "actline", ignore=lambda *_: ["__pycache__"])
    for name, code in blocks(section, "python").items():
        path = tmp_path / name
        assert not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    for name, diff in blocks(section, "diff").items():
        path = tmp_path / name
        path.write_text(edited(path.read_text(), diff))
    changes = yaml.safe_load(blocks(section, "yaml")["recipe.yaml"])
    data = write_data(tmp_path / "data")
    write_recipe(tmp_path / "recipe.yaml", data, epochs=1, **changes)
    ran = subprocess.run(
        [sys.executable, "-c", DRIVER],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
