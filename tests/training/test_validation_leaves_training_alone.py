"""Whoever looks at a network that is being trained leaves it, and its training, as they were."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from tiny import write_data, write_recipe
from tiny_segments import write_annotations, write_bmn, write_features, write_tcanet
from torch import Tensor, nn

from actline.annotations.read import read_annotations
from actline.annotations.usable import videos_with_classes
from actline.detection.exported import export
from actline.detection.frames import frame_detector
from actline.detection.model import for_inference
from actline.models.cards import ModelCard
from actline.models.coarse_fine import CoarseFineConfig
from actline.models.networks import NetworkConfig
from actline.models.normalization import SplitBatchNorm3d
from actline.models.slowfast import SlowFastConfig
from actline.models.x3d import X3DConfig
from actline.training.frames import validate_frames
from actline.training.pretraining import PretrainingRecipe, clips_of, validate_clips
from actline.training.tasks import read_recipe
from actline.training.train import train

X3D = X3DConfig(widths=(8, 8, 8, 16), depths=(1, 1, 1, 1), head_width=16, splits=2)
NETWORKS: dict[str, NetworkConfig] = {
    "x3d": X3D,
    "coarse-fine": CoarseFineConfig(X3D, X3D, cells=1),
    "slowfast": SlowFastConfig(width=8, depths=(1, 1, 1, 1), splits=2),
}
MEAN, STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("tiny") / "data")


def a_step(network: nn.Module, clip: Tensor) -> None:
    """One change of the weights by plain gradient descent."""
    torch.manual_seed(0)  # of dropout
    network.train()
    output = network(clip)
    logits = output if isinstance(output, Tensor) else output.logits
    network.zero_grad()
    logits.square().mean().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.1)


def everything(network: nn.Module) -> dict[str, Any]:
    """All that a network is: tensors with their places and layouts, modes, splits, hooks."""
    known: dict[str, Any] = {}
    tensors = [*network.named_parameters(), *network.named_buffers()]
    for name, tensor in tensors:
        gradient = None if tensor.grad is None else tensor.grad.clone()
        known[name] = (
            tensor.detach().clone(),
            tensor.data_ptr(),
            (tensor.dtype, tensor.device, tensor.stride(), tensor.requires_grad),
            gradient,
        )
    for name, module in network.named_modules():
        splits = module.splits if isinstance(module, SplitBatchNorm3d) else None
        hooks = [len(getattr(module, kind)) for kind in HOOKS]
        known[f"{name} itself"] = (id(module), type(module), module.training, splits, hooks)
    return known


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before.keys() == after.keys()
    for name, was in before.items():
        for first, second in zip(was, after[name], strict=True):
            same = torch.equal(first, second) if isinstance(first, Tensor) else first == second
            assert same, name


def in_training(config: NetworkConfig) -> tuple[nn.Module, ModelCard, Tensor]:
    network = config.build(2)
    network.register_forward_hook(lambda *_: None)
    clip = torch.randn(4, 3, 8, 32, 32)
    a_step(network, clip)
    next(network.children()).eval()  # a part that is frozen
    next(network.parameters()).requires_grad_(False)
    card = ModelCard(config, ("brighten", "move"), 32, MEAN, STD, rate=5.0, window=16, overlap=4)
    return network, card, clip


@pytest.mark.parametrize("which", NETWORKS)
def test_preparing_and_validating_leave_a_network_in_training_alone(which, data):
    network, card, clip = in_training(NETWORKS[which])
    untouched = copy.deepcopy(network)
    before = everything(network)

    model = frame_detector(network, card, device="cpu")
    assert not model.network.training
    model.window_logits(clip[0])
    for_inference(network, torch.device("cpu"))
    validate_frames(
        network,
        card,
        read_annotations(data).subset("testing"),
        data / "videos",
        device=torch.device("cpu"),
    )
    assert_same(before, everything(network))

    # And it goes on as it would have done.
    a_step(network, clip)
    a_step(untouched, clip)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, untouched.state_dict()[name]), name


def test_a_prepared_model_does_not_follow_the_training(data):
    network, card, clip = in_training(X3D)
    model = frame_detector(network, card, device="cpu")
    logits, _ = model.window_logits(clip[0])
    a_step(network, clip)
    assert torch.equal(model.window_logits(clip[0])[0], logits)


def test_classifying_clips_leaves_a_network_in_training_alone(data, tmp_path):
    network, card, _ = in_training(X3D)
    recipe = read_recipe(pretraining(tmp_path / "r.yaml", data, epochs=1))
    assert isinstance(recipe, PretrainingRecipe)
    before = everything(network)
    held_out = clips_of(recipe, videos_with_classes(read_annotations(data).subset("testing")))
    validate_clips(network, card, held_out, device=torch.device("cpu"))
    assert_same(before, everything(network))


def test_exporting_leaves_a_network_in_training_alone(tmp_path):
    pytest.importorskip("onnxscript")
    network, card, _ = in_training(X3D)
    before = everything(network)
    export(network, card, tmp_path / "n.onnx")
    assert_same(before, everything(network))


def pretraining(path: Path, data: Path, /, **changes: Any) -> Path:
    """Multigrid, whose splits change while it trains."""
    given = {
        "batch_size": 1,
        "task": "pretraining",
        "method": "detection",
        "clip": {"rate": 5, "frames": 8, "size": 48, "short_sides": [48], "flip": 0.5},
        "epochs": 6,  # so that one ends while batches are in four parts
        "multigrid": {
            "long_cycle": [[0.5, 0.7071067811865476], [1.0, 1.0]],
            "short_cycle": [],
            "stages": [0.5],
            "normalization_batch": 1,
        },
        **changes,
    }
    return write_recipe(path, data, **given)


STREAM = {"widths": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "head_width": 16, "dropout": 0.5}
RUNS: dict[str, dict[str, Any]] = {
    "plain": {"network": {**STREAM, "splits": 2}},
    "averaged": {"ema": 0.5, "accumulate": 2},
    "mixed precision": {"mixed_precision": "bf16"},
    "coarse-fine": {"network": {"cells": 1, "fine": STREAM, "coarse": STREAM}, "fine_loss": 1.0},
}


@pytest.fixture
def any_precision() -> Iterator[None]:
    """Accelerate keeps the first run's precision for a whole process."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.mark.usefixtures("any_precision")
