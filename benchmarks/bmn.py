"""BMN against the PyTorch code with its dense sampling matrix: forward, loss and backward."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from actline.models.bmn import BMN, BMNConfig, BMNOutput
from actline.training.bmn_losses import BMNTargets, assign_targets, bmn_loss
from benchmarks.apart import apart
from benchmarks.measure import Row, compared
from benchmarks.published import absent, load, repository, running

REPOSITORY = "BMN-Boundary-Matching-Network"
CHANNELS = 400


class Sizes(NamedTuple):
    """Snippets of a video, and videos of a batch."""

    scale: int
    videos: int


def rows(reference: Path | None, quick: bool, device: torch.device) -> list[Row]:
    """A training step without the optimizer, which is the same for both."""
    folder = repository(reference, REPOSITORY)
    sizes = Sizes(12, 2) if quick else Sizes(100, 2)
    with running(device):
        return [training(folder, sizes, device, runs=1 if quick else 5)]


def training(folder: Path | None, sizes: Sizes, device: torch.device, *, runs: int) -> Row:
    """Forward, loss and backward."""
    torch.manual_seed(0)
    ours = BMNConfig(CHANNELS, sizes.scale).build().to(device)
    features, targets = seeded(sizes, device)

    def step() -> tuple[BMNOutput, Tensor]:
        ours.zero_grad()
        output = ours(features)
        loss = bmn_loss(output, targets, published_overflow=True).total
        loss.backward()
        return output, loss

    if folder is not None:
        theirs = published(folder, sizes).to(device)
        give_weights(ours, theirs)
        check(step, training_step(folder, theirs, sizes, device), ours, theirs)
    note = "loss and gradients to 1e-3"
    if device.type == "cpu":
        note += "; a fifth of the memory is the target"
    with apart(their_training, folder, sizes, device) as other:
        return compared(
            step,
            other,
            what="BMN: forward, loss and backward",
            sizes=f"{sizes.videos} videos, temporal scale {sizes.scale}, {CHANNELS} features",
            other_name="the PyTorch code, dense matrix",
            target=4.0,
            note=absent(REPOSITORY) if other is None else note,
            runs=runs,
            device=device,
        )


def their_training(folder: Path, sizes: Sizes, device: torch.device) -> Callable[[], object]:
    """The same step of the published network."""
    return training_step(folder, published(folder, sizes).to(device), sizes, device)


def training_step(
    folder: Path, network: Any, sizes: Sizes, device: torch.device
) -> Callable[[], tuple[tuple[Tensor, ...], Tensor]]:
    """One step by the published loss; it returns (start, end, confidence) and the loss."""
    losses = load(folder, "loss_function")
    mask = losses.get_mask(sizes.scale).to(device)
    features, targets = seeded(sizes, device)

    def step() -> tuple[tuple[Tensor, ...], Tensor]:
        network.zero_grad()
        confidence, start, end = network(features)
        loss, *_ = losses.bmn_loss_func(
            confidence, start, end, targets.overlap, targets.start, targets.end, mask
        )
        loss.backward()
        return (start, end, confidence), loss

    return step


def published(folder: Path, sizes: Sizes) -> Any:
    """The published network with drawn weights, in training mode."""
    torch.manual_seed(0)
    options = {
        "temporal_scale": sizes.scale,
        "prop_boundary_ratio": 0.5,
        "num_sample": 32,
        "num_sample_perbin": 3,
        "feat_dim": CHANNELS,
    }
    return load(folder, "models").BMN(options)


def seeded(sizes: Sizes, device: torch.device) -> tuple[Tensor, BMNTargets]:
    """Features (B, C, T), and two activities a video, with pairs in every band of overlap.

    They are drawn on the CPU, so that every device sees the same.
    """
    generator = torch.Generator().manual_seed(0)
    all_targets = []
    for _ in range(sizes.videos):
        start = torch.rand(2, generator=generator) * 0.5
        segments = torch.stack((start, start + 0.4), dim=1)
        all_targets.append(assign_targets(segments, temporal_scale=sizes.scale))
    targets = (torch.stack(parts).to(device) for parts in zip(*all_targets, strict=True))
    features = torch.randn(sizes.videos, CHANNELS, sizes.scale, generator=generator)
    return features.to(device), BMNTargets(*targets)


def give_weights(ours: BMN, theirs: Any) -> None:
    """Give theirs the weights of ours, which are the same but for their shapes."""
    pairs = [
        *((ours.base[i], theirs.x_1d_b[i]) for i in (0, 2)),
        *((ours.start[i], theirs.x_1d_s[i]) for i in (0, 2)),
        *((ours.end[i], theirs.x_1d_e[i]) for i in (0, 2)),
        (ours.prepare, theirs.x_1d_p[0]),
        (ours.matching, theirs.x_3d_p[0]),
        (ours.narrow, theirs.x_2d_p[0]),
        *((ours.confidence[i], theirs.x_2d_p[i + 2]) for i in (0, 2, 4)),
    ]
    with torch.no_grad():
        for one, other in pairs:
            other.weight.copy_(one.weight.view_as(other.weight))
            other.bias.copy_(one.bias)


def check(
    step: Callable[[], tuple[BMNOutput, Tensor]],
    their_step: Callable[[], tuple[tuple[Tensor, ...], Tensor]],
    ours: BMN,
    theirs: Any,
) -> None:
    """Raise unless outputs, losses and gradients agree, the bands drawn alike."""
    with (
        patch.object(np.random, "rand", lambda *shape: np.full(shape, 0.5)),
        patch.object(torch, "rand", lambda shape, **_: torch.full(tuple(shape), 0.5)),
    ):
        output, loss = step()
        (start, end, confidence), their_loss = their_step()
    torch.testing.assert_close(output.start, start, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.end, end, rtol=1e-4, atol=1e-5)
    # Ours is 0 where the last snippet comes before the first; nobody reads theirs there.
    torch.testing.assert_close(output.confidence, confidence * ours.possible, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss, their_loss, rtol=1e-4, atol=1e-4)
    for one, other in ((ours.matching, theirs.x_3d_p[0]), (ours.base[0], theirs.x_1d_b[0])):
        assert isinstance(one.weight, Tensor) and one.weight.grad is not None
        expected = other.weight.grad.view_as(one.weight)
        scale = float(expected.abs().max())
        torch.testing.assert_close(one.weight.grad, expected, rtol=1e-3, atol=1e-3 * scale)
