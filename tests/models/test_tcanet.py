"""TCANet equals its authors' numbers, and what pads a batch changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from actline.errors import CheckpointError
from actline.features.snippets import SnippetFeatures
from actline.models.boundary_regressor import (
    FRAME_SCALE,
    FRAME_SCALE_TRAINING,
    TemporalBoundaryRegressor,
    boundary_offsets,
    middles_of_parts,
    moved_boundaries,
    moved_segment,
    sample_features,
    segment_offsets,
)
from actline.models.lgte import LocalGlobalTemporalEncoder
from actline.models.published import tcanet
from actline.models.published.tcanet import SCORED_BY
from actline.models.tcanet import TCANetConfig
from actline.timeline.proposals import Proposals

SMALL = TCANetConfig(
    channels=8,
    width=16,
    feedforward=8,
    heads=4,
    window=3,
    frame_width=8,
    segment_width=8,
    start_samples=4,
    action_samples=8,
    end_samples=4,
    snippet_interval=0.5,
)


@torch.inference_mode()
def test_encoding_proposals_and_overlaps_equal_the_authors(goldens, assert_golden):
    network = tcanet.from_published(goldens.state("tcanet"))
    config = network.config
    network.eval()
    assert config == TCANetConfig(scored_by=2)
    stored = goldens.arrays("tcanet")
    start, end = torch.from_numpy(stored["start"]), torch.from_numpy(stored["end"])
    encoded = network.encode(goldens.normal("tca_feat", 1, 2304, 200))
    assert_golden(encoded.features[:, :16], stored["encoded"])
    stages = network.refine(encoded, torch.stack((start, end), dim=2))
    for number, stage in enumerate(stages, start=1):
        assert_golden(stage.refined[0], stored[f"proposals{number}"])
        assert_golden(stage.iou[0], stored[f"iou{number}"])


def test_scores_of_a_converted_network_are_those_of_the_released_post_processing(goldens):
    """`ori_score * preds_iou3`, where "3" is the second of three; boundaries are the last's."""
    network = tcanet.from_published(goldens.state("tcanet"))
    stored = goldens.arrays("tcanet")
    start, end = (stored[name][0].astype(np.float64) for name in ("start", "end"))
    score = np.linspace(1.0, 0.5, len(start))
    features = SnippetFeatures(goldens.normal("tca_feat", 1, 2304, 200)[0], 8 / 15, 200 * 8 / 15)
    given = Proposals(start, end, score)
    moved = stored["proposals3"].clip(max=features.duration)
    for scored_by, overlap in ((2, stored["iou2"]), (1, stored["iou1"]), (None, stored["iou3"])):
        if scored_by != SCORED_BY:
            network.config = replace(network.config, scored_by=scored_by)
        found = network.eval().stage()(features, given)
        wanted = score * overlap
        kept = moved[:, 1] > moved[:, 0]
        order = np.argsort(-wanted[kept], kind="stable")
        np.testing.assert_allclose(found.score, wanted[kept][order], rtol=1e-3)
        np.testing.assert_allclose(found.start, moved[kept][order, 0], rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="scored_by is 4, but there are 3 stages"):
        TCANetConfig(scored_by=4).build()


def test_a_file_with_attention_masks_tells_window_and_padding(goldens):
    state = {f"module.{name}": tensor for name, tensor in goldens.state("tcanet").items()}
    near = torch.ones(20, 20, dtype=torch.bool).tril(3).triu(-3)  # three on either side
    seen = near[None].repeat(4, 1, 1)
    mask = torch.cat([~seen, torch.zeros(4, 20, 20, dtype=torch.bool)])[None].float()
    for layer in range(2):
        state[f"module.lgtes.{layer}.self_atten.mask_matrix"] = mask
    config = tcanet.from_published(state, snippet_interval=0.25).config
    assert config == TCANetConfig(window=7, padded_length=20, snippet_interval=0.25, scored_by=2)


def test_a_checkpoint_of_another_model_is_refused(goldens):
    with pytest.raises(CheckpointError, match="--from"):
        tcanet.from_published(goldens.state("bmn"))


