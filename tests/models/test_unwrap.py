"""Foreign checkpoints are unwrapped in one way for every source; weights must be finite."""

import argparse
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from actline.cli.main import main
from actline.errors import CheckpointError
from actline.models.checkpoint import load_checkpoint, weights_hash
from actline.models.coarse_fine import CoarseFine, CoarseFineConfig
from actline.models.published import (
    coarse_fine,
    pytorchvideo,
    pytorchvideo_slowfast,
    tcanet,
    x3d_multigrid,
)
from actline.models.published.convert import convert
from actline.models.published.unwrap import read_published, tensors_in, unwrapped

SOURCES = {
    "x3d_m_fine": lambda tensors: x3d_multigrid.from_published(tensors, per_frame=True),
    "coarse_fine": coarse_fine.from_published,
    "pytorchvideo_x3d_m": pytorchvideo.from_published,
    "pytorchvideo_slowfast_r50": lambda tensors: pytorchvideo_slowfast.from_published(
        tensors, alpha=4
    ),
    "tcanet": tcanet.from_published,
}


LATER_BLOCKS = re.compile(r"res_blocks\.[1-9]|layer\d\.[1-9]|lgtes\.[1-9]")


def published_state(goldens, name):
    """Tensors of the published names and shapes, each of its own value; one block a stage."""
    specs = goldens.specs[name].items()
    shapes = {key: shape for key, shape in specs if not LATER_BLOCKS.search(key)}
    return {key: torch.full(shape, 0.1 + n / 1000) for n, (key, shape) in enumerate(shapes.items())}


def prefixed(tensors, prefix):
    return {prefix + name: tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_is_unwrapped_and_refuses_weights_that_are_not_finite(goldens, name):
    bring, state = SOURCES[name], published_state(goldens, name)
    expected = weights_hash(bring(dict(state)))
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
    lightning = prefixed(prefixed(state, "_orig_mod."), "model.net.")
    file = {
        "epoch": 3,
        "optimizer": optimizer,
        "state_dict": {"model": {**lightning, "criterion.weight": torch.ones(3)}},
    }
    assert weights_hash(bring(tensors_in(file, where="file"))) == expected

    last = [key for key in state if key.endswith(".bias")][-1]
    broken = {**state, last: state[last].clone()}
    broken[last].view(-1)[0] = torch.inf
    with pytest.raises(CheckpointError, match="not finite"):
        bring(broken)


class Published(nn.Module):
    """A network with a landmark, as one that was published."""

    inner: nn.Module

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(2, 2, 1)
        self.inner = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))


class Holder(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.backbone = network
        self.criterion = nn.BCEWithLogitsLoss(pos_weight=torch.ones(2))


NETWORK = Published()
OWN = NETWORK.state_dict()


@pytest.mark.parametrize(
    "network",
    [
        NETWORK,
        nn.DataParallel(NETWORK),
        torch.compile(NETWORK),
        torch.compile(nn.DataParallel(NETWORK)),
        AveragedModel(nn.DataParallel(NETWORK)),
        Holder(NETWORK),
        nn.DataParallel(Holder(nn.DataParallel(NETWORK))),
        nn.ModuleDict({"model": nn.ModuleDict({"net": NETWORK, "loss": nn.Linear(1, 1)})}),
    ],
    ids=lambda network: type(network).__name__,
)
@pytest.mark.parametrize(
    "keys",
    [
        (),
        ("state_dict",),
        ("model_state",),
        ("model_state_dict",),
        ("model",),
        ("ema",),
        ("state_dict_ema",),
        ("ema", "module"),
        ("checkpoint", "model", "state_dict"),
    ],
    ids=".".join,
)
def test_wrappers_and_containers_leave_the_networks_own_names(network, keys, tmp_path):
    content = network.state_dict()
    for key in reversed(keys):
        content = {key: content, "epoch": 7, "optimizer": {"state": {0: {"m": torch.ones(1)}}}}
    torch.save(content, tmp_path / "file.pt")
    found = unwrapped(read_published(tmp_path / "file.pt"), "stem.weight", source="ours")
    assert found.keys() == OWN.keys()
    assert all(torch.equal(found[name], OWN[name]) for name in OWN)


def test_parts_that_were_wrapped_alone_are_unwrapped(tmp_path):
    network = Published()
    network.load_state_dict(OWN)
    network.inner = nn.DataParallel(network.inner)
    compiled = {
        name.replace("stem.", "stem._orig_mod."): t for name, t in network.state_dict().items()
    }
    found = unwrapped(compiled, "stem.weight", source="ours")
    assert found.keys() == OWN.keys()


def test_averaged_weights_come_first_where_they_are_weights():
    other = {name: tensor + 1 for name, tensor in OWN.items()}
    for content in (
        {"state_dict": other, "state_dict_ema": OWN},
        {"model": other, "ema": {"decay": 0.9, "module": OWN}},
        {"model": OWN, "ema": None},
        {"model": OWN, "ema": {"decay": 0.9}},
        {**prefixed(other, "model."), **prefixed(OWN, "model_ema.")},
    ):
        found = unwrapped(tensors_in(content, where="file"), "stem.weight", source="ours")
        assert all(torch.equal(found[name], OWN[name]) for name in OWN)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"student": OWN, "teacher": OWN}, "several sets of tensors (student, teacher)"),
        ({**prefixed(OWN, "one."), **prefixed(OWN, "two.")}, "several of ours (one., two.)"),
        ({**OWN, **prefixed(OWN, "module.")}, "twice"),
        ({"optimizer": {"state": {"m": torch.ones(1)}}}, "holds no tensors"),
        ({"inner.weight": torch.ones(1)}, "is missing; is the source (--from) right?"),
        ({}, "holds no tensors"),
        ([torch.ones(1)], "holds no tensors"),
    ],
)
def test_what_is_not_one_network_is_refused(content, told):
    with pytest.raises(CheckpointError) as refused:
        unwrapped(tensors_in(content, where="file"), "stem.weight", source="ours")
    assert told in str(refused.value)


