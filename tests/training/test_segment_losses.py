"""Losses and targets of BMN and TCANet: the published numbers, and what the definitions say."""

import math
from dataclasses import replace

import pytest
import torch

from actline.models.bmn import BMNConfig, BMNOutput
from actline.models.boundary_regressor import Refinement
from actline.models.published import tcanet
from actline.training.bmn_losses import (
    BMNTargets,
    assign_targets,
    balanced_logistic,
    bmn_loss,
    drawn,
    regression_weights,
)
from actline.training.overlap import overlap_of
from actline.training.tcanet_losses import overlap_loss, refinement_loss


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- BMN's targets


def test_targets_of_an_activity_on_snippet_borders():
    # 10 snippets of 2 s; an activity from 4 s to 10 s is snippets 2 to 4.
    targets = assign_targets(torch.tensor([[4.0, 10.0]]), temporal_scale=10, duration=20.0)
    # The start's region is 1.5 snippets around 2: it covers all around 1, 2 and 3.
    assert targets.start.tolist() == [0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert targets.end.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert targets.overlap[2, 4] == 1
    assert targets.overlap[2, 3] == pytest.approx(2 / 3)
    assert targets.overlap[0, 9] == pytest.approx(0.3)
    assert targets.overlap[4, 6] == pytest.approx(1 / 5)
    assert targets.overlap[5, 9] == 0
    assert targets.overlap[4, 2] == 0


def test_the_largest_of_several_activities_counts():
    segments = torch.tensor([[0.0, 3.0], [2.25, 4.0]])
    both = assign_targets(segments, temporal_scale=8, duration=8.0)
    one, other = (assign_targets(s, temporal_scale=8, duration=8.0) for s in segments.split(1))
    for ours, first, second in zip(both, one, other, strict=True):
        torch.testing.assert_close(ours, torch.maximum(first, second))
    # 2.25 - 1.5 = 0.75 to 3.75: of what lies around 1 a part of 0.75, around 4 a part of 0.25.
    assert other.start.tolist() == [0, 0.75, 1, 1, 0.25, 0, 0, 0]


def test_activities_are_clipped_to_the_video_and_those_outside_left_out():
    inside = assign_targets(torch.tensor([[0.5, 1.0]]), temporal_scale=6)
    clipped = assign_targets(
        torch.tensor([[5.0, 30.0], [12.0, 13.0], [3.0, 3.0]]), temporal_scale=6, duration=10.0
    )
    for ours, expected in zip(clipped, inside, strict=True):
        torch.testing.assert_close(ours, expected)


def test_a_video_without_activities_has_zero_targets():
    targets = assign_targets(torch.zeros(0, 2), temporal_scale=5, duration=9.0)
    assert [tuple(part.shape) for part in targets] == [(5,), (5,), (5, 5)]
    assert all((part == 0).all() for part in targets)


# --- BMN's losses


def test_balanced_logistic_is_half_positives_and_half_negatives():
    loss = balanced_logistic(
        torch.tensor([0.8, 0.4, 0.1, 0.1]), torch.tensor([True, False, False, False])
    )
    expected = -0.5 * math.log(0.8) - 0.5 * (math.log(0.6) + 2 * math.log(0.9)) / 3
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_as_many_pairs_of_middle_and_of_low_overlap_count_as_of_high():
    T = 60
    possible = torch.ones(T, T, dtype=torch.bool).triu()
    overlap = torch.where(possible, torch.linspace(1, 0, T), 0.0).expand(2, T, T)
    weights = regression_weights(overlap, possible, generator=seeded())
    bands = overlap > 0.7, (overlap <= 0.7) & (overlap > 0.3), (overlap <= 0.3) & (overlap > 0)
    high, middle, low = (weights[band].sum().item() for band in bands)
    assert high == bands[0].sum()
    assert middle == pytest.approx(high, rel=0.15)
    assert low == pytest.approx(high, rel=0.15)
    assert weights[overlap == 0].sum() == 0
    again = regression_weights(overlap, possible, generator=seeded())
    assert torch.equal(weights, again)
    assert not torch.equal(weights, regression_weights(overlap, possible, generator=seeded(1)))


def test_a_smaller_band_counts_in_full_and_as_published_lets_everything_count():
    possible = torch.ones(4, 4, dtype=torch.bool).triu()
    overlap = torch.where(possible, 0.8, 0.0)
    overlap[0, 0], overlap[0, 1] = 0.5, 0.0
    weights = regression_weights(overlap[None], possible)[0]
    assert torch.equal(weights, (overlap > 0).float())
    published = regression_weights(overlap[None], possible, published_overflow=True)[0]
    assert torch.equal(published, (overlap > 0.7) + 2.0)


def test_drawing_takes_nothing_of_nothing():
    band = torch.ones(5, dtype=torch.bool)
    assert not drawn(band, torch.tensor(0)).any()
    assert not drawn(~band, torch.tensor(3)).any()
    assert drawn(band, torch.tensor(9)).all()


@pytest.mark.parametrize("published_overflow", [False, True])
def test_bmn_losses_without_any_activity_are_finite_and_teach(published_overflow: bool):
    torch.manual_seed(0)
    network = BMNConfig(8, 6, width=8, pair_width=8, map_width=8, samples=4).build()
    none = assign_targets(torch.zeros(0, 2), temporal_scale=6)
    targets = BMNTargets(*(part.expand(2, *part.shape) for part in none))
    losses = bmn_loss(network(torch.randn(2, 8, 6)), targets, published_overflow=published_overflow)
    assert all(loss.isfinite() for loss in losses)
    assert losses.regression == 0
    losses.total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert network.start[0].weight.grad.abs().sum() > 0


def test_bmn_losses_of_certain_predictions_are_finite():
    ones = BMNOutput(torch.ones(1, 4), torch.ones(1, 4), torch.ones(1, 2, 4, 4).triu())
    for value in (0.0, 1.0):
        targets = BMNTargets(
            torch.full((1, 4), value), torch.full((1, 4), value), torch.full((1, 4, 4), value)
        )
        assert all(loss.isfinite() for loss in bmn_loss(ones, targets))


def test_bmn_learns_where_one_activity_is():
    torch.manual_seed(0)
    network = BMNConfig(4, 8, width=16, pair_width=16, map_width=16, samples=8).build()
    features = torch.zeros(1, 4, 8)
    features[0, 1, 3:6] = 3.0
    one = assign_targets(torch.tensor([[3.0, 6.0]]), temporal_scale=8, duration=8.0)
    targets = BMNTargets(*(part[None] for part in one))
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        bmn_loss(network(features), targets, generator=seeded()).total.backward()
        optimizer.step()
    confidence = network(features).confidence[0].prod(dim=0)
    assert confidence.argmax().item() == 3 * 8 + 5


# --- TCANet's losses


def refinement(proposals: torch.Tensor, iou: torch.Tensor) -> Refinement:
    zeros = torch.zeros_like(proposals)
    return Refinement(proposals, zeros, zeros, iou, proposals)


def test_regression_losses_equal_the_authors(goldens, assert_golden):
    config = tcanet.from_published(goldens.state("tcanet")).config
    network = replace(config, dropout=0.0).build()
    network.load_state_dict(tcanet.from_published(goldens.state("tcanet")).state_dict())
    stored = {key: torch.from_numpy(a) for key, a in goldens.arrays("tcanet_losses").items()}
    proposals = torch.stack((stored["start"], stored["end"]), dim=2)
    targets = torch.stack((stored["gt_start"], stored["gt_end"]), dim=2)
    with torch.inference_mode():  # the network is still training: offsets count in full
        stages = network(goldens.normal("tca_feat_train", 2, 2304, 200), proposals)
        losses = refinement_loss(stages, targets)
    assert_golden(losses.regression, goldens.arrays("tcanet_losses")["rloss"])
    assert losses.overlap.isfinite().all()


def test_overlap_of_proposals_and_their_targets():
    proposals = torch.tensor([[0.0, 4.0], [0.0, 4.0], [0.0, 4.0], [1.0, 1.0]])
    targets = torch.tensor([[2.0, 6.0], [0.0, 4.0], [5.0, 6.0], [1.0, 1.0]])
    torch.testing.assert_close(
        overlap_of(proposals, targets, added=1e-5),
        torch.tensor([1 / 3, 1, 0, 0]),
        atol=1e-5,
        rtol=0,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_overlaps_and_their_gradients_are_those_of_the_published_formulas_to_the_last_bit(dtype):
    # Ends before starts among them, as TCANet's refined proposals may have.
    first, second = (10 * torch.rand(2, 500, 2, generator=seeded(), dtype=dtype)).unbind(0)
    second[:50] = first[:50]
    first.requires_grad_()
    start = torch.maximum(first[..., 0], second[..., 0])
    shared = (torch.minimum(first[..., 1], second[..., 1]) - start).clamp(min=0)
    lengths = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0])
    for ours, published in (
        (overlap_of(first, second, added=1e-5), shared / (lengths - shared + 1e-5)),
        (overlap_of(first, second, least=1e-6), shared / (lengths - shared).clamp(min=1e-6)),
    ):
        assert torch.equal(ours, published)
        gradients = [
            torch.autograd.grad(each.sum(), first, retain_graph=True)[0]
            for each in (ours, published)
        ]
        assert torch.equal(*gradients)