@settings(max_examples=15, deadline=None)
@given(length=st.integers(1, 14), padding=st.integers(1, 9), window=st.integers(1, 9))
def test_padding_does_not_change_a_valid_feature(length: int, padding: int, window: int):
    torch.manual_seed(length)
    layer = LocalGlobalTemporalEncoder(8, heads=4, window=window, feedforward=8, dropout=0.1).eval()
    features = torch.randn(2, 8, length)
    padded = torch.cat([features, 100 * torch.randn(2, 8, padding)], dim=2)
    mask = (torch.arange(length + padding) < length).expand(2, -1)
    with torch.inference_mode():
        output = layer(padded, mask)
        torch.testing.assert_close(output[..., :length], layer(features))
        assert output.isfinite().all()


@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
def test_a_video_in_a_padded_batch_is_refined_as_alone(kind):
    torch.manual_seed(0)
    network = SMALL.build().eval()
    lengths = [20, 13, 1]
    videos = [torch.randn(1, 8, length) for length in lengths]
    padded = torch.cat([F.pad(video, (0, 20 - video.shape[2]), value=7.0) for video in videos])
    mask = (torch.arange(20) < torch.tensor(lengths).unsqueeze(1)).to(kind)
    start = torch.rand(3, 5) * 6
    proposals = torch.stack((start, start + torch.rand(3, 5) * 4), dim=2)
    with torch.inference_mode():
        together = network(padded, proposals, mask=mask)
        for index, video in enumerate(videos):
            alone = network(video, proposals[index : index + 1])
            for ours, reference in zip(together, alone, strict=True):
                for one, other in zip(ours, reference, strict=True):
                    torch.testing.assert_close(one[index], other[0], atol=1e-5, rtol=1e-4)


def test_published_padding_lets_zeros_take_part():
    torch.manual_seed(0)
    network = replace(SMALL, padded_length=24).build().eval()
    plain = SMALL.build().eval()
    plain.load_state_dict(network.state_dict())
    features = torch.randn(2, 8, 20)
    mask = (torch.arange(20) < torch.tensor([[20], [13]])).float()
    proposals = torch.tensor([[[1.0, 4.0]], [[2.0, 6.0]]])
    filled = F.pad(features * mask.unsqueeze(1), (0, 4))
    with torch.inference_mode():
        published = network(features, proposals, mask=mask)[-1].refined
        torch.testing.assert_close(published, plain(filled, proposals)[-1].refined)
        assert not torch.allclose(published, plain(features, proposals, mask=mask)[-1].refined)


def test_half_of_the_heads_see_a_window_and_half_everything():
    torch.manual_seed(0)
    layer = LocalGlobalTemporalEncoder(8, heads=4, window=3, feedforward=8, dropout=0.0)
    attention = layer.attention
    features = torch.randn(1, 11, 8, requires_grad=True)
    with torch.no_grad():
        attention.project_out.weight.copy_(torch.eye(8))
    output = attention(features)
    reach = [
        torch.autograd.grad(output[0, 5, part].sum(), features, retain_graph=True)[0]
        .abs()
        .sum(dim=2)
        .gt(0)[0]
        for part in (slice(0, 4), slice(4, 8))
    ]
    assert reach[0].nonzero().flatten().tolist() == [4, 5, 6]
    assert reach[1].all()


def test_heads_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match="even"):
        LocalGlobalTemporalEncoder(9, heads=3, window=9, feedforward=8, dropout=0.1)
    with pytest.raises(ValueError, match="multiples of 4"):
        TCANetConfig(start_samples=6).build()


def test_sampling_equals_grid_sample_without_aligned_corners():
    torch.manual_seed(0)
    features = torch.randn(2, 3, 9, dtype=torch.float64)
    places = torch.rand(2, 40, dtype=torch.float64) * 10 - 1
    grid = torch.stack(((places + 0.5) / 9 * 2 - 1, torch.zeros_like(places)), dim=-1)
    reference = F.grid_sample(features[:, :, None], grid[:, None], align_corners=False)[:, :, 0]
    torch.testing.assert_close(sample_features(features, places), reference.transpose(1, 2))


