"""The volume augmentations equal the published numbers and their definitions, clip by clip."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actline.pretraining.augmentation import VolumeAugmentation, augment, draw_augmentations
from actline.pretraining.volume_cutmix import volume_cutmix
from actline.pretraining.volume_freeze import LabelledClip, label_frames, volume_freeze
from actline.pretraining.volume_mixup import partners, spans, volume_mixup

AUGMENTATIONS = {
    "freeze": volume_freeze,
    "mixup": volume_mixup,
    "cutmix": volume_cutmix,
    "growing": lambda batch, *, generator: volume_cutmix(
        batch, generator=generator, window="growing"
    ),
    "all": lambda batch, *, generator: augment(
        batch, settings=VolumeAugmentation(probability=1.0), generator=generator
    ),
}
sizes = st.tuples(st.integers(1, 5), st.integers(1, 19), st.integers(1, 3), st.integers(1, 35))
seeds = st.integers(0, 2**31)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_batch(B: int, T: int, H: int, W: int, *, seed: int = 0) -> LabelledClip:
    clip = torch.randn(B, 2, T, H, W, generator=generator(seed))
    return label_frames(clip, labels=torch.arange(1, B + 1))


def slow_mixup(batch: LabelledClip, *, seed: int) -> tuple[Tensor, Tensor]:
    """Clip by clip and frame by frame: the mixed clips and the weights of the two labels."""
    B, _, T, _, _ = batch.clip.shape
    draw = generator(seed)
    start, end = (times.tolist() for times in spans(B, T, generator=draw, shortest=0.5))
    partner = partners(B, generator=draw, apart=1).tolist()
    mixed, weights = torch.zeros_like(batch.clip), torch.zeros(2, B, T)
    for b in range(B):
        own, other = (start[0][b], end[0][b]), (start[1][b], end[1][b])
        first, last = max(own[0], other[0]), min(own[1], other[1])
        for t in range(T):
            rise = (t - first + 1) / (last - first + 1)
            dip = abs(t + 1 - (first + last) / 2) / ((last - first + 1) / 2)
            if not own[0] <= t < own[1]:
                alpha = 0.0
            elif not other[0] <= t < other[1]:
                alpha = 1.0
            elif own[0] >= other[0] and own[1] >= other[1]:  # comes after
                alpha = rise
            elif own[0] < other[0] and own[1] < other[1]:  # comes before
                alpha = 1 - rise
            else:  # lies within, or around
                alpha = 1 - dip if own[1] < other[1] else dip
            weights[:, b, t] = torch.tensor([alpha, 1 - alpha])
            mixed[b, :, t] = (
                alpha * batch.clip[b, :, t] + (1 - alpha) * batch.clip[partner[b], :, t]
            )
    return mixed, weights


def slow_cutmix(batch: LabelledClip, *, seed: int) -> Tensor:
    """Column by column: the left one's window travels right, the right one's travels left."""
    B, _, T, _, W = batch.clip.shape
    partner = partners(B, generator=generator(seed), apart=2).tolist()
    width = max(9 * W // 16, -(-W // 2))
    mixed = torch.zeros_like(batch.clip)
    for b in range(B):
        for t in range(T):
            moved = t * min(7 * W // 16, W - width) // T
            for column in range(W):
                own = batch.clip[b, :, t, :, (column + moved) % W]
                other = batch.clip[partner[b], :, t, :, (column - moved) % W]
                fade = (column + 1 - (W - width)) / (2 * width - W + 1)
                fade = min(max(fade, 0.0), 1.0)
                mixed[b, :, t, :, column] = (1 - fade) * own + fade * other
    return mixed


@pytest.mark.parametrize("name", ["freeze", "mixup", "cutmix", "all"])
def test_deterministic_forms_equal_the_published(name, goldens, assert_golden):
    stored = goldens.arrays("ssdet_aug")
    batch = label_frames(goldens.normal("ss_x", 4, 3, 16, 8, 16), labels=torch.tensor([1, 2, 3, 4]))
    augmented = AUGMENTATIONS[name](batch, generator=None)
    assert_golden(augmented.clip, stored[f"{name}_x"], tolerance=1e-6)
    assert augmented.labels.tolist() == stored[f"{name}_labels"].tolist()
    assert_golden(augmented.weights, stored[f"{name}_gammas"], tolerance=1e-6)
    assert augmented.support.tolist() == stored[f"{name}_mask"].tolist()


@settings(max_examples=40, deadline=None)
@given(size=sizes, seed=seeds)
def test_mixup_equals_its_definition(size, seed):
    batch = random_batch(*size)
    mixed, weights = slow_mixup(batch, seed=seed)
    ours = volume_mixup(batch, generator=generator(seed))
    torch.testing.assert_close(ours.clip, mixed, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.weights, weights)


@settings(max_examples=25, deadline=None)
@given(size=sizes, seed=seeds)
def test_cutmix_equals_its_definition(size, seed):
    batch = random_batch(*size)
    ours = volume_cutmix(batch, generator=generator(seed))
    torch.testing.assert_close(ours.clip, slow_cutmix(batch, seed=seed), atol=1e-5, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(size=sizes, seed=seeds)
def test_freezing_repeats_one_frame_and_pushes_back_the_rest(size, seed):
    batch = random_batch(*size)
    T = size[1]
    frozen = volume_freeze(batch, generator=generator(seed))
    for before, after, labels in zip(batch.clip, frozen.clip, frozen.labels[0], strict=True):
        held = (labels == 0).nonzero().flatten().tolist()
        if T < 4:
            assert not held
            assert torch.equal(after, before)
            continue
        assert 1 <= len(held) < T // 2
        start = held[0]
        assert held == list(range(start, start + len(held)))
        order = [*range(start), *[start] * len(held), *range(start + 1, T)][:T]
        assert torch.equal(after, before[:, order])


@settings(max_examples=60, deadline=None)
@given(size=sizes, seed=seeds, name=st.sampled_from([*AUGMENTATIONS]), deterministic=st.booleans())
def test_soft_weights_sum_to_one_and_lie_where_supported(size, seed, name, deterministic):
    batch = random_batch(*size)
    result = AUGMENTATIONS[name](batch, generator=None if deterministic else generator(seed))
    assert result.clip.isfinite().all()
    assert result.clip.shape == batch.clip.shape
    assert result.labels.shape == result.weights.shape == result.support.shape
    torch.testing.assert_close(result.weights.sum(0), torch.ones(size[:2]))
    assert (result.weights >= 0).all()
    assert (result.weights[result.support == 0] == 0).all()
    assert set(result.support.unique().tolist()) <= {0.0, 1.0}


@settings(max_examples=40, deadline=None)
@given(size=sizes, seed=seeds, window=st.sampled_from(["moving", "still", "growing"]))
def test_a_cutmix_weight_is_the_area_of_its_window(size, seed, window):
    B, T, H, W = size
    # The first clip is white and its partners black, so that brightness is area.
    draw = generator(seed)
    if window == "growing":
        spans(B, T, generator=draw, shortest=0.5)
    partner = partners(B, generator=draw, apart=2)
    for b in range(B):
        if partner[b] == b:
            continue
        clip = torch.zeros(B, 1, T, H, W)
        clip[b] = 1.0
        batch = label_frames(clip, labels=torch.arange(1, B + 1))
        cut = volume_cutmix(batch, generator=generator(seed), window=window)
        torch.testing.assert_close(cut.clip[b].mean(dim=(0, 2, 3)), cut.weights[0, b])


@settings(max_examples=30, deadline=None)
@given(size=sizes, seed=seeds, name=st.sampled_from([*AUGMENTATIONS]))
def test_the_input_stays_and_a_seed_gives_one_result(size, seed, name):
    batch = random_batch(*size)
    copy = [value.clone() for value in batch]
    once = AUGMENTATIONS[name](batch, generator=generator(seed))
    for value in once:
        value.add_(1)  # nothing in the result may be the input's own memory
    assert all(torch.equal(kept, value) for kept, value in zip(copy, batch, strict=True))
    again = AUGMENTATIONS[name](batch, generator=generator(seed))
    assert all(torch.equal(a, b + 1) for a, b in zip(once, again, strict=True))


@pytest.mark.parametrize("name", ["mixup", "growing"])
def test_a_clip_mixed_with_itself_in_time_stays_as_it_is(name):
    batch = random_batch(1, 9, 4, 17)
    mixed = AUGMENTATIONS[name](batch, generator=generator(3))
    torch.testing.assert_close(mixed.clip, batch.clip)
    assert (mixed.labels == 1).all()


def test_drawn_spans_vary_in_length_order_and_nesting():
    start, end = spans(4000, 16, generator=generator(0), shortest=0.5)
    assert (start.amin(0) == 0).all()
    assert (end.amax(0) == 16).all()
    assert ((end - start) >= 8).all()
    before = ((start[0] < start[1]) & (end[0] < end[1])).float().mean()
    within = ((start[0] > start[1]) & (end[0] < end[1])).float().mean()
    assert 0.1 < before < 0.6
    assert 0.02 < within < 0.5


def test_longer_spans_overlap_more():
    def overlap(shortest: float) -> float:
        start, end = spans(500, 32, generator=generator(1), shortest=shortest)
        return (end.amin(0) - start.amax(0)).float().mean().item()

    assert overlap(0.5) < overlap(0.75) < overlap(1.0) == 32


def test_fixed_alpha_is_a_half_throughout_the_overlap():
    mixed = volume_mixup(random_batch(4, 16, 2, 2), generator=generator(5), alpha="fixed")
    both = (mixed.support[0] == 1) & (mixed.support[1] == 1)
    assert both.any()
    assert (mixed.weights[:, both] == 0.5).all()


def test_a_still_window_shows_the_same_columns_in_every_frame():
    batch = random_batch(2, 1, 3, 32)
    held = batch._replace(
        clip=batch.clip.expand(-1, -1, 8, -1, -1),
        **{name: getattr(batch, name).expand(-1, -1, 8) for name in ("labels", "weights")},
        support=batch.support.expand(-1, -1, 8),
    )
    still = volume_cutmix(held, generator=generator(0), window="still").clip
    moving = volume_cutmix(held, generator=generator(0), window="moving").clip
    assert torch.equal(still, still[:, :, :1].expand_as(still))
    assert torch.equal(moving[:, :, :1], still[:, :, :1])
    assert not torch.equal(moving[:, :, 7], still[:, :, 7])


def test_joint_draws_each_by_itself_and_single_draws_one():
    def counts(**choices) -> dict[tuple[str, ...], int]:
        draw, seen = generator(0), {}
        for _ in range(1600):
            drawn = draw_augmentations(VolumeAugmentation(**choices), generator=draw)
            seen[drawn] = seen.get(drawn, 0) + 1
        return seen

    joint = counts()
    assert len(joint) == 8
    assert all(150 < count < 250 for count in joint.values())
    single = counts(combination="single", augmentations=("cutmix", "freeze"))
    assert set(single) == {("freeze",), ("cutmix",)}
    assert all(700 < count < 900 for count in single.values())
    assert set(counts(augmentations=())) == {()}


def test_hard_labels_count_every_action_in_full():
    batch = random_batch(4, 16, 8, 16)
    soft = augment(batch, settings=VolumeAugmentation(), generator=None)
    hard = augment(batch, settings=VolumeAugmentation(labels="hard"), generator=None)
    assert torch.equal(hard.clip, soft.clip)
    assert torch.equal(hard.weights, soft.support)


def test_clips_in_half_precision_and_other_layouts_give_the_same():
    batch = random_batch(3, 8, 6, 20)
    every = VolumeAugmentation(probability=1.0)
    expected = augment(batch, settings=every, generator=generator(2))
    last = batch._replace(clip=batch.clip.contiguous(memory_format=torch.channels_last_3d))
    ours = augment(last, settings=every, generator=generator(2))
    torch.testing.assert_close(ours.clip, expected.clip)
    half = batch._replace(clip=batch.clip.bfloat16())
    ours = augment(half, settings=every, generator=generator(2))
    assert ours.clip.dtype == torch.bfloat16
    torch.testing.assert_close(ours.clip.float(), expected.clip, atol=0.05, rtol=0.05)
    assert torch.equal(ours.weights, expected.weights)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([1, 6]), "label 6 is neither 0 (background) nor an action (1 to 5)"),
        (torch.tensor([-1, 1]), "label -1 is neither"),
        (torch.tensor([1, 2, 3]), "labels of shape (3,) do not fit 2 clips of 4 frames"),
        (torch.tensor([1.0, 2.0]), "labels must be integers"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        label_frames(torch.zeros(2, 3, 4, 5, 5), labels=labels, classes=5)


def test_integer_clips_and_settings_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="floating point"):
        label_frames(torch.zeros(1, 3, 4, 5, 5, dtype=torch.uint8), labels=torch.tensor([1]))
    for choices, message in [
        ({"augmentations": ("blur",)}, '"blur" is not one of'),
        ({"augmentations": ("mixup", "mixup")}, "named only once"),
        ({"probability": 1.5}, "probability"),
        ({"longest_freeze": 0.0}, "longest_freeze"),
        ({"shortest_span": 0.4}, "shortest_span"),
        ({"window_share": 1.1}, "window_share"),
    ]:
        with pytest.raises(ValueError, match=message):
            VolumeAugmentation(**choices)
    with pytest.raises(ValueError, match="shortest span"):
        volume_mixup(random_batch(1, 4, 2, 2), generator=generator(0), shortest=0.3)
    with pytest.raises(ValueError, match="a window must be"):
        volume_cutmix(random_batch(1, 4, 2, 2), generator=generator(0), share=0.3)
