"""The worked example of docs/extend.md, "A new backbone": two new files, two lines, no more.

Its code blocks make the example in a copy of the package outside the repository, which then
trains, is saved and loaded, detects, and gives snippet features.
"""

import pytest
import yaml
from tiny import write_data, write_recipe
from worked import blocks, make_example, run_python, section_of

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
    return section_of("A new backbone")


def test_it_takes_two_new_files_and_two_lines(section):
    diffs = blocks(section, "diff")
    assert len(blocks(section, "python")) == 2
    assert len(diffs) == 1
    assert "".join(diffs.values()).count("\n+") == 2


def test_the_example_trains_is_saved_loaded_and_detects(section, tmp_path):
    make_example(section, tmp_path)
    changes = yaml.safe_load(blocks(section, "yaml")["recipe.yaml"])
    data = write_data(tmp_path / "data")
    write_recipe(tmp_path / "recipe.yaml", data, epochs=1, **changes)
    run_python(DRIVER, tmp_path)