def test_gradients_of_sampling_are_right_for_features_and_places():
    torch.manual_seed(0)
    features = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    places = torch.tensor([[-0.4, 0.3, 2.6], [4.2, 3.7, 1.1]], dtype=torch.float64)
    assert torch.autograd.gradcheck(sample_features, (features, places.requires_grad_()))


def test_places_are_the_middles_of_equal_parts():
    torch.testing.assert_close(
        middles_of_parts(torch.tensor([0.0]), torch.tensor([8.0]), 4),
        torch.tensor([[1.0, 3.0, 5.0, 7.0]]),
    )
    config = TCANetConfig(
        width=8, start_samples=4, action_samples=8, end_samples=4, snippet_interval=0.5
    )
    regressor = config.build().regressors[0]
    assert isinstance(regressor, TemporalBoundaryRegressor)
    # From 2 s to 6 s is from 4 to 12 snippets, its contexts 0 to 4 and 12 to 16; the video of 14
    # snippets cuts the last.
    places = regressor.places(torch.tensor([[[2.0, 6.0]]]), torch.tensor([14]))
    expected = [0.5, 1.5, 2.5, 3.5, *(4.5 + i for i in range(8)), 12.25, 12.75, 13.25, 13.75]
    torch.testing.assert_close(places[0, 0] + 0.5, torch.tensor(expected))


@pytest.mark.parametrize("training", [False, True])
def test_proposals_at_the_borders_or_of_no_length_give_finite_output(training: bool):
    torch.manual_seed(0)
    network = SMALL.build().train(training)
    proposals = torch.tensor(
        [
            [
                [0.0, 0.0],
                [0.0, 10.0],
                [10.0, 10.0],
                [9.9, 10.5],
                [30.0, 40.0],
                [-3.0, 2.0],
                [5.0, 5.0],
            ]
        ]
    )
    features = torch.randn(1, 8, 20, requires_grad=True)
    stages = network(features, proposals)
    assert all(part.isfinite().all() for stage in stages for part in stage)
    torch.stack([stage.refined.sum() + stage.iou.sum() for stage in stages]).sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert all((stage.refined >= 0).all() for stage in stages)
    # Nothing can be measured in widths of a proposal without one: it stays where it is.
    torch.testing.assert_close(stages[-1].refined[0, -1], proposals[0, -1])


def test_no_proposal_and_no_valid_feature_are_no_error():
    network = SMALL.build().eval()
    assert network(torch.randn(2, 8, 6), torch.zeros(2, 0, 2))[-1].refined.shape == (2, 0, 2)
    stages = network(torch.randn(1, 8, 6), torch.tensor([[[0.0, 1.0]]]), mask=torch.zeros(1, 6))
    assert stages[-1].refined.isfinite().all()


def test_it_runs_in_mixed_precision_and_learns_there():
    torch.manual_seed(0)
    network = SMALL.build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        stages = network(
            torch.randn(1, 8, 12), torch.tensor([[[1.0, 4.0]]]), mask=torch.ones(1, 12)
        )
        loss = torch.stack([stage.refined.sum() + stage.iou.sum() for stage in stages]).sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_frame_level_offsets_move_further_in_training():
    torch.manual_seed(0)
    network = replace(SMALL, dropout=0.0).build()
    features, proposals = torch.randn(1, 8, 20), torch.tensor([[[2.0, 6.0]]])
    moved = {}
    for training, scale in ((True, FRAME_SCALE_TRAINING), (False, FRAME_SCALE)):
        first = network.train(training)(features, proposals)[0]
        moved[training] = 2 * first.refined - moved_boundaries(
            proposals, first.frame_offsets * scale
        )
    torch.testing.assert_close(moved[True], moved[False])


@given(
    start=st.floats(0, 50), width=st.floats(0.1, 50), move=st.floats(-5, 5), grow=st.floats(0.2, 5)
)
def test_offsets_lead_from_proposals_to_targets(
    start: float, width: float, move: float, grow: float
):
    proposal = torch.tensor([start, start + width], dtype=torch.float64)
    target = torch.tensor([start + move, start + move + width * grow], dtype=torch.float64)
    moved = moved_boundaries(proposal, boundary_offsets(proposal, target))
    torch.testing.assert_close(moved, target)
    torch.testing.assert_close(moved_segment(proposal, segment_offsets(proposal, target)), target)
