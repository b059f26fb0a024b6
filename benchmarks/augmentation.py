"""SSDet's volume augmentations against its authors' code, and against a training step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from actline.models.x3d import x3d_s
from actline.pretrain.augmentation import VolumeAugmentation, augment
from actline.pretrain.volume_freeze import LabelledClip, label_frames
from benchmarks.measure import Row, alternate, peak_memory
from benchmarks.published import absent, load, repository, running

REPOSITORY = "SSDet"
CLASSES = 400


def rows(reference: Path | None, quick: bool) -> list[Row]:
    """All three augmentations on one batch, and what they add to a step."""
    folder = repository(reference, REPOSITORY)
    shape = (2, 3, 8, 32, 32) if quick else (8, 3, 32, 160, 160)
    torch.manual_seed(0)
    clip = torch.randn(shape)
    labels = torch.randint(1, CLASSES + 1, shape[:1])
    with running():
        return [
            against_authors(folder, clip, labels),
            against_step(clip, labels),
        ]


def against_authors(folder: Path | None, clip: Tensor, labels: Tensor) -> Row:
    """Volume Freeze, MixUp and CutMix, drawn at random as in training."""
    everything = VolumeAugmentation(probability=1.0)
    batch = label_frames(clip, labels=labels)
    generator = torch.Generator().manual_seed(0)

    def ours() -> LabelledClip:
        return augment(batch, settings=everything, generator=generator)

    other: Callable[[], Any] | None = None
    if folder is not None:
        network = load(folder, "x3d").generate_model(
            x3d_version="S", n_classes=CLASSES, n_input_channels=3, base_bn_splits=1, task="loc"
        )
        network.AUG_SWITCH = torch.zeros(3)  # all three
        per_frame = batch.labels[0]

        def perform() -> Any:
            return network.perform_aug(scratch, scratch_labels)

        # Theirs writes into what it is given: its own copies, and fresh ones for the comparison.
        scratch, scratch_labels = clip.clone(), per_frame.clone()
        check(batch, network.eval())
        network.train()
        other = perform
    seconds, other_seconds = alternate(ours, other)
    return Row(
        what="SSDet's augmentations, all three",
        sizes="x".join(map(str, clip.shape)),
        ours=seconds,
        other=other_seconds,
        other_name="the authors' code",
        target=3.0,
        ours_memory=peak_memory(ours),
        other_memory=None if other is None else peak_memory(other),
        note=absent(REPOSITORY)
        if other is None
        else "pixels, labels and weights of the form for evaluation to 1e-5",
    )


def check(batch: LabelledClip, network: Any) -> None:
    """Raise unless the forms for evaluation, which draw nothing, are equal."""
    expected = network.perform_aug(batch.clip.clone(), batch.labels[0].clone())
    ours = augment(batch, settings=VolumeAugmentation(), generator=None)
    torch.testing.assert_close(ours.clip, expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.labels, expected[1])
    torch.testing.assert_close(ours.weights, expected[2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.support, expected[3], check_dtype=False)


def against_step(clip: Tensor, labels: Tensor) -> Row:
    """The published probabilities beside an X3D-S training step on the same batch."""
    network = x3d_s(CLASSES + 1, per_frame=True).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    batch = label_frames(clip, labels=labels)
    generator = torch.Generator().manual_seed(0)

    def ours() -> LabelledClip:
        return augment(batch, settings=VolumeAugmentation(probability=1.0), generator=generator)

    def step() -> None:
        optimizer.zero_grad()
        logits = network(clip)
        F.cross_entropy(logits, batch.labels[0]).backward()
        optimizer.step()

    # A step takes half a minute on two cores: one is enough for a ratio in the hundreds.
    seconds, _ = alternate(ours, None)
    other_seconds, _ = alternate(step, None, runs=1)
    return Row(
        what="SSDet's augmentations within a training step",
        sizes="x".join(map(str, clip.shape)),
        ours=seconds,
        other=other_seconds,
        other_name="an X3D-S step without them",
        target=20.0,
        note="all three on every batch; the published probability of each is a half",
    )
