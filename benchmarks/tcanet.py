"""TCANet against its authors' code: refining a video's proposals, and a training step."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from actline.models.boundary_regressor import Refinement
from actline.models.published import tcanet
from actline.models.published.naming import rename
from actline.models.tcanet import TCANet, TCANetConfig
from actline.training.tcanet_losses import refinement_loss
from benchmarks.apart import apart
from benchmarks.measure import Row, compared
from benchmarks.published import absent, load, repository, running

REPOSITORY = "Temporal-Context-Aggregation-Network-Pytorch"
AUTHORS = "the authors' code"
INTERVAL = 8 / 15  # seconds from one snippet to the next


class Sizes(NamedTuple):
    """Of a batch."""

    videos: int
    proposals: int
    snippets: int
    channels: int

    def __str__(self) -> str:
        return (
            f"{self.videos} x {self.proposals} proposals, "
            f"{self.snippets} snippets x {self.channels}"
        )


class Batch(NamedTuple):
    """Seeded inputs: features (B, C, T), proposals and targets (B, P, 2) in seconds."""

    features: Tensor
    proposals: Tensor
    targets: Tensor


def rows(reference: Path | None, quick: bool, device: torch.device) -> list[Row]:
    """Inference and training step."""
    folder = repository(reference, REPOSITORY)
    runs = 1 if quick else 5
    one = Sizes(1, 12, 40, 64) if quick else Sizes(1, 1000, 1000, 2304)
    step = Sizes(2, 6, 40, 64) if quick else Sizes(4, 64, 1000, 2304)
    with running(device):
        return [
            inference(folder, one, device, runs=runs),
            training(folder, step, device, runs=runs),
        ]


def inference(folder: Path | None, sizes: Sizes, device: torch.device, *, runs: int) -> Row:
    """Encode one video and refine its proposals."""
    batch = seeded(sizes, device)
    ours = network_for(None if folder is None else published(folder, sizes), sizes)
    ours.eval().to(device)

    def refine() -> tuple[Refinement, ...]:
        with torch.inference_mode():
            return ours(batch.features, batch.proposals)

    if folder is not None:
        expected = their_inference(folder, sizes, device)()
        for number, stage in enumerate(refine(), start=1):
            segments = expected[f"proposals{number}"].view_as(stage.refined)
            torch.testing.assert_close(
                stage.refined, segments, rtol=1e-4, atol=1e-5 * sizes.snippets * INTERVAL
            )
            overlaps = expected[f"iou{number}"].view_as(stage.iou)
            torch.testing.assert_close(stage.iou, overlaps, rtol=1e-4, atol=1e-4)
    with apart(their_inference, folder, sizes, device) as other:
        return compared(
            refine,
            other,
            what="TCANet: refining one video's proposals",
            sizes=str(sizes),
            other_name=AUTHORS,
            target=6.0,
            note=absent(REPOSITORY)
            if other is None
            else "segments to 1e-5 of the video, overlaps to 1e-4",
            runs=runs,
            device=device,
        )


def their_inference(
    folder: Path, sizes: Sizes, device: torch.device
) -> Callable[[], dict[str, Tensor]]:
    """The same by the authors' network."""
    batch = seeded(sizes, device)
    network = published(folder, sizes).eval().to(device)
    network.mode = "inference"
    return torch.inference_mode()(lambda: network(published_input(batch, sizes)))


def training(folder: Path | None, sizes: Sizes, device: torch.device, *, runs: int) -> Row:
    """Forward, losses, backward and AdamW."""
    batch = seeded(sizes, device)
    theirs = None if folder is None else published(folder, sizes)
    ours = network_for(theirs, sizes).to(device)
    if theirs is not None:
        check_gradients(ours, theirs.to(device), batch, sizes)
    optimizer = torch.optim.AdamW(ours.parameters(), lr=4e-4)
    ours.train()

    def step() -> None:
        optimizer.zero_grad()
        refinement_loss(ours(batch.features, batch.proposals), batch.targets).total.backward()
        optimizer.step()

    note = "loss and all gradients to 1e-4"
    if device.type == "cpu":
        note += "; a quarter of the memory is the target"
    with apart(their_training, folder, sizes, device) as other:
        return compared(
            step,
            other,
            what="TCANet: a training step",
            sizes=str(sizes),
            other_name=AUTHORS,
            target=8.0,
            note=absent(REPOSITORY) if other is None else note,
            runs=runs,
            device=device,
        )


