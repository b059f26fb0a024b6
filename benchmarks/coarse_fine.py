"""Coarse-Fine Networks against their authors' code: the Coarse stream with its fusion."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actline.models.coarse_fine import CoarseFine
from actline.models.config import CoarseFineConfig
from actline.models.folding import folded
from actline.models.fusion import FineFeatures
from actline.models.published import coarse_fine
from actline.models.x3d import StageFeatures
from benchmarks.measure import Row, alternate, peak_memory
from benchmarks.published import absent, load, repository, running
from benchmarks.x3d import agree, drawn

REPOSITORY = "Coarse-Fine-Networks"
AUTHORS = "the authors' code"
CELLS = 7  # the Fine features' height and width; published code asks for clips of 224 x 224
WIDTHS = {"layer1": 24, "layer2": 48, "layer3": 96, "layer4": 192, "conv5": 432}


def rows(reference: Path | None, quick: bool) -> list[Row]:
    """The Coarse stream on stored Fine features."""
    folder = repository(reference, REPOSITORY)
    frames, positions = (8, 12) if quick else (64, 64)
    with running():
        return [coarse_stream(folder, frames, positions, runs=1 if quick else 5)]


def coarse_stream(folder: Path | None, frames: int, positions: int, *, runs: int) -> Row:
    """A clip with stored Fine features: logits of every frame."""
    theirs = None if folder is None else published(folder)
    plain = ours(theirs)
    prepared = folded(plain)
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(1, 3, frames, 224, 224, generator=generator)
    fine = {
        name: torch.randn(1, width, positions, CELLS, CELLS, generator=generator).abs()
        for name, width in WIDTHS.items()
    }
    mask = torch.ones(1, positions)
    features = FineFeatures(StageFeatures(*fine.values()), mask, torch.zeros(1))

    @torch.inference_mode()
    def detect(network: nn.Module = prepared) -> Tensor:
        batch = clip.contiguous(memory_format=torch.channels_last_3d)
        return network(batch, features).logits

    agree(detect(), detect(plain))
    other = None
    if theirs is not None:
        # The clip's start, its frames, the Fine positions and the step between clips.
        place = torch.tensor([[0.0, frames, positions, 1.0]])
        other = torch.inference_mode()(lambda: theirs([clip, fine, mask, 0, place]))
        agree(detect(), other())
    ours_seconds, other_seconds = alternate(detect, other, runs=runs)
    return Row(
        what="Coarse stream with Multi-stage Fusion: one clip",
        sizes=f"1 x {frames} x 224 x 224, {positions} Fine positions",
        ours=ours_seconds,
        other=other_seconds,
        other_name=AUTHORS,
        target=6.0,
        ours_memory=peak_memory(detect),
        other_memory=None if other is None else peak_memory(other),
        note=absent(REPOSITORY) if other is None else "logits equal to 1e-4",
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


def ours(theirs: nn.Module | None) -> CoarseFine:
    """Our network; with the authors' weights where there are any."""
    if theirs is not None:
        network, _ = coarse_fine.from_published(theirs.state_dict())
    else:
        network = CoarseFineConfig(fine_stream=False).build(157)
    return network.to(memory_format=torch.channels_last_3d).eval()  # type: ignore[call-overload]
