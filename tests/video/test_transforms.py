"""Training clips are cropped and mirrored as published, the same way for all their frames."""

import numpy as np
import pytest
import torch

from actline.video.transforms import TestTransform, TrainTransform, normalize, to_clip

MEAN, STD = (0.45, 0.4, 0.35), (0.225, 0.2, 0.25)


def places(height: int, width: int, frames: int = 3) -> torch.Tensor:
    """A clip (3, T, H, W) whose channels are row, column and frame."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pictures = [torch.stack([rows, columns, torch.full_like(rows, t)]) for t in range(frames)]
    return torch.stack(pictures, 1).to(torch.uint8)


def pixels(clip: torch.Tensor) -> torch.Tensor:
    """Undo the normalization."""
    mean, std = (torch.tensor(x).view(3, 1, 1, 1) for x in (MEAN, STD))
    return ((clip * std + mean) * 255).round()


def train(**changes) -> TrainTransform:
    settings = {"size": 32, "short_sides": (40, 50), "flip": 0.5, "mean": MEAN, "std": STD}
    return TrainTransform(**{**settings, **changes})


def test_frames_become_a_clip_without_copying():
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), np.uint8)
    clip = to_clip(frames)
    assert clip.shape == (3, 5, 4, 6)
    assert torch.equal(clip[1, 2], torch.from_numpy(frames[2, ..., 1]))
    assert clip.data_ptr() == torch.from_numpy(frames).data_ptr()


def test_normalization_is_by_hand_the_same():
    clip = torch.full((3, 1, 1, 1), 200, dtype=torch.uint8)
    expected = [(200 / 255 - m) / s for m, s in zip(MEAN, STD, strict=True)]
    assert np.allclose(normalize(clip, MEAN, STD).flatten(), expected, atol=1e-6)


def test_all_frames_have_the_same_square_and_mirroring():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        crop = pixels(train()(places(40, 60), generator))
        assert crop.shape == (3, 3, 32, 32)
        row, column, frame = crop
        assert (row == row[0]).all()
        assert (column == column[0]).all()
        assert (row[0, :, 0].diff() == 1).all()
        assert (column[0, 0].diff().abs() == 1).all()
        assert frame[:, 0, 0].tolist() == [0, 1, 2]


def test_every_place_both_mirrorings_and_both_sizes_occur():
    generator = torch.Generator().manual_seed(0)
    transform = train()
    seen = set()
    for _ in range(250):
        row, column, _ = pixels(transform(places(34, 35, frames=1), generator))
        seen.add((int(row.min()), int(column.min()), bool(column[0, 0, 0] > column[0, 0, 1])))
    assert seen == {(y, x, mirrored) for y in range(3) for x in range(4) for mirrored in (0, 1)}
    drawn = [transform.short_side(generator) for _ in range(400)]
    assert 150 < drawn.count(40) < 250
    assert drawn.count(40) + drawn.count(50) == 400


@pytest.mark.parametrize(("chance", "mirrored"), [(0.0, {False}), (1.0, {True})])
def test_mirroring_can_be_turned_off_and_on(chance, mirrored):
    generator = torch.Generator().manual_seed(0)
    crops = [pixels(train(flip=chance)(places(40, 60), generator)) for _ in range(30)]
    assert {bool(crop[1, 0, 0, 0] > crop[1, 0, 0, 1]) for crop in crops} == mirrored


def test_the_same_generator_gives_the_same_clip():
    clip = places(40, 60)
    first, second = (train()(clip, torch.Generator().manual_seed(seed)) for seed in (7, 7))
    assert torch.equal(first, second)


@pytest.mark.parametrize(("height", "width"), [(32, 57), (57, 32), (33, 32), (32, 32)])
def test_testing_takes_the_centre(height, width):
    crop = pixels(TestTransform(size=32, mean=MEAN, std=STD)(places(height, width)))
    row, column, _ = crop
    assert crop.shape == (3, 3, 32, 32)
    assert (int(row.min()), int(column.min())) == ((height - 32) // 2, (width - 32) // 2)


@pytest.mark.parametrize(("height", "width"), [(20, 60), (60, 20), (16, 16), (31, 31)])
def test_clips_that_are_too_small_are_enlarged(height, width):
    clip = places(height, width)
    for crop in (
        train()(clip, torch.Generator().manual_seed(0)),
        TestTransform(size=32, mean=MEAN, std=STD)(clip),
    ):
        assert crop.shape == (3, 3, 32, 32)
        assert torch.isfinite(crop).all()
    whole = pixels(TestTransform(size=32, mean=MEAN, std=STD)(clip))
    assert whole[2, :, 0, 0].tolist() == [0, 1, 2]  # frames are not mixed