def their_training(folder: Path, sizes: Sizes, device: torch.device) -> Callable[[], None]:
    """The same step of the authors' network."""
    batch = seeded(sizes, device)
    network = published(folder, sizes).train().to(device)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=4e-4)

    def step() -> None:
        optimizer.zero_grad()
        network(published_input(batch, sizes))["total_loss"].backward()
        optimizer.step()

    return step


def seeded(sizes: Sizes, device: torch.device) -> Batch:
    """Proposals all over the video, each with a target that it overlaps more or less.

    They are drawn on the CPU, so that every device sees the same.
    """
    generator = torch.Generator().manual_seed(0)

    def uniform(low: float, high: float) -> Tensor:
        drawn = torch.rand(sizes.videos, sizes.proposals, generator=generator)
        return low + drawn * (high - low)

    duration = sizes.snippets * INTERVAL
    width = uniform(0.02, 0.5) * duration
    start = uniform(0, 1) * (duration - width)
    proposals = torch.stack((start, start + width), dim=2)
    moved = torch.stack((start + uniform(-0.3, 0.3) * width, start + uniform(0.7, 1.3) * width), 2)
    features = torch.randn(sizes.videos, sizes.channels, sizes.snippets, generator=generator)
    return Batch(features.to(device), proposals.to(device), moved.clamp(min=0).to(device))


def published(folder: Path, sizes: Sizes) -> Any:
    """The authors' network with drawn weights, in training mode."""
    torch.manual_seed(0)
    config = TCANetConfig(channels=sizes.channels)
    return load(folder, "tcanet").TCANet(
        "training",
        {
            "feat_dim": sizes.channels,
            "lgte_num": config.encoder_layers,
            "temporal_scale": sizes.snippets,
            "window_size": config.window,
            "start_sample_num": config.start_samples,
            "action_sample_num": config.action_samples,
            "end_sample_num": config.end_samples,
            "prop_boundary_ratio": config.context,
            "temporal_interval": config.snippet_interval,
        },
    )


def network_for(theirs: nn.Module | None, sizes: Sizes) -> TCANet:
    """Ours; with the authors' weights where there are any."""
    if theirs is None:
        torch.manual_seed(0)
        return TCANetConfig(channels=sizes.channels).build()
    return tcanet.from_published(theirs.state_dict())


def published_input(batch: Batch, sizes: Sizes) -> tuple[Tensor | None, ...]:
    """What their `forward` takes; it writes into the proposals, so these are copied."""
    numbered = batch.proposals.new_zeros(sizes.videos, sizes.proposals, 3)
    numbered[..., :2] = batch.proposals
    device = batch.features.device
    duration = torch.full((sizes.videos,), sizes.snippets * INTERVAL, device=device)
    return batch.features, duration, numbered, batch.targets, None


def check_gradients(ours: TCANet, theirs: Any, batch: Batch, sizes: Sizes) -> None:
    """Raise unless the loss and all its gradients agree, on a few proposals of each video.

    In double precision, as a place that rounds across a feature changes the slope there; without
    dropout, and with the proposals of lower overlap drawn alike.
    """
    few = sizes._replace(proposals=min(sizes.proposals, 8))
    batch = Batch(
        batch.features.double(),
        batch.proposals[:, : few.proposals].double(),
        batch.targets[:, : few.proposals].double(),
    )
    ours, theirs = without_dropout(ours), without_dropout(theirs)
    with patch.object(np.random, "rand", lambda *shape: np.full(shape, 0.5)):
        their_loss = theirs(published_input(batch, few))["total_loss"]
    with patch.object(torch, "rand", lambda shape, **_: torch.full(tuple(shape), 0.5)):
        loss = refinement_loss(ours(batch.features, batch.proposals), batch.targets).total
    torch.testing.assert_close(loss, their_loss, rtol=1e-5, atol=1e-5, check_dtype=False)
    loss.backward()
    their_loss.backward()
    gradients = {
        name: parameter.grad
        for name, parameter in theirs.named_parameters()
        if parameter.requires_grad
    }
    renamed = rename(gradients, tcanet.RULES, source=AUTHORS)
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        # Relative to the largest: sums of many terms lose their smallest digits.
        largest = float(renamed[name].abs().max())
        torch.testing.assert_close(
            parameter.grad, renamed[name], rtol=1e-4, atol=1e-4 * max(largest, 1e-6)
        )


def without_dropout(network: Any) -> Any:
    """A copy in double precision, in training, that drops nothing."""
    copied = copy.deepcopy(network).double().train()
    for module in copied.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    return copied
