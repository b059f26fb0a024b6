"""Every path computes on the device that it is given."""

import ast
from pathlib import Path

import pytest
import tiny
import torch

import actline
from actline.cli.main import main
from actline.detection.load import load_model
from actline.detection.model import find_device
from actline.errors import DeviceError
from actline.training.setup import accelerator_for, device_of_process
from actline.training.tasks import read_recipe

ABSENT = "cuda:63"


@pytest.fixture
def recipe(tmp_path):
    return read_recipe(tiny.write_recipe(tmp_path / "r.yaml", tmp_path / "data"))


def test_accelerate_takes_the_device_it_is_given_one_run_after_another(recipe, monkeypatch):
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "cuda:5")
    for name in ("cpu", "cuda:1", "cuda:2", "cpu"):
        device = torch.device(name)
        found = accelerator_for(recipe, device=device, unused_parameters=False)
        assert found.device == device
        assert found.num_processes == 1


def test_precision_may_differ_from_run_to_run(tmp_path):
    for precision in ("no", "bf16", "no"):
        path = tiny.write_recipe(tmp_path / "r.yaml", tmp_path / "data", mixed_precision=precision)
        cpu = torch.device("cpu")
        found = accelerator_for(read_recipe(path), device=cpu, unused_parameters=False)
        assert found.mixed_precision == precision


def test_processes_share_out_gpus_and_refuse_one_by_number(monkeypatch):
    for name in ("cpu", "cuda", "cuda:1"):
        assert device_of_process(torch.device(name)) == torch.device(name)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert device_of_process(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(DeviceError, match="use device cuda"):
        device_of_process(torch.device("cuda:1"))


def test_a_device_that_is_not_there_is_one_line_in_every_command(tmp_path, capsys):
    data = tiny.write_data(tmp_path / "data", videos=4)
    path = str(tiny.write_recipe(tmp_path / "r.yaml", data, epochs=1))
    assert main(["train", path, "--device", "cpu"]) == 0
    checkpoint = str(tmp_path / "run" / "best.safetensors")
    video, out = str(data / "videos" / "tiny0.mp4"), str(tmp_path / "out")
    shared = ["--checkpoint", checkpoint, "--out", out, "--device", ABSENT]
    capsys.readouterr()
    for command in (
        ["train", path, f"out={out}", "--device", ABSENT],
        ["detect", video, *shared],
        ["extract", video, *shared],
        ["extract", video, *shared, "--snippets", "0.5"],
    ):
        assert main(command) == 1
        error = capsys.readouterr().err
        assert f'device "{ABSENT}" is not on this machine' in error
        assert error.count("\n") == 1
        assert not Path(out).exists()
    for name in (ABSENT, "gpu", "meta"):
        with pytest.raises(DeviceError):
            load_model(tmp_path / "never-read.onnx", device=name)


def test_one_function_alone_chooses_a_device():
    """No module looks for a GPU, moves to one, or sets a default, but the one that is asked to."""
    choosing: dict[str, set[str]] = {}
    for path in Path(actline.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in (
                "cuda",
                "default_device",
                "set_default_device",
                "set_default_tensor_type",
                "current_device",
                "set_device",
            ):
                choosing.setdefault(path.name, set()).add(node.attr)
    # setup.py counts GPUs, where several processes share them out.
    assert choosing == {"model.py": {"cuda"}, "setup.py": {"cuda"}}
    assert find_device("cpu") == torch.device("cpu")
