"""Every weight of every network begins as it does in the published code.

Published networks are made of PyTorch's layers, whose own rule is uniform within 1 / sqrt(fan-in)
for weights and biases; where published code says otherwise, it is written here.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from actline.models import slowfast_blocks
from actline.models.bmn import BMNConfig
from actline.models.boundary_matching import BoundaryMatching
from actline.models.coarse_fine import CoarseFineConfig, CoarseStream
from actline.models.convolutions import DepthwiseConv3d
from actline.models.fusion import MultiStageFusion
from actline.models.grid_pool import GridPool
from actline.models.lgte import LocalGlobalAttention
from actline.models.normalization import SplitBatchNorm3d
from actline.models.slowfast import SlowFast, SlowFastConfig
from actline.models.tcanet import TCANetConfig
from actline.models.x3d import X3D, X3D_M, X3DConfig


class Drawn(NamedTuple):
    """Normal of a standard deviation, uniform within a bound, or everywhere the same."""

    how: str
    size: float


ONE, ZERO = Drawn("same", 1.0), Drawn("same", 0.0)
Rules = dict[str, Drawn]


def kaiming(conv: nn.Conv3d) -> Drawn:
    """`kaiming_normal_(mode="fan_out", nonlinearity="relu")`: the fan-out knows no groups."""
    return Drawn("normal", math.sqrt(2 / (conv.out_channels * math.prod(conv.kernel_size))))


def torchs_own(layer: nn.Module) -> Rules:
    """PyTorch's rule for convolutions and linear layers."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    bound = Drawn("uniform", 1 / math.sqrt(weight[0].numel()))
    return {"weight": bound, "bias": bound}


def rules_of(module: nn.Module) -> Rules:
    """How a layer's own parameters begin where it is not one of the exceptions."""
    if isinstance(module, SplitBatchNorm3d | nn.LayerNorm):
        return {"weight": ONE, "bias": ZERO}
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
        return torchs_own(module)
    return {}


def assert_begins(network: nn.Module, exceptions: dict[nn.Module, Rules]) -> None:
    """Every parameter of a network is drawn by the rule of its layer."""
    checked = 0
    for name, module in network.named_modules():
        rules = {**rules_of(module), **exceptions.get(module, {})}
        for own, parameter in module.named_parameters(recurse=False):
            assert own in rules, f"{name}.{own} has no rule"
            assert_drawn(parameter.detach(), rules[own], f"{name}.{own}")
            checked += 1
    assert checked == len(list(network.parameters()))


def assert_drawn(values: Tensor, rule: Drawn, name: str) -> None:
    if rule.how == "same":
        assert (values == rule.size).all(), name
        return
    spread = rule.size if rule.how == "normal" else rule.size / math.sqrt(3)
    if rule.how == "uniform":
        assert values.abs().max() <= rule.size * (1 + 1e-6), name
    # Six standard errors: some hundred tensors are looked at.
    error = spread / math.sqrt(values.numel())
    assert abs(float(values.double().mean())) < 6 * error, name
    mean_square = float(values.double().square().mean())
    of_square = math.sqrt(2.0 if rule.how == "normal" else 0.8) * spread**2
    assert abs(mean_square - spread**2) < 6 * of_square / math.sqrt(values.numel()) + 1e-12, name


def kaiming_everywhere(network: nn.Module) -> dict[nn.Module, Rules]:
    return {m: {"weight": kaiming(m)} for m in network.modules() if isinstance(m, nn.Conv3d)}


def of_x3d(network: X3D) -> dict[nn.Module, Rules]:
    """`x3d_fine.py`, `x3d_coarse.py`, SSDet's `x3d.py`: all convolutions, and `fc1` is one."""
    project = network.head.project
    head = {"weight": Drawn("normal", math.sqrt(2 / project.out_features))}
    return {**kaiming_everywhere(network), project: head}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_x3d_begins_as_published():
    network = X3D_M.build(157)
    assert_begins(network, of_x3d(network))


def test_depthwise_convolutions_begin_at_their_own_scale_where_a_recipe_says_so():
    network = replace(X3DConfig(), depthwise_init="per_channel").build(157)
    own = {
        module: {"weight": Drawn("normal", math.sqrt(2 / math.prod(module.kernel_size)))}
        for module in network.modules()
        if isinstance(module, DepthwiseConv3d)
    }
    assert len(own) == 27  # a block each, and the stem
    assert_begins(network, {**of_x3d(network), **own})


def test_the_coarse_stream_begins_as_published():
    """All convolutions, Grid Pool's three among them; the fusion's are of PyTorch's own rule."""
    network = CoarseFineConfig().build(157).coarse
    assert isinstance(network.grid_pool, GridPool)
    assert isinstance(network.fusion, MultiStageFusion)
    exceptions = {**of_x3d(network.trunk), **kaiming_everywhere(network.grid_pool)}
    assert exceptions[network.grid_pool.conv3]["weight"].size == pytest.approx(0.471, abs=1e-3)
    assert_begins(network, exceptions)


def spread_at_the_start(stream: CoarseStream) -> float:
    """The intervals' standard deviation over their mean, for noise through a new stream."""
    assert stream.grid_pool is not None
    with torch.no_grad():
        features = stream.trunk.stage1(stream.trunk.stem(torch.randn(2, 3, 32, 32, 32)))
        intervals = stream.grid_pool(features)[1].diff(dim=1)
    return float((intervals.std(dim=1) / intervals.mean(dim=1)).mean())


def test_grid_pools_intervals_differ_from_the_start():
    """By a few tenths of their mean; with PyTorch's own weights by 0.01 to 0.03."""
    config = X3DConfig(depths=(1, 1, 1, 1), head_width=32)
    spreads = [
        spread_at_the_start(CoarseFineConfig(config, config).build(5).train().coarse)
        for _ in range(12)
    ]
    assert 0.1 < torch.tensor(spreads).median() < 1.0, spreads


def test_slowfast_begins_as_published():
    """`init_net_weights` of PyTorchVideo, as in SlowFast's own code."""
    network = SlowFastConfig(depths=(1, 2, 1, 1)).build(400)
    assert isinstance(network, SlowFast)
    last = {
        block.widen_norm: {"weight": ZERO, "bias": ZERO}
        for block in network.modules()
        if isinstance(block, slowfast_blocks.SlowFastBottleneck)
    }
    head = {network.head.classify: {"weight": Drawn("normal", 0.01), "bias": ZERO}}
    assert_begins(network, {**kaiming_everywhere(network), **last, **head})


def test_bmn_begins_as_published():
    """All of PyTorch's own; the matching stands for `Conv3d(256, 512, (32, 1, 1))`."""
    network = BMNConfig(temporal_scale=16).build()
    assert isinstance(network.matching, BoundaryMatching)
    assert_begins(network, {network.matching: torchs_own(network.matching)})


def test_tcanet_begins_as_published():
    """`mha.py`: Xavier for queries, keys and values at once, and biases of zero."""
    network = TCANetConfig(stages=2).build()
    exceptions: dict[nn.Module, Rules] = {}
    for module in network.modules():
        if isinstance(module, LocalGlobalAttention):
            taken, given = module.project_in.in_features, module.project_in.out_features
            bound = Drawn("uniform", math.sqrt(6 / (taken + given)))
            exceptions[module.project_in] = {"weight": bound, "bias": ZERO}
            exceptions[module.project_out] = {"bias": ZERO}
    assert len(exceptions) == 4
    assert_begins(network, exceptions)
