"""How weights are initialized where published code does not leave that to PyTorch."""

from torch import nn


def kaiming_normal(network: nn.Module) -> None:
    """Kaiming's normal weights, fan-out, in every 3-D convolution: std (2 / fan_out) ** 0.5.

    The rule of X3D, of Grid Pool and of SlowFast in their published code. It counts the fan-out of
    a grouped convolution as if it had no groups: C times the outputs that a value reaches in a
    depthwise one. Biases keep PyTorch's initialization.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
