"""The benchmarks run, and their table says all it should; how fast things are is not tested."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", *arguments]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)


@pytest.fixture
def benchmarks(monkeypatch):
    """Import a module of the folder, which is no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: import_module(f"benchmarks.{name}")


@pytest.mark.slow
def test_quick_run_has_a_row_for_every_claim_and_says_that_nothing_was_compared(
    tmp_path, benchmarks
):
    run("--out", str(tmp_path / "table.json"))
    table = json.loads((tmp_path / "table.json").read_text())
    rows = {row["what"]: row for row in table["rows"]}
    assert {
        "TCANet: refining one video's proposals",
        "TCANet: a training step",
        "mAP at ten tIoU",
        "AR@AN and AUC",
        "Soft-NMS, TCANet's form",
        "Soft-NMS, general form",
        "BMN: forward, loss and backward",
        "SSDet's augmentations, all three",
        "SSDet's augmentations within a training step",
        "actline --help",
        "import actline",
    } <= set(rows)
    # As many rows as scripts at the least: every one of them has something to say.
    assert len(rows) >= len(benchmarks("__main__").SCRIPTS)
    assert all(row["ours"] > 0 for row in rows.values())
    for row in rows.values():
        if row["other"] is None:
            assert row["ratio"] is None and row["note"]
        else:
            assert row["ratio"] == pytest.approx(row["other"] / row["ours"])
    assert "nothing compared" in rows["TCANet: a training step"]["note"]
    assert {"Python", "torch", "numpy", "actline", "processor", "threads"} <= set(table["machine"])
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert sum(line.startswith("|") for line in lines) == len(table["rows"]) + 2


@pytest.mark.slow
def test_scaling_draws_a_figure_and_keeps_its_numbers(tmp_path):
    run("--scaling", str(tmp_path / "scaling.png"))
    assert (tmp_path / "scaling.png").stat().st_size > 0
    facts = json.loads((tmp_path / "scaling.json").read_text())
    sizes = {curve["size"] for curve in facts["curves"]}
    lengths = {"seconds of video", "snippets of the video"}
    assert sizes == {"proposals", "videos", "classes"} | lengths
    for curve in facts["curves"]:
        assert len(curve["at"]) == len(curve["seconds"]) == len(curve["bytes"])


def test_an_exponent_is_the_slope_of_the_larger_sizes(benchmarks):
    at = [1, 2, 4, 8, 16]
    values = [9.0, 9.0, 16.0, 64.0, 256.0]
    assert benchmarks("scaling").exponent(at, values) == pytest.approx(2.0)


def test_both_are_called_in_turn_after_a_warm_up_of_each(benchmarks):
    calls: list[str] = []
    seconds, other = benchmarks("measure").alternate(
        lambda: calls.append("ours"), lambda: calls.append("other"), runs=2
    )
    assert calls == ["ours", "other"] * 3
    assert seconds >= 0 and other >= 0
    assert benchmarks("measure").alternate(lambda: None, None, runs=1)[1] is None


def test_peak_memory_counts_what_a_call_holds_at_most_and_leaves_no_trace(benchmarks):
    kept: list[bytearray] = []

    def call() -> None:
        first = bytearray(b"1") * (40 << 20)
        del first
        kept.append(bytearray(b"1") * (30 << 20))

    peak = benchmarks("measure").peak_memory(call)
    assert 38 << 20 < peak < 60 << 20
    assert not kept


def test_a_failure_while_memory_is_measured_is_told(benchmarks):
    def call() -> None:
        raise ValueError("broken")

    with pytest.raises(RuntimeError, match="ValueError: broken"):
        benchmarks("measure").peak_memory(call)


def test_what_published_code_needs_is_patched_and_put_back(benchmarks, tmp_path):
    import numpy as np

    (tmp_path / "utils.py").write_text("from ipdb import set_trace\nvalue = 3\n")
    published = benchmarks("published")
    assert published.load(tmp_path, "utils").value == 3
    assert "utils" not in sys.modules and "ipdb" not in sys.modules
    with published.running():
        assert np.dtype(getattr(np, "float")) == np.float64  # noqa: B009
    assert not hasattr(np, "float")
    assert published.repository(tmp_path, "SSDet") is None
