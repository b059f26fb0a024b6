"""Multigrid schedules take the published shapes, and their batches resume without a trace."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actline.datasets.batches import TrainingBatches
from actline.models.normalization import SplitBatchNorm3d
from actline.models.slowfast import SlowFastConfig
from actline.models.x3d import X3DConfig
from actline.pretraining.multigrid import (
    SMALLEST_SIZE,
    ClipShape,
    MultigridBatches,
    MultigridConfig,
    Schedule,
)
from actline.training.pretraining import PretrainingRecipe
from actline.training.tasks import read_recipe

HALF = 0.5**0.5
PLAIN = MultigridConfig(long_cycle=((1.0, 1.0),), short_cycle=(), stages=())


def schedule_of(
    *,
    batch_size: int = 2,
    steps: int = 40,
    epochs: int = 1,
    frames: int = 16,
    size: int = 224,
    processes: int = 1,
    accumulate: int = 1,
    config: MultigridConfig | None = None,
) -> Schedule:
    return Schedule(
        length=batch_size * steps * processes,
        batch_size=batch_size,
        frames=frames,
        size=size,
        epochs=epochs,
        processes=processes,
        accumulate=accumulate,
        config=config or MultigridConfig(),
    )


def shapes_of(schedule: Schedule) -> list[ClipShape]:
    return [schedule.shape_at(step) for step in range(schedule.total_steps)]


def test_shapes_cycle_as_figure_2d_says() -> None:
    B, T = 2, 16
    coarse = [(16 * B, T // 4, 112), (8 * B, T // 4, 160)]
    longer = [(8 * B, T // 2, 112), (4 * B, T // 2, 160)]
    larger = [(8 * B, T // 2, 112), (4 * B, T // 2, 160), (2 * B, T // 2, 224)]
    full = [(4 * B, T, 112), (2 * B, T, 160), (B, T, 224)]
    # Stages end at 0.4, 0.65 and 0.85 of 40 steps; each is shared out among four shapes.
    lengths = [4, 4, 4, 4, 3, 2, 3, 2, 2, 2, 2, 2, 6]
    cycles = 3 * [coarse, longer, larger, full] + [full]
    stretches = [cycle for cycle, steps in zip(cycles, lengths, strict=True) for _ in range(steps)]
    expected = [cycle[step % len(cycle)] for step, cycle in enumerate(stretches)]

    assert [shape[:3] for shape in shapes_of(schedule_of(batch_size=B, frames=T))] == expected


def test_shapes_equal_those_in_the_published_log() -> None:
    # 128 clips of 80 frames on 4 GPUs; logged are all GPUs' clips and one GPU's splits.
    schedule = schedule_of(
        batch_size=32,
        steps=1718,
        epochs=120,
        frames=80,
        processes=4,
        config=MultigridConfig(size_multiple=1, stages=(0.4, 0.65, 0.925), tail_lr_drop=0.0),
    )
    assert schedule.total_steps == 206160
    assert schedule.milestones == (48.0, 78.0, 111.0)
    # The log's own steps are up to 300 earlier, as it loses what was read ahead at an epoch's end.
    logged = {
        0: (20, (2048, 1024), (112, 158), 32, 8.0),  # the log has 111: rounded down twice
        20616: (40, (1024, 512), (112, 158), 16, 4.0),
        41232: (40, (1024, 512, 256), (112, 158, 224), 8, 2.0),
        61848: (80, (512, 256, 128), (112, 158, 224), 4, 1.0),
        82464: (20, (2048, 1024), (112, 158), 32, 8.0),
        134004: (20, (2048, 1024), (112, 158), 32, 8.0),
        148177: (40, (1024, 512), (112, 158), 16, 4.0),
        162351: (40, (1024, 512, 256), (112, 158, 224), 8, 2.0),
        176524: (80, (512, 256, 128), (112, 158, 224), 4, 1.0),
        190698: (80, (512, 256, 128), (112, 158, 224), 4, 1.0),
    }
    for first, (frames, batches, sizes, splits, lr_factor) in logged.items():
        n = len(batches)
        cycle = [schedule.shape_at(step) for step in range(first, first + 2 * n)]
        cycle = cycle[-first % n :][:n]
        assert tuple(4 * shape.batch_size for shape in cycle) == batches
        assert tuple(shape.size for shape in cycle) == sizes
        assert {(s.frames, s.splits, s.lr_factor) for s in cycle} == {(frames, splits, lr_factor)}
    assert schedule.shape_at(20615).frames == 20


# First step and long cycle's number (-1 in the tail) of every change, read off the published
# samplers given the lists that the released scripts give them and then change in place.
SSDET_CHANGES = [
    *((0, 0), (25, 1), (50, 2), (75, 3), (101, 0), (150, 1), (200, 2), (250, 3)),
    *((301, 0), (825, 1), (1350, 2), (1875, 3), (2401, -1)),
]
X3D_CHANGES = [
    *((0, 0), (20616, 1), (41232, 2), (61848, 3), (82465, 0), (95349, 1), (108234, 2)),
    *((121119, 3), (134005, 0), (148178, 1), (162351, 2), (176525, 3), (190699, -1)),
]


@pytest.mark.parametrize(
    ("recipe", "steps", "changes"),
    [
        ("recipes/ssdet/kinetics_x3d.yaml", 4000, SSDET_CHANGES),
        ("recipes/ssdet/kinetics_x3d_multigrid.yaml", 206160, X3D_CHANGES),
    ],
)
def test_recipes_change_shapes_where_the_released_scripts_do(recipe, steps, changes) -> None:
    read = read_recipe(recipe)
    assert isinstance(read, PretrainingRecipe)
    assert read.multigrid is not None
    # Without a short cycle, the learning rate's factor tells the long cycle's shapes apart.
    config = replace(read.multigrid, short_cycle=(), scale_lr=True)
    schedule = schedule_of(batch_size=read.batch_size, steps=steps, config=config)
    factors = [shape.lr_factor for shape in shapes_of(schedule)]
    ours = [(0, 8.0)] + [
        (step, after)
        for step, (before, after) in enumerate(pairwise(factors), 1)
        if before != after
    ]
    published = [(first, [8.0, 4.0, 2.0, 1.0][cycle]) for first, cycle in changes if cycle >= 0]
    assert [factor for _, factor in ours] == [factor for _, factor in published]
    # The samplers begin the second and third long cycle one step late.
    assert {theirs - step for (theirs, _), (step, _) in zip(published, ours, strict=True)} <= {0, 1}
    # The tail begins, and the rate falls, where the last entry of the script's list was moved to.
    assert (
        round(schedule.milestones[-1] * steps)
        == changes[-1][0] - 1
        == round(config.stages[-1] * steps)
    )


@pytest.mark.parametrize(
    ("stages", "passes"), [((0.4, 0.65, 0.85), 679), ((0.4, 0.65, 0.925), 714)]
)
def test_the_docs_tell_how_often_a_run_sees_its_videos(stages, passes) -> None:
    schedule = Schedule(
        length=220_000,
        batch_size=32,
        frames=8,
        size=224,
        epochs=120,
        processes=4,
        config=MultigridConfig(stages=stages),
    )
    clips = sum(4 * schedule.shape_at(step).batch_size for step in range(schedule.total_steps))
    assert round(clips / 220_000) == passes
    assert f"{passes} " in (Path(__file__).parents[2] / "docs/multigrid.md").read_text()


def test_released_ssdet_scales_neither_rate_nor_parts_and_the_paper_both() -> None:
    released = read_recipe("recipes/ssdet/kinetics_x3d.yaml")
    assert isinstance(released, PretrainingRecipe)
    assert released.multigrid is not None
    paper = replace(released.multigrid, scale_lr=True, scale_splits=True)
    for config, factors, parts in (
        (released.multigrid, {1.0}, {1}),
        (replace(paper, scale_splits=False), {8.0, 4.0, 2.0, 1.0}, {1}),
        (replace(paper, scale_lr=False), {1.0}, {8, 4, 2, 1}),
        (paper, {8.0, 4.0, 2.0, 1.0}, {8, 4, 2, 1}),
    ):
        shapes = shapes_of(schedule_of(batch_size=16, steps=400, config=config))
        assert {shape.lr_factor for shape in shapes} == factors
        assert {shape.splits for shape in shapes} == parts
        assert {shape.batch_size for shape in shapes} == {128, 64, 32, 16}


@pytest.mark.parametrize(
    ("recipe", "parts"),
    [
        # BASE_BS_PER_GPU // CONST_BN_SIZE, and in SSDet's script // 2 again.
        ("recipes/ssdet/kinetics_x3d_multigrid.yaml", 8 * 16 // 4 // 8),
        ("recipes/ssdet/kinetics_x3d.yaml", 8 * (16 * 2 // 4) // (2 * 2) // 8 // 2),
        ("recipes/ssdet/kinetics_slowfast.yaml", 8 * (16 * 2 // 4) // (2 * 2) // 8 // 2),
    ],
)
def test_recipes_normalize_in_as_many_parts_as_the_scripts(recipe: str, parts: int) -> None:
    read = read_recipe(recipe)
    assert isinstance(read, PretrainingRecipe)
    assert read.multigrid is not None
    assert isinstance(read.network, X3DConfig | SlowFastConfig)
    assert read.network.splits == parts
    schedule = schedule_of(
        batch_size=read.batch_size, steps=1000, frames=read.clip.frames, config=read.multigrid
    )
    assert schedule.shape_at(schedule.total_steps - 1).splits == parts


def test_the_learning_rate_falls_where_it_was_published_to_fall() -> None:
    assert schedule_of(epochs=100).milestones == (40.0, 65.0, 92.5)
    early = MultigridConfig(stages=(0.5, 1.0))
    assert schedule_of(epochs=100, config=early).milestones == (50.0,)
    assert schedule_of(epochs=100, config=PLAIN).milestones == ()


@given(
    batch_size=st.sampled_from([1, 3, 8, 16]),
    frames=st.integers(4, 80),
    size=st.integers(SMALLEST_SIZE * 2, 400),
    multiple=st.sampled_from([1, 16, 32]),
)
@settings(deadline=None)
def test_clip_pixels_of_a_batch_stay_within_the_rounding_of_the_full_shape(
    batch_size: int, frames: int, size: int, multiple: int
) -> None:
    schedule = schedule_of(
        batch_size=batch_size,
        frames=frames,
        size=size,
        config=MultigridConfig(size_multiple=multiple),
    )
    full = batch_size * frames * size**2
    share_of_frames = {8.0: 0.25, 4.0: 0.5, 2.0: 0.5, 1.0: 1.0}
    for shape in shapes_of(schedule):
        exact_frames = frames * share_of_frames[shape.lr_factor]
        assert exact_frames - 1 < shape.frames <= exact_frames
        # The side that gives exactly as many pixels.
        exact_size = (full / (shape.batch_size * exact_frames)) ** 0.5
        assert abs(shape.size - exact_size) <= multiple / 2 + 1e-6
        assert shape.size == size or shape.size % multiple == 0


@given(batch_size=st.sampled_from([1, 3, 8, 16, 32]), epochs=st.integers(1, 5))
@settings(deadline=None)
def test_learning_rate_and_splits_grow_with_the_long_cycle_alone(
    batch_size: int, epochs: int
) -> None:
    schedule = schedule_of(batch_size=batch_size, epochs=epochs)
    together = min(batch_size, 8)
    for shape in shapes_of(schedule):
        short_factor = {112: 2, 160: 1} if shape.lr_factor >= 4 else {112: 4, 160: 2, 224: 1}
        long_batch = shape.batch_size / short_factor[shape.size]
        assert shape.lr_factor == long_batch / batch_size
        assert long_batch / shape.splits == together
        assert shape.batch_size % shape.splits == 0


def test_split_normalization_takes_every_batch_of_a_run() -> None:
    schedule = schedule_of(batch_size=1, frames=4, size=64)
    norm = SplitBatchNorm3d(2)
    for shape in sorted(set(shapes_of(schedule))):
        norm.set_splits(shape.splits)
        clip = torch.randn(shape.batch_size, 2, shape.frames, 4, 4)
        assert norm(clip).shape == clip.shape


def test_clips_of_fewer_frames_may_span_the_time_of_a_full_one() -> None:
    strides = {shape.frames: shape.max_stride for shape in shapes_of(schedule_of(frames=16))}
    assert strides == {4: 4, 8: 2, 16: 1}


@given(first=st.integers(0, 80), last=st.integers(0, 80), accumulate=st.integers(1, 2))
@settings(deadline=None, max_examples=30)
def test_a_resumed_run_gets_the_batches_of_an_unbroken_one(
    first: int, last: int, accumulate: int
) -> None:
    schedule = schedule_of(epochs=2, accumulate=accumulate)
    total = schedule.total_batches
    first, last = sorted((min(first, total), min(last, total)))
    unbroken = list(MultigridBatches(schedule, seed=7, first=0, last=total))
    resumed = MultigridBatches(schedule, seed=7, first=first, last=last)
    assert len(unbroken) == total
    assert list(resumed) == unbroken[first:last]
    assert len(resumed) == last - first


@given(
    processes=st.integers(1, 3),
    spare=st.integers(0, 2),
    seed=st.integers(0, 2**31),
    accumulate=st.integers(1, 2),
)
@settings(deadline=None, max_examples=30)
def test_every_clip_comes_at_most_once_a_pass_and_to_one_process(
    processes: int, spare: int, seed: int, accumulate: int
) -> None:
    schedule = Schedule(
        length=50 * processes + min(spare, processes - 1),
        batch_size=1,
        frames=8,
        size=64,
        epochs=2,
        processes=processes,
        accumulate=accumulate,
    )
    parts = [
        list(MultigridBatches(schedule, seed=seed, first=0, last=schedule.total_batches, process=p))
        for p in range(processes)
    ]
    seen: dict[int, list[int]] = defaultdict(list)
    for together in zip(*parts, strict=True):
        assert len({(len(batch), batch[0].epoch, batch[0].size) for batch in together}) == 1
        for batch in together:
            assert len({(clip.epoch, clip.frames, clip.size) for clip in batch}) == 1
            seen[batch[0].epoch] += [clip.index for clip in batch]
    for indices in seen.values():
        assert len(indices) == len(set(indices))
        assert set(indices) <= set(range(schedule.length))
    assert sorted(seen) == list(range(len(seen)))
    # Only what does not fill a batch, of 16 clips at most, is left out at a pass's end.
    for epoch in range(len(seen) - 1):
        assert len(seen[epoch]) > (50 - 16) * processes


def test_batches_have_the_size_that_their_step_asks_for() -> None:
    schedule = schedule_of(epochs=3, accumulate=2)
    batches = MultigridBatches(schedule, seed=1, first=0, last=schedule.total_batches)
    for position, batch in enumerate(batches):
        shape = schedule.shape_at(position // 2)
        assert len(batch) == shape.batch_size
        assert {(clip.frames, clip.size) for clip in batch} == {(shape.frames, shape.size)}


def test_without_cycles_batches_are_those_of_ordinary_training() -> None:
    schedule = Schedule(
        length=23, batch_size=3, frames=4, size=64, epochs=4, processes=2, config=PLAIN
    )
    total = schedule.total_steps
    ordinary = TrainingBatches(
        23, batch_size=3, seed=5, first=0, last=total, process=1, processes=2
    )
    multigrid = MultigridBatches(schedule, seed=5, first=0, last=total, process=1)
    requests = [[(clip.epoch, clip.index) for clip in batch] for batch in multigrid]
    assert requests == list(ordinary)
    assert {shape[:5] for shape in shapes_of(schedule)} == {(3, 4, 64, 1.0, 1)}


def test_one_video_trains_without_cycles_and_is_too_few_with_them() -> None:
    schedule = Schedule(length=1, batch_size=1, frames=4, size=64, epochs=3, config=PLAIN)
    batches = list(MultigridBatches(schedule, seed=0, first=0, last=3))
    assert [[(clip.epoch, clip.index) for clip in batch] for batch in batches] == [
        [(0, 0)],
        [(1, 0)],
        [(2, 0)],
    ]
    # A run of three steps that the long cycle does reach needs its largest batch.
    with pytest.raises(ValueError, match="largest batch has 16 clips, and each of 1 processes"):
        Schedule(length=1, batch_size=1, frames=4, size=64, epochs=3)


def test_a_run_too_short_for_cycles_trains_at_the_full_shape() -> None:
    config = MultigridConfig(tail_short_cycle=False)
    schedule = Schedule(length=4, batch_size=4, frames=8, size=64, epochs=1, config=config)
    assert [shape[:3] for shape in shapes_of(schedule)] == [(4, 8, 64)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 15}, "largest batch has 16 clips"),
        ({"length": 30, "processes": 2}, "each of 2 processes has 15 videos"),
        ({"frames": 3}, "3 frames are too few for this long_cycle, which needs 4"),
        ({"size": 31}, "from a size of 31, clips get as small as 16"),
        ({"size": 40}, "32 is the least"),
        ({"batch_size": 12, "length": 1000}, "a batch of 12 cannot be normalized 8 clips"),
        ({"epochs": 0}, "must be 1 or more"),
    ],
)
def test_a_schedule_that_cannot_be_had_is_one_clear_error(
    changes: dict[str, int], message: str
) -> None:
    values = {"length": 100, "batch_size": 1, "frames": 8, "size": 64, "epochs": 10, **changes}
    with pytest.raises(ValueError, match=message):
        Schedule(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"long_cycle": ()}, "last shape"),
        ({"long_cycle": ((1.0, HALF),)}, "last shape"),
        ({"long_cycle": ((2.0, 1.0), (1.0, 1.0))}, "long_cycle must be above 0"),
        ({"short_cycle": (0.5, 1.0)}, "short_cycle must increase"),
        ({"short_cycle": (HALF, 0.5)}, "short_cycle must increase"),
        ({"stages": (0.5, 0.4)}, "stages must increase"),
        ({"stages": (0.5, 1.1)}, "stages must increase"),
        ({"tail_lr_drop": 1.5}, "tail_lr_drop"),
        ({"size_multiple": 0}, "size_multiple"),
        ({"normalization_batch": 0}, "normalization_batch"),
    ],
)
def test_a_setting_out_of_range_is_an_error(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultigridConfig(**values)  # type: ignore[arg-type]


def test_a_step_or_process_that_the_run_has_not_is_an_error() -> None:
    schedule = schedule_of()
    for step in (-1, schedule.total_steps):
        with pytest.raises(IndexError, match="not one of the run's 40"):
            schedule.shape_at(step)
    with pytest.raises(ValueError, match="batches 0 to 41"):
        MultigridBatches(schedule, seed=0, first=0, last=41)
    with pytest.raises(ValueError, match="no process 1 of 1"):
        MultigridBatches(schedule, seed=0, first=0, last=40, process=1)
