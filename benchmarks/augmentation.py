"""SSDet's volume augmentations against its authors' code, and against a training step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from actline.models.x3d import X3D_S
from actline.pretraining.augmentation import VolumeAugmentation, augment
from actline.pretraining.volume_freeze import LabelledClip, label_frames
from benchmarks.apart import apart
from benchmarks.measure import Row, alternate, compared
from benchmarks.published import absent, load, repository, running

REPOSITORY = "SSDet"
CLASSES = 400


def rows(reference: Path | None, quick: bool, device: torch.device) -> list[Row]:
    """All three augmentations on one batch, and what they add to a step."""
    folder = repository(reference, REPOSITORY)
    sizes = (2, 3, 8, 32, 32) if quick else (8, 3, 32, 160, 160)
    with running(device):
        return [against_authors(folder, sizes, device), against_step(sizes, device)]


def against_authors(folder: Path | None, sizes: tuple[int, ...], device: torch.device) -> Row:
    """Volume Freeze, MixUp and CutMix, drawn at random as in training."""
    everything = VolumeAugmentation(probability=1.0)
    batch = seeded(sizes, device)
    generator = torch.Generator().manual_seed(0)

    def ours() -> LabelledClip:
        return augment(batch, settings=everything, generator=generator)

    if folder is not None:
        check(batch, published(folder).eval())
    with apart(their_augmentations, folder, sizes, device) as other:
        return compared(
            ours,
            other,
            what="SSDet's augmentations, all three",
            sizes="x".join(map(str, sizes)),
            other_name="the authors' code",
            target=3.0,
            note=absent(REPOSITORY)
            if other is None
            else "pixels, labels and weights of the form for evaluation to 1e-5",
            device=device,
        )


def their_augmentations(
    folder: Path, sizes: tuple[int, ...], device: torch.device
) -> Callable[[], Any]:
    """The same by the authors' network, which writes into what it is given."""
    batch = seeded(sizes, device)
    network, per_frame = published(folder), batch.labels[0]
    return lambda: network.perform_aug(batch.clip, per_frame)


def published(folder: Path) -> Any:
    """The authors' network, all three augmentations on, in training mode; they use no weights."""
    network = load(folder, "x3d").generate_model(
        x3d_version="S", n_classes=CLASSES, n_input_channels=3, base_bn_splits=1, task="loc"
    )
    network.AUG_SWITCH = torch.zeros(3)
    return network


def seeded(sizes: tuple[int, ...], device: torch.device) -> LabelledClip:
    """Clips with a class each; drawn on the CPU, so that every device sees the same."""
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(sizes, generator=generator)
    labels = torch.randint(1, CLASSES + 1, sizes[:1], generator=generator)
    return label_frames(clip.to(device), labels=labels)


def check(batch: LabelledClip, network: Any) -> None:
    """Raise unless the forms for evaluation, which draw nothing, are equal."""
    expected = network.perform_aug(batch.clip.clone(), batch.labels[0].clone())
    ours = augment(batch, settings=VolumeAugmentation(), generator=None)
    torch.testing.assert_close(ours.clip, expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.labels, expected[1])
    torch.testing.assert_close(ours.weights, expected[2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.support, expected[3], check_dtype=False)


def against_step(sizes: tuple[int, ...], device: torch.device) -> Row:
    """The published probabilities beside an X3D-S training step on the same batch."""
    network = X3D_S.build(CLASSES + 1).train().to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    batch = seeded(sizes, device)
    generator = torch.Generator().manual_seed(0)

    def ours() -> LabelledClip:
        return augment(batch, settings=VolumeAugmentation(probability=1.0), generator=generator)

    def step() -> None:
        optimizer.zero_grad()
        logits = network(batch.clip)
        F.cross_entropy(logits, batch.labels[0]).backward()
        optimizer.step()

    # A step takes half a minute on two cores: one is enough for a ratio in the hundreds.
    seconds, _ = alternate(ours, None, device=device)
    other_seconds, _ = alternate(step, None, runs=1, device=device)
    return Row(
        what="SSDet's augmentations within a training step",
        sizes="x".join(map(str, sizes)),
        ours=seconds,
        other=other_seconds,
        other_name="an X3D-S step without them",
        target=20.0,
        note="all three on every batch; the published probability of each is a half",
    )
