"""The pretraining loss equals its definition, and the published sum."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actline.pretraining.augmentation import VolumeAugmentation, augment
from actline.pretraining.losses import soft_label_loss
from actline.pretraining.volume_freeze import LabelledClip, label_frames, volume_freeze
from actline.pretraining.volume_mixup import volume_mixup


def augmented(seed: int, *, B: int = 3, T: int = 8, **choices) -> LabelledClip:
    generator = torch.Generator().manual_seed(seed)
    clip = torch.randn(B, 1, T, 2, 9, generator=generator)
    labels = torch.randint(1, 6, (B,), generator=generator)
    return augment(
        label_frames(clip, labels=labels, classes=5),
        settings=VolumeAugmentation(**choices),
        generator=generator,
    )


def random_logits(classes: int, *, seed: int = 0, B: int = 3, T: int = 8) -> Tensor:
    return 3 * torch.randn(B, classes, T, generator=torch.Generator().manual_seed(seed))


def loss_of(logits: Tensor, batch: LabelledClip, **choices) -> Tensor:
    return soft_label_loss(
        logits, labels=batch.labels, weights=batch.weights, support=batch.support, **choices
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), B=st.integers(1, 4), T=st.integers(1, 9))
def test_it_is_the_cross_entropy_with_the_soft_labels(seed, B, T):
    batch = augmented(seed, B=B, T=T, probability=1.0)
    logits = random_logits(6, B=B, T=T)
    soft = (F.one_hot(batch.labels, 6) * batch.weights.unsqueeze(3)).sum(0).transpose(1, 2)
    torch.testing.assert_close(loss_of(logits, batch), F.cross_entropy(logits, soft))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), labels=st.sampled_from(["soft", "hard"]))
def test_averaged_over_supports_it_is_the_published_sum(seed, labels):
    batch = augmented(seed, labels=labels)
    logits = random_logits(6)
    expected = torch.zeros(())
    for label, weight, support in zip(batch.labels, batch.weights, batch.support, strict=True):
        per_frame = F.cross_entropy(logits, label, reduction="none")
        expected = expected + (weight * per_frame).sum() / support.sum()
    torch.testing.assert_close(loss_of(logits, batch, average="support"), expected)


def test_the_averages_differ_for_mixup_alone():
    logits = random_logits(6)
    kinds = [("freeze",), ("cutmix",), ("mixup",)]
    same = []
    for kind in kinds:
        batch = augmented(1, augmentations=kind, probability=1.0)
        averages = [loss_of(logits, batch, average=a).item() for a in ("frames", "support")]
        same.append(math.isclose(*averages, rel_tol=1e-5))
        assert averages[1] > averages[0] * (1 - 1e-5)
    assert same == [True, True, False]


def test_without_a_background_class_frozen_frames_have_no_loss():
    clip = torch.zeros(2, 1, 8, 2, 2)
    batch = volume_freeze(label_frames(clip, labels=torch.tensor([1, 5])), generator=None)
    logits = random_logits(5, B=2).requires_grad_()
    loss = loss_of(logits, batch, background="none")
    loss.backward()
    gradient = logits.grad
    assert gradient is not None
    frozen = batch.labels[0] == 0
    assert frozen.any()
    assert (gradient.transpose(1, 2)[frozen] == 0).all()
    assert (gradient.transpose(1, 2)[~frozen] != 0).any(dim=1).all()
    per_frame = F.cross_entropy(logits, (batch.labels[0] - 1).clamp(min=0), reduction="none")
    torch.testing.assert_close(loss, (per_frame * ~frozen).sum() / 16)


def test_logits_without_end_and_frames_without_support_give_no_nan():
    batch = volume_mixup(
        label_frames(torch.zeros(2, 1, 8, 2, 2), labels=torch.tensor([1, 2])), generator=None
    )
    logits = random_logits(4, B=2)
    logits[:, 3] = -torch.inf  # a class that no frame has
    assert loss_of(logits, batch).isfinite()
    batch = batch._replace(
        weights=torch.zeros_like(batch.weights), support=torch.zeros_like(batch.support)
    )
    assert loss_of(logits, batch) == 0
    assert loss_of(logits, batch, average="support") == 0


def test_half_precision_logits_are_summed_in_full_precision():
    batch = augmented(4)
    logits = random_logits(6)
    assert loss_of(logits.bfloat16(), batch).dtype == torch.float32
    torch.testing.assert_close(
        loss_of(logits.bfloat16(), batch), loss_of(logits, batch), atol=0.05, rtol=0.05
    )


@pytest.mark.parametrize(("background", "highest"), [("class", 4), ("none", 5)])
def test_labels_beyond_the_classes_are_refused(background, highest):
    clip, logits = torch.zeros(2, 1, 8, 2, 2), random_logits(5, B=2)
    fits = label_frames(clip, labels=torch.tensor([1, highest]))
    assert loss_of(logits, fits, background=background).isfinite()
    wrong = label_frames(clip, labels=torch.tensor([1, highest + 1]))
    with pytest.raises(ValueError, match=f"label {highest + 1} is outside 0 to {highest}"):
        loss_of(logits, wrong, background=background)


def test_other_numbers_of_frames_are_refused():
    batch = label_frames(torch.zeros(2, 1, 7, 2, 2), labels=torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="do not fit logits"):
        loss_of(random_logits(5, B=2), batch)
