"""The scripts and the notebook of examples/ run as a reader runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.kit import Kit, make_kit

from docs.blocks import ROOT
from docs.worlds import write_world

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A folder with videos, a checkpoint, results and annotations."""
    kit: Kit = make_kit(tmp_path_factory.mktemp("examples") / "kit")
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, "evaluate.md", kit)
    return folder


def run(script: str, *words: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_detect_and_plot(world):
    run("detect_and_plot.py", "video.mp4", "model.safetensors", "timeline.png", folder=world)
    assert (world / "timeline.png").read_bytes().startswith(b"\x89PNG")
    assert (world / "timeline.vtt").read_text().startswith("WEBVTT")


@pytest.mark.slow
def test_train_on_own_videos(world):
    said = run("train_on_own_videos.py", "my-data", "new-video.mp4", "1", folder=world)
    assert "7 videos, 2 classes" in said
    assert (world / "runs" / "own" / "best.safetensors").is_file()


@pytest.mark.slow
def test_evaluate_results(world):
    files = ("found", "activity_net.v1-3.min.json", "activitynet")
    said = run("evaluate_results.py", *files, folder=world)
    assert "average" in said


@pytest.mark.slow
def test_the_notebook_runs_from_nothing(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="it is in the extra docs")
    nbformat = pytest.importorskip("nbformat", reason="it is in the extra docs")
    path = EXAMPLES / "from_nothing_to_a_timeline.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is stored without results"
    # Shorter than a reader's, and nothing else.
    for cell in notebook.cells:
        cell.source = cell.source.replace("VIDEOS = 120", "VIDEOS = 8")
        cell.source = cell.source.replace("EPOCHS = 20", "EPOCHS = 1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    nbclient.NotebookClient(
        notebook, timeout=None, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown), "it shows a timeline"
    assert (tmp_path / "first-timeline" / "timeline.vtt").is_file()
