"""The benchmarks run, and their table says all it should; how fast things are is not tested."""

import json
import multiprocessing
import os
import subprocess
import sys
from argparse import Namespace
from importlib import import_module
from pathlib import Path

import pytest
import torch

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
    run("--devices", "cpu", "--out", str(tmp_path / "table.json"))
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
    assert len(rows) >= len(benchmarks("scripts").SCRIPTS)
    assert all(row["ours"] > 0 for row in rows.values())
    for row in rows.values():
        if row["other"] is None:
            assert row["ratio"] is None and row["note"]
        else:
            assert row["ratio"] == pytest.approx(row["other"] / row["ours"])
    assert "nothing compared" in rows["TCANet: a training step"]["note"]
    assert {"Python", "torch", "numpy", "actline", "processor", "threads"} <= set(table["machine"])
    assert {row["device"] for row in table["rows"]} == {table["machine"]["devices"]} == {"cpu"}
    policy = os.environ.get("OMP_WAIT_POLICY", "as set by default")
    assert f"(published networks: {policy})" in table["machine"]["OMP_WAIT_POLICY"]
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


PEAK = """
from benchmarks.quantities import peak_memory

kept = []

def call():
    first = bytearray(b"1") * (40 << 20)
    del first
    kept.append(bytearray(b"1") * (30 << 20))

print(peak_memory(call), len(kept))
"""


