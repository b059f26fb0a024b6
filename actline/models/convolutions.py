"""3-D convolutions as X3D and SlowFast use them, in forms that are fast on a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight, conv3d_input


def pointwise(channels_in: int, channels_out: int, *, stride: int = 1) -> nn.Conv3d:
    """A 1 x 1 x 1 convolution without bias, strided in space alone."""
    return nn.Conv3d(channels_in, channels_out, 1, stride=(1, stride, stride), bias=False)


class SpatialConv3d(nn.Conv3d):
    """A convolution in space only; on a CPU done on images, which is four times as fast there.

    Shape:
        input: (B, C, T, H, W); returns (B, C', T, H', W').
    """

    def forward(self, input: Tensor) -> Tensor:
        # Runtimes have their own convolutions, and would reorder the images twice.
        if not runs_on_cpu(input) or torch.compiler.is_exporting():
            return super().forward(input)
        frames = F.conv2d(
            input.transpose(1, 2).flatten(0, 1),  # (B T, C, H, W)
            self.weight.squeeze(2),
            stride=self.stride[1:],
            padding=self.padding[1:],
        )
        return frames.unflatten(0, (input.shape[0], input.shape[2])).transpose(1, 2)


class DepthwiseConv3d(nn.Conv3d):
    """A depthwise convolution, one kernel per channel; with fast gradients on a CPU.

    Shape:
        input: (B, C, T, H, W); returns (B, C, T, H / stride, W / stride).
    """

    def forward(self, input: Tensor) -> Tensor:
        if not runs_on_cpu(input):
            return super().forward(input)
        return _DepthwiseConvolution.apply(input, self.weight, self.stride, self.padding)


class _DepthwiseConvolution(torch.autograd.Function):
    """conv3d with one channel per group, whose own gradients take ten times its time on a CPU.

    The gradient of the input is the convolution with the mirrored kernel where there is no
    stride; that of the kernel is, at each of its time steps, a convolution of images.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv3d(x, weight, stride=stride, padding=padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        gradient = grad_outputs[0].contiguous(memory_format=torch.channels_last_3d)
        of_x, of_weight = None, None
        if ctx.needs_input_grad[0] and stride == (1, 1, 1):
            mirrored = weight.flip(2, 3, 4)  # odd kernels, padded by half of them
            of_x = F.conv3d(gradient, mirrored, padding=padding, groups=len(weight))
        elif ctx.needs_input_grad[0]:
            of_x = conv3d_input(x.shape, weight, gradient, stride, padding, groups=len(weight))
        if ctx.needs_input_grad[1]:
            of_weight = _kernel_gradient(x, gradient, weight, stride, padding)
        return of_x, of_weight, None, None


def _kernel_gradient(
    x: Tensor, gradient: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]
) -> Tensor:
    C, _, times, *kernel = weight.shape
    T = x.shape[2]
    x = x.contiguous(memory_format=torch.channels_last_3d)
    of_weight = torch.zeros_like(weight)
    for time in range(times):
        shift = time - padding[0]  # from a frame of the result to the frame of x it sees
        first, end = max(0, -shift), min(T, T - shift)
        if first >= end:
            continue
        for seen, result in zip(
            x[:, :, first + shift : end + shift].unbind(),
            gradient[:, :, first:end].unbind(),
            strict=True,
        ):
            of_weight[:, :, time] += conv2d_weight(
                seen.transpose(0, 1),  # frames as a batch of images
                (C, 1, *kernel),
                result.transpose(0, 1),
                stride=stride[-1],
                padding=padding[-1],
                groups=C,
            )
    return of_weight


def runs_on_cpu(x: Tensor) -> bool:
    """Whether the forms for CPUs apply: on a CPU, and not in mixed precision."""
    return x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
