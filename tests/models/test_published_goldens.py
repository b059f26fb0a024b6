"""Our networks, loaded with published checkpoints, give the published numbers."""

import pytest
import torch

from actline.errors import CheckpointError
from actline.models.fusion import FineFeatures, gaussian_alignment, pool_in_space
from actline.models.published import coarse_fine, pytorchvideo, x3d_multigrid
from actline.models.x3d import StageFeatures

FINE_CHANNELS = {"layer1": 24, "layer2": 48, "layer3": 96, "layer4": 192, "conv5": 432}


@torch.inference_mode()
def test_fine_stream_logits_and_features_equal_the_authors(goldens, assert_golden):
    network = x3d_multigrid.from_published(goldens.state("x3d_m_fine"), per_frame=True)
    network.eval()
    clip = goldens.normal("x3d_m_fine", 2, 3, 8, 112, 112)
    stored = goldens.arrays("x3d_m_fine")
    assert_golden(network(clip), stored["logits"])
    pooled = pool_in_space(network.features(clip), 7)
    for name, stage in zip(FINE_CHANNELS, pooled, strict=True):
        assert_golden(stage[:1, :6], stored[f"feat_{name}"])


@torch.inference_mode()
def test_x3d_xl_clip_logits_equal_the_authors(goldens, assert_golden):
    network = x3d_multigrid.from_published(goldens.state("x3d_xl_class"), per_frame=False)
    network.eval()
    logits = network(goldens.normal("x3d_xl_class", 1, 3, 4, 96, 96))
    assert_golden(logits.unsqueeze(2), goldens.arrays("x3d_xl_class")["logits"])


@torch.inference_mode()
def test_pytorchvideo_x3d_logits_equal_the_hub_model(goldens, assert_golden):
    network = pytorchvideo.from_published(goldens.state("pytorchvideo_x3d_m"))
    network.eval()
    logits = network(goldens.normal("ptv_x3d_m", 1, 3, 16, 224, 224))
    assert_golden(logits, goldens.arrays("pytorchvideo_x3d_m")["logits"])


@torch.inference_mode()
def test_coarse_fine_equals_the_authors_at_every_stage(goldens, assert_golden):
    network = coarse_fine.from_published(goldens.state("coarse_fine"))
    network.eval()
    stored = goldens.arrays("coarse_fine")
    mask = torch.ones(2, 40)
    mask[1, 30:] = 0
    features = FineFeatures(
        StageFeatures(
            *(goldens.normal(f"feat_{k}", 2, c, 40, 7, 7).abs() for k, c in FINE_CHANNELS.items())
        ),
        mask,
        start=torch.tensor([0.0, 4.0]),
    )
    clip = goldens.normal("coarse", 2, 3, 32, 224, 224)

    output = network(clip, features)
    assert_golden(output.positions, stored["cdf"])
    centres = output.positions * 32 + features.start.unsqueeze(1)
    assert_golden(gaussian_alignment(centres, mask), stored["gauss"])
    assert_golden(output.logits, stored["logits"])

    coarse = network.coarse
    pooled, _ = coarse.pool(coarse.trunk.stage1(coarse.trunk.stem(clip)))
    assert_golden(pooled.mean(dim=(3, 4)), stored["pooled_mean"])


def test_a_checkpoint_of_another_model_is_refused_in_one_line(goldens):
    with pytest.raises(CheckpointError, match="--from"):
        pytorchvideo.from_published(goldens.state("x3d_m_fine"))
    with pytest.raises(CheckpointError, match="not one of"):
        x3d_multigrid.from_published(goldens.state("coarse_fine"), per_frame=True)


def test_an_incomplete_checkpoint_is_refused_and_names_what_it_lacks(goldens):
    state = goldens.state("x3d_m_fine")
    del state["layer3.4.conv2.weight"]
    with pytest.raises(CheckpointError, match=r"lacks 1 tensors.*stage3\.4\.depthwise"):
        x3d_multigrid.from_published(state, per_frame=True)
