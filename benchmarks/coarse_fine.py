"""Coarse-Fine Networks against their authors' code: the Coarse stream with its fusion."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from actline.models.coarse_fine import CoarseFine, CoarseFineConfig
from actline.models.folding import folded
from actline.models.fusion import FineFeatures
from actline.models.published import coarse_fine
from actline.models.x3d import StageFeatures
from benchmarks.apart import apart
from benchmarks.measure import Row, compared
from benchmarks.published import absent, load, repository, running
from benchmarks.x3d import agree, drawn

REPOSITORY = "Coarse-Fine-Networks"
AUTHORS = "the authors' code"
CELLS = 7  # the Fine features' height and width; published code asks for clips of 224 x 224
WIDTHS = {"layer1": 24, "layer2": 48, "layer3": 96, "layer4": 192, "conv5": 432}


class Sizes(NamedTuple):
    """Frames of the clip, and positions of the stored Fine features."""

    frames: int
    positions: int


class Stored(NamedTuple):
    """Seeded inputs: a clip (1, 3, T, H, W), Fine features by layer and their mask (1, N)."""

    clip: Tensor
    fine: dict[str, Tensor]
    mask: Tensor


def rows(reference: Path | None, quick: bool, device: torch.device) -> list[Row]:
    """The Coarse stream on stored Fine features."""
    folder = repository(reference, REPOSITORY)
    sizes = Sizes(8, 12) if quick else Sizes(64, 64)
    with running(device):
        return [coarse_stream(folder, sizes, device, runs=1 if quick else 5)]


def coarse_stream(folder: Path | None, sizes: Sizes, device: torch.device, *, runs: int) -> Row:
    """A clip with stored Fine features: logits of every frame."""
    plain = ours(None if folder is None else published(folder), device)
    prepared = folded(plain)
    clip, fine, mask = seeded(sizes, device)
    start = torch.zeros(1, device=device)
    features = FineFeatures(StageFeatures(*fine.values()), mask, start)

    @torch.inference_mode()
    def detect(network: nn.Module = prepared) -> Tensor:
        batch = clip.contiguous(memory_format=torch.channels_last_3d)
        return network(batch, features).logits

    agree(detect(), detect(plain))
    if folder is not None:
        agree(detect(), their_inference(folder, sizes, device)())
    with apart(their_inference, folder, sizes, device) as other:
        return compared(
            detect,
            other,
            what="Coarse stream with Multi-stage Fusion: one clip",
            sizes=f"1 x {sizes.frames} x 224 x 224, {sizes.positions} Fine positions",
            other_name=AUTHORS,
            target=6.0,
            note=absent(REPOSITORY) if other is None else "logits equal to 1e-4",
            runs=runs,
            device=device,
        )


def their_inference(folder: Path, sizes: Sizes, device: torch.device) -> Callable[[], Tensor]:
    """The same by the authors' network."""
    network = published(folder).to(device)
    clip, fine, mask = seeded(sizes, device)
    # The clip's start, its frames, the Fine positions and the step between clips.
    place = torch.tensor([[0.0, sizes.frames, sizes.positions, 1.0]], device=device)
    return torch.inference_mode()(lambda: network([clip, fine, mask, 0, place]))


def seeded(sizes: Sizes, device: torch.device) -> Stored:
    """A clip and its Fine features; drawn on the CPU, so that every device sees the same."""
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(1, 3, sizes.frames, 224, 224, generator=generator)
    fine = {
        name: torch.randn(1, width, sizes.positions, CELLS, CELLS, generator=generator).abs()
        for name, width in WIDTHS.items()
    }
    return Stored(
        clip.to(device),
        {name: features.to(device) for name, features in fine.items()},
        torch.ones(1, sizes.positions, device=device),
    )


def published(folder: Path) -> Any:
    """The authors' network with drawn weights."""
    module = load(folder, "x3d_coarse")
    network = module.generate_model(
        x3d_version="M",
        n_classes=157,
        task="loc",
        feat_depth=WIDTHS,
        t_pool="grid",
        isMixing=True,
        learnedMixing=True,
        base_bn_splits=1,
    )
    return drawn(network).eval()


def ours(theirs: nn.Module | None, device: torch.device) -> CoarseFine:
    """Our network; with the authors' weights where there are any."""
    if theirs is not None:
        network = coarse_fine.from_published(theirs.state_dict())
    else:
        network = CoarseFineConfig(fine_stream=False).build(157)
    network.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return network.eval()