def test_regression_counts_proposals_from_the_threshold_on():
    proposals = torch.tensor([[[0.0, 10.0], [0.0, 10.0], [0.0, 0.0]]])
    targets = torch.tensor([[[0.0, 8.0], [0.0, 4.0], [0.0, 0.0]]])  # overlaps 0.8, 0.4, padding
    stage = refinement(proposals, torch.full((1, 3), 0.5))
    valid = torch.tensor([[True, True, False]])
    losses = refinement_loss([stage], targets, valid=valid, thresholds=[0.5])
    # Offsets of the first: end -0.2; centre -0.1, width log 0.8; smooth L1 is half the square.
    expected = 0.5 * (0.2**2 + 0.1**2 + math.log(0.8) ** 2)
    assert losses.regression.item() == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(losses.total, losses.regression.sum() + losses.overlap.sum())


def test_overlap_loss_takes_all_high_and_as_many_of_the_others():
    actual = torch.cat([torch.full((50,), 0.9), torch.full((500,), 0.4), torch.zeros(500)])[None]
    predicted = torch.zeros_like(actual)
    counted = torch.ones_like(actual, dtype=torch.bool)
    loss = overlap_loss(predicted, actual, counted, threshold=0.5, generator=seeded())
    # About 50 of each: half squares of 0.9, 0.4 and 0, averaged.
    assert loss.item() == pytest.approx(0.5 * (0.81 + 0.16) / 3, rel=0.15)
    again = overlap_loss(predicted, actual, counted, threshold=0.5, generator=seeded())
    assert loss == again


