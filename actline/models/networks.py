"""The available networks: what a recipe or a card may name. A new one is added here."""

from torch import nn

from actline.models.bmn import BMNConfig
from actline.models.coarse_fine import CoarseFineConfig
from actline.models.slowfast import SlowFastConfig
from actline.models.tcanet import TCANetConfig
from actline.models.x3d import X3DConfig

NetworkConfig = X3DConfig | CoarseFineConfig | SlowFastConfig
"""Configurations of networks on frames (`models.backbone`); their keys tell them apart."""

SegmentNetworkConfig = BMNConfig | TCANetConfig
"""Configurations of networks on snippet features, each a stage of a chain (`models.stage`)."""


def build(config: NetworkConfig | SegmentNetworkConfig, classes: int) -> nn.Module:
    """The network that `config` describes, with random weights.

    Args:
        classes: how many logits; networks without classes take none.
    """
    return config.build(classes)