def test_files_are_converted_by_the_command_whatever_they_are_kept_in(tmp_path, goldens, capsys):
    state = published_state(goldens, "x3d_m_fine")
    torch.save(prefixed(state, "module._orig_mod."), tmp_path / "wrapped.pt")
    save_file(prefixed(state, "backbone."), tmp_path / "foreign.safetensors")
    hashes = set()
    for name in ("wrapped.pt", "foreign.safetensors"):
        out = tmp_path / f"{name}.out.safetensors"
        assert main(["convert", str(tmp_path / name), "--from", "fine", str(out)]) == 0
        hashes.add(weights_hash(load_checkpoint(out)[0]))
    assert hashes == {weights_hash(SOURCES["x3d_m_fine"](state))}

    (tmp_path / "noise.pt").write_bytes(torch.rand(500).numpy().tobytes())
    (tmp_path / "text.pt").write_text("a page that says: not found")
    torch.save({"state_dict": state, "args": argparse.Namespace()}, tmp_path / "objects.pt")
    broken = {**state, "fc2.bias": torch.full_like(state["fc2.bias"], torch.nan)}
    torch.save(broken, tmp_path / "nan.pt")
    capsys.readouterr()
    for name, told in (
        ("noise.pt", "not a whole checkpoint file"),
        ("text.pt", "not a whole checkpoint file"),
        ("objects.pt", "Python objects besides tensors"),
        ("nan.pt", "not finite"),
    ):
        out = tmp_path / "out.safetensors"
        assert main(["convert", str(tmp_path / name), "--from", "fine", str(out)]) == 1
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
        assert not out.exists()


# What each source's sizes are read off.
TELLING = {
    "x3d_m_fine": ("layer1.0.conv3.weight", "fc1.weight", "fc2.bias", "bn1.split_bn.running_mean"),
    "coarse_fine": ("rw2.at1.weight", "rw6.at1.weight", "fc2.bias"),
    "pytorchvideo_x3d_m": ("blocks.5.pool.post_conv.weight", "blocks.5.proj.bias"),
    "pytorchvideo_slowfast_r50": (
        "blocks.0.multipathway_blocks.0.conv.weight",
        "blocks.0.multipathway_blocks.1.conv.weight",
        "blocks.0.multipathway_fusion.conv_fast_to_slow.weight",
    ),
    "tcanet": (
        "x_1d_b_f.0.weight",
        "lgtes.0.linear1.weight",
        "tbr1.reg1se.start_reg_conv.4.weight",
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_sizes_that_cannot_be_are_one_line_and_no_network_is_made(goldens, name):
    bring, state = SOURCES[name], published_state(goldens, name)
    assert set(TELLING[name]) <= state.keys()
    for tensor in TELLING[name]:
        # An empty tensor may tell of any size.
        vast = torch.empty(10**6, *state[tensor].shape[1:-1], 0)
        for wrong in (torch.tensor(1.0), torch.empty(0), vast, torch.ones(1, 1, 1), torch.ones(7)):
            with pytest.raises(CheckpointError) as caught:
                bring({**state, tensor: wrong})
            assert "\n" not in str(caught.value)


def test_a_vast_network_is_compared_and_not_made(goldens):
    bring, state = SOURCES["tcanet"], published_state(goldens, "tcanet")
    few = torch.ones(1).expand(4 * 10**6, 10**6, 3)  # of a number that is stored once
    with pytest.raises(CheckpointError, match=r"not .* as in"):
        bring({**state, "x_1d_b_f.0.weight": few})


def test_a_file_of_another_source_is_refused_and_its_own_is_named(tmp_path, goldens):
    """A Python user's call, with the options that the command has."""
    torch.save(published_state(goldens, "x3d_m_fine"), tmp_path / "fine.pt")
    out = tmp_path / "out.safetensors"
    with pytest.raises(CheckpointError, match="looks like fine or x3d-multigrid"):
        convert(tmp_path / "fine.pt", out, "tcanet")
    with pytest.raises(CheckpointError, match='"fined" is not a source'):
        convert(tmp_path / "fine.pt", out, "fined")
    with pytest.raises(CheckpointError, match=r"classes names 2 classes; the checkpoint has"):
        convert(tmp_path / "fine.pt", out, "fine", classes=("a", "b"))
    assert not out.exists()
    network, card = convert(tmp_path / "fine.pt", out, "fine")
    loaded, read = load_checkpoint(out)
    assert read == card
    assert weights_hash(loaded) == weights_hash(network)


def test_the_coarse_stream_is_converted_with_and_without_the_fine_one(tmp_path, goldens):
    torch.save(published_state(goldens, "x3d_m_fine"), tmp_path / "fine.pt")
    torch.save(published_state(goldens, "coarse_fine"), tmp_path / "coarse.pt")
    out = tmp_path / "out.safetensors"
    convert(tmp_path / "coarse.pt", out, "coarse-fine")
    assert load_checkpoint(out)[0].lacks is not None
    convert(tmp_path / "coarse.pt", out, "coarse-fine", fine=tmp_path / "fine.pt")
    network, card = load_checkpoint(out)
    assert network.lacks is None
    assert isinstance(card.network, CoarseFineConfig) and card.network.fine_stream
    assert isinstance(network, CoarseFine) and network.fine is not None
    alone = x3d_multigrid.from_published(published_state(goldens, "x3d_m_fine"), per_frame=True)
    assert weights_hash(network.fine) == weights_hash(alone)