def test_peak_memory_counts_what_a_call_holds_at_most_and_leaves_no_trace():
    # In a fresh process: a used one has freed memory, of which a call may take some uncounted.
    said = subprocess.run(
        [sys.executable, "-c", PEAK], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    peak, kept = map(int, said.split())
    assert 38 << 20 < peak < 60 << 20
    assert not kept


def test_a_failure_while_memory_is_measured_is_told(benchmarks):
    def call() -> None:
        raise ValueError("broken")

    with pytest.raises(RuntimeError, match="ValueError: broken"):
        benchmarks("quantities").peak_memory(call)


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


THEIRS = """
import os, time
import torch

def sleeping(folder, sizes, device):
    return lambda: time.sleep(sizes)

def failing(folder, sizes, device):
    raise ValueError(f"{os.environ.get('OMP_WAIT_POLICY')}, {torch.get_num_threads()} threads")

def ending(folder, sizes, device):
    return lambda: os._exit(1)
"""


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A module like a benchmark's script: what it builds is built in another process."""
    (tmp_path / "theirs_apart.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield import_module("theirs_apart")
    del sys.modules["theirs_apart"]


@pytest.mark.slow
def test_what_is_apart_is_measured_there_and_ends_with_its_context(benchmarks, theirs, tmp_path):
    apart, measure = benchmarks("apart").apart, benchmarks("measure")
    with (
        pytest.raises(KeyError, match="of ours"),
        apart(theirs.sleeping, tmp_path, 0.05, torch.device("cpu")) as other,
    ):
        ours, slept = measure.alternate(lambda: None, other, runs=2)
        assert ours < 0.05 <= slept < 5
        assert 0 <= other.peak_memory() < 60 << 20
        assert multiprocessing.active_children()
        raise KeyError("of ours")
    assert not multiprocessing.active_children()
    with apart(theirs.sleeping, None, 0.05, torch.device("cpu")) as other:
        assert other is None


@pytest.mark.slow
def test_what_is_apart_has_the_environment_of_the_user_and_its_failure_is_told(
    benchmarks, theirs, tmp_path, monkeypatch
):
    apart = benchmarks("apart")
    policy = apart.ENVIRONMENT.get("OMP_WAIT_POLICY")
    monkeypatch.setenv("OMP_WAIT_POLICY", "set by us")
    told = f"ValueError: {policy}, {torch.get_num_threads()} threads"
    with (
        pytest.raises(RuntimeError, match=told),
        apart.apart(theirs.failing, tmp_path, 0, torch.device("cpu")),
    ):
        pass
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_the_end_of_what_is_apart_is_noticed(benchmarks, theirs, tmp_path):
    apart = benchmarks("apart").apart
    with apart(theirs.ending, tmp_path, 0, torch.device("cpu")) as other:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="it ended early"):
                other.seconds()


def test_a_gpu_that_is_not_there_is_refused_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--devices", "cuda", "--out", tmp_path / "no.json"],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--devices cuda" in line and "no GPU" in line
    assert not (tmp_path / "no.json").exists()


def test_rows_of_two_devices_are_two_tables(benchmarks, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    table, measure = benchmarks("table"), benchmarks("measure")
    rows = [
        measure.Row("a", "1", 1.0, 2.0, "theirs", 3.0),
        measure.Row("a", "1", 0.1, 0.4, "theirs", None, device="cuda"),
        measure.Row("b", "1", 1.0, None, "theirs", 5.0),
    ]
    on_cpu, on_gpu = table.as_markdown(rows).split("On a GPU, Some GPU:\n\n")
    assert on_cpu.startswith("On a CPU, ")
    assert [line.split(" | ")[0] for line in on_cpu.splitlines() if line.startswith("|")] == [
        "| what",
        "|---|---|---|---|---|---|---|---|---|",
        "| a",
        "| b",
    ]
    assert "| a | 1 | 100 ms | 400 ms (theirs) | 4x |  |" in on_gpu
    assert "TF32 off" in on_gpu
    facts = table.as_json(rows)
    assert [row["device"] for row in facts["rows"]] == ["cpu", "cuda", "cpu"]
    assert facts["machine"]["devices"] == "cpu and cuda"


def test_on_a_gpu_run_the_scripts_that_mean_something_there_without_targets(
    benchmarks, monkeypatch
):
    given = []

    def rows(reference, quick, device):
        given.append((reference, quick, device.type, torch.backends.cudnn.allow_tf32))
        return [benchmarks("measure").Row("a", "1", 1.0, 2.0, "theirs", 3.0)]

    monkeypatch.setattr(benchmarks("bmn"), "rows", rows)
    scripts, before = benchmarks("scripts"), torch.backends.cudnn.allow_tf32
    assert scripts.meant_for(["bmn", "start_up"], "cuda") == ["bmn"]
    assert scripts.meant_for(["bmn", "start_up"], "cpu") == ["bmn", "start_up"]
    arguments = Namespace(reference=None, quick=True, threads=torch.get_num_threads())
    (row,) = scripts.rows_of("bmn", "cuda", arguments)
    assert given == [(None, True, "cuda", False)]
    assert torch.backends.cudnn.allow_tf32 == before
    assert (row.device, row.target, row.other) == ("cuda", None, 2.0)
    (row,) = scripts.rows_of("bmn", "cpu", arguments)
    assert (row.device, row.target) == ("cpu", 3.0)


def test_on_a_gpu_time_goes_from_idle_to_idle_and_memory_is_what_it_allocates(
    benchmarks, monkeypatch
):
    events = []
    for name, value in {
        "synchronize": None,
        "reset_peak_memory_stats": None,
        "memory_allocated": 5,
        "max_memory_allocated": 12,
    }.items():
        # A default argument, as a loop's closures share its variables.
        monkeypatch.setattr(
            torch.cuda, name, lambda _, name=name, value=value: (events.append(name), value)[1]
        )
    measure, gpu = benchmarks("quantities"), torch.device("cuda")
    measure.seconds(lambda: events.append("call"), gpu)
    assert events == ["synchronize", "call", "synchronize"]
    events.clear()
    assert measure.peak_memory(lambda: events.append("call"), gpu) == 7
    assert events == [
        "synchronize",
        "reset_peak_memory_stats",
        "memory_allocated",
        "call",
        "synchronize",
        "max_memory_allocated",
    ]


def test_published_code_reaches_a_gpu_where_it_is_measured_on_one(benchmarks):
    running, cuda = benchmarks("published").running, torch.Tensor.cuda
    with running(torch.device("cuda")):
        assert torch.Tensor.cuda is cuda
    with running():
        assert torch.zeros(1).cuda().device.type == "cpu"
    assert torch.Tensor.cuda is cuda
