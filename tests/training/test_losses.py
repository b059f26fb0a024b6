"""The loss is the published one, whatever the padding; the schedule is the recipe's."""

import pytest
import torch
import torch.nn.functional as F

from actline.training.frame_losses import at_label_times, detection_loss
from actline.training.recipe import OptimizerConfig
from actline.training.schedule import learning_rate_factor


def test_loss_equals_the_published_form_on_probabilities():
    logits = torch.randn(3, 4, 10, dtype=torch.float32)
    labels = (torch.rand(3, 4, 10) > 0.7).float()
    mask = torch.ones(3, 10)
    mask[1, 6:] = 0
    labels = labels * mask.unsqueeze(1)
    # As the authors write it: probabilities times mask, sums over valid frames and classes.
    probabilities = logits.sigmoid() * mask.unsqueeze(1)
    clip = F.binary_cross_entropy(probabilities.amax(2), labels.amax(2))
    frame = F.binary_cross_entropy(probabilities, labels, reduction="sum") / (mask.sum() * 4)
    assert detection_loss(logits, labels, mask) == pytest.approx(
        float((clip + frame) / 2), rel=1e-5
    )


def test_padding_changes_neither_loss_nor_gradient():
    logits = torch.randn(2, 3, 8, requires_grad=True)
    labels = (torch.rand(2, 3, 8) > 0.5).float()
    loss = detection_loss(logits, labels, torch.ones(2, 8))
    (gradient,) = torch.autograd.grad(loss, logits)
    padded = F.pad(logits.detach(), (0, 5), value=9.0).requires_grad_()
    mask = F.pad(torch.ones(2, 8), (0, 5))
    padded_loss = detection_loss(padded, F.pad(labels, (0, 5)), mask)
    (padded_gradient,) = torch.autograd.grad(padded_loss, padded)
    assert torch.allclose(loss, padded_loss)
    assert torch.allclose(F.pad(gradient, (0, 5)), padded_gradient)


def test_extreme_logits_give_a_finite_loss():
    logits = torch.tensor([[[1e4, -1e4]]])
    assert torch.isfinite(detection_loss(logits, torch.tensor([[[0.0, 1.0]]]), torch.ones(1, 2)))


def test_logits_keep_their_times_among_finer_labels():
    logits = torch.arange(4.0).view(1, 1, 4)
    at_labels = at_label_times(logits, 12, "times")
    assert torch.allclose(at_labels[0, 0, ::3], torch.arange(4.0))
    assert torch.allclose(at_labels[0, 0, :10], torch.arange(10.0) / 3)
    assert at_label_times(logits, 12, "corners")[0, 0, -1] == 3


def test_learning_rate_falls_at_milestones_and_warms_up():
    config = OptimizerConfig(lr=1.0, milestones=(2, 4), warmup_steps=5)
    factors = [learning_rate_factor(config, step, epoch=step / 10, epochs=6) for step in range(60)]
    assert factors[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert factors[19] == pytest.approx(1)
    assert factors[20] == pytest.approx(0.1)
    assert factors[40] == pytest.approx(0.01)


def test_a_cosine_warm_up_is_slow_at_first_and_ends_at_the_full_rate():
    config = OptimizerConfig(lr=1.0, warmup_steps=4, warmup="cosine")
    factors = [learning_rate_factor(config, s, epoch=s / 10, epochs=1) for s in range(6)]
    assert factors == pytest.approx([0.1464466, 0.5, 0.8535534, 1.0, 1.0, 1.0])


def test_cosine_schedule_ends_near_zero():
    config = OptimizerConfig(lr=1.0, schedule="cosine")
    first, last = (
        learning_rate_factor(config, step, epoch=step / 10, epochs=2) for step in (0, 19)
    )
    assert first == 1
    assert last < 0.01