def test_padded_proposals_do_not_change_the_losses():
    torch.manual_seed(0)
    proposals = torch.tensor([[[0.0, 10.0], [2.0, 8.0]]])
    targets = torch.tensor([[[1.0, 9.0], [2.0, 8.5]]])
    iou = torch.tensor([[0.3, 0.6]])
    alone = refinement_loss([refinement(proposals, iou)], targets, thresholds=[0.5])
    stage = refinement(
        torch.cat([proposals, torch.zeros(1, 3, 2)], dim=1),
        torch.cat([iou, torch.full((1, 3), 0.9)], dim=1),
    )
    padded = refinement_loss(
        [stage],
        torch.cat([targets, torch.zeros(1, 3, 2)], dim=1),
        valid=torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0]]),
        thresholds=[0.5],
    )
    for ours, expected in zip(padded, alone, strict=True):
        torch.testing.assert_close(ours, expected)


def test_tcanet_losses_without_a_good_proposal_are_finite():
    torch.manual_seed(0)
    config = tcanet.TCANetConfig(
        channels=8, width=16, feedforward=8, heads=4, frame_width=8, segment_width=8
    )
    network = config.build()
    proposals = torch.tensor([[[0.0, 1.0], [0.0, 0.0], [4.0, 4.0]]])
    targets = torch.tensor([[[3.0, 5.0], [3.0, 5.0], [3.0, 5.0]]])
    losses = refinement_loss(network(torch.randn(1, 8, 12), proposals), targets)
    assert losses.regression.tolist() == [0, 0, 0]
    assert losses.total.isfinite()
    losses.total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
