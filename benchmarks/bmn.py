"""BMN against the PyTorch code with its dense sampling matrix: forward, loss and backward."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from actline.models.bmn import BMN, BMNOutput
from actline.train.bmn_losses import BMNTargets, assign_targets, bmn_loss
from benchmarks.measure import Row, alternate, peak_memory
from benchmarks.published import absent, load, repository, running

REPOSITORY = "BMN-Boundary-Matching-Network"
CHANNELS = 400


def rows(reference: Path | None, quick: bool) -> list[Row]:
    """A training step without the optimizer, which is the same for both."""
    folder = repository(reference, REPOSITORY)
    scale, videos = (12, 2) if quick else (100, 2)
    with running():
        return [training(folder, scale=scale, videos=videos, runs=1 if quick else 5)]


def training(folder: Path | None, *, scale: int, videos: int, runs: int) -> Row:
    """Forward, loss and backward."""
    torch.manual_seed(0)
    features = torch.randn(videos, CHANNELS, scale)
    targets = seeded_targets(scale, videos)
    ours = BMN(CHANNELS, temporal_scale=scale)

    def step() -> tuple[BMNOutput, torch.Tensor]:
        ours.zero_grad()
        output = ours(features)
        loss = bmn_loss(output, targets, published_overflow=True).total
        loss.backward()
        return output, loss

    other: Callable[[], Any] | None = None
    if folder is not None:
        theirs, losses = load(folder, "models"), load(folder, "loss_function")
        options = {
            "temporal_scale": scale,
            "prop_boundary_ratio": 0.5,
            "num_sample": 32,
            "num_sample_perbin": 3,
            "feat_dim": CHANNELS,
        }
        network = theirs.BMN(options)
        give_weights(ours, network)
        mask = losses.get_mask(scale)

        def their_step() -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
            network.zero_grad()
            confidence, start, end = network(features)
            loss, *_ = losses.bmn_loss_func(
                confidence, start, end, targets.overlap, targets.start, targets.end, mask
            )
            loss.backward()
            return (start, end, confidence), loss

        other = their_step
        check(step, their_step, ours, network)
    ours_seconds, other_seconds = alternate(step, other, runs=runs)
    return Row(
        what="BMN: forward, loss and backward",
        sizes=f"{videos} videos, temporal scale {scale}, {CHANNELS} features",
        ours=ours_seconds,
        other=other_seconds,
        other_name="the PyTorch code, dense matrix",
        target=4.0,
        ours_memory=peak_memory(step),
        other_memory=None if other is None else peak_memory(other),
        note=absent(REPOSITORY)
        if other is None
        else "loss and gradients to 1e-3; a fifth of the memory is the target",
    )


def seeded_targets(scale: int, videos: int) -> BMNTargets:
    """Two activities a video, with pairs in every band of overlap."""
    generator = torch.Generator().manual_seed(0)
    all_targets = []
    for _ in range(videos):
        start = torch.rand(2, generator=generator) * 0.5
        segments = torch.stack((start, start + 0.4), dim=1)
        all_targets.append(assign_targets(segments, temporal_scale=scale))
    return BMNTargets(*(torch.stack(parts) for parts in zip(*all_targets, strict=True)))


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
    step: Callable[[], tuple[BMNOutput, torch.Tensor]],
    their_step: Callable[[], tuple[tuple[torch.Tensor, ...], torch.Tensor]],
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
        assert isinstance(one.weight, torch.Tensor) and one.weight.grad is not None
        expected = other.weight.grad.view_as(one.weight)
        scale = float(expected.abs().max())
        torch.testing.assert_close(one.weight.grad, expected, rtol=1e-3, atol=1e-3 * scale)