@pytest.mark.parametrize("which", [*RUNS, "multigrid", "bmn", "tcanet"])
def test_training_goes_on_bit_for_bit_with_and_without_validation(which, data, tmp_path):
    states = []
    for every in (0, 1):
        folder = tmp_path / str(every)
        folder.mkdir()
        changes = {"evaluate_every": every, **RUNS.get(which, {})}
        if which == "multigrid":
            path = pretraining(folder / "r.yaml", data, **changes)
        elif which in RUNS:
            path = write_recipe(folder / "r.yaml", data, **changes)
        else:
            write_features(folder / "features")
            path = segments(which, folder, changes)
        train(read_recipe(path), device="cpu")
        (state,) = folder.rglob("state.pt")
        states.append(torch.load(state, weights_only=True))
    without, looked_at = states
    assert without["step"] == looked_at["step"] > 2
    for part in ("network", "averaged"):
        assert without[part].keys() == looked_at[part].keys()
        for name, tensor in without[part].items():
            assert torch.equal(tensor, looked_at[part][name]), (part, name)
    for number, kept in without["optimizer"]["state"].items():
        for name, value in kept.items():
            other = looked_at["optimizer"]["state"][number][name]
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(other))


def segments(which: str, folder: Path, changes: dict[str, Any]) -> Path:
    annotations = write_annotations(folder / "annotations.json")
    features = folder / "features"
    bmn = write_bmn(folder / "bmn.yaml", annotations, features, out=str(folder / "bmn"), **changes)
    if which == "bmn":
        return bmn
    proposer = train(read_recipe(bmn), device="cpu").best
    (folder / "bmn" / "state.pt").unlink()
    return write_tcanet(
        folder / "tcanet.yaml",
        annotations,
        features,
        out=str(folder / "tcanet"),
        proposals=str(proposer),
        **changes,
    )
