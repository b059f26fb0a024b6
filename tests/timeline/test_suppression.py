"""Suppression follows its definition, step by step, and TCANet's published results."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actline.stored.configuration import from_mapping, to_mapping
from actline.timeline import suppression
from actline.timeline.intervals import temporal_iou
from actline.timeline.suppression import SuppressionConfig, suppress


def plain_overlap(a, b) -> float:
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = (a[1] - a[0]) + (b[1] - b[0]) - shared
    return shared / union if union > 0 else 0.0


def plain_suppress(segments, scores, config: SuppressionConfig) -> list[tuple[int, float]]:
    """One segment at a time: index and score, in order of selection."""
    left = {i: s for i, s in enumerate(scores) if s >= config.min_score}
    smallest = 0 if config.take_last or len(left) == 1 else 1
    result: list[tuple[int, float]] = []
    while len(left) > smallest and not 0 < config.max_selected <= len(result):
        # Ties go to the one that was first when sorted by the scores as given.
        best = min(left, key=lambda i: (-left[i], -scores[i], i))
        result.append((best, left.pop(best)))
        a = segments[best]
        threshold = config.threshold + config.threshold_per_width * (a[1] - a[0])
        for i in list(left):
            overlap = plain_overlap(a, segments[i])
            if overlap <= threshold:
                continue
            if config.kind == "hard":
                del left[i]
                continue
            if config.kind == "linear":
                left[i] *= 1 - overlap
            else:
                left[i] *= math.exp(-(overlap**config.exponent) / config.sigma)
            if left[i] < config.min_score:
                del left[i]
    return result


def drawn(seed: int, count: int, span: float = 10.0):
    generator = np.random.default_rng(seed)
    start = generator.uniform(0, span, count)
    return start, start + generator.uniform(0.1, 3, count), generator.random(count)


CONFIGS = [
    SuppressionConfig(),
    SuppressionConfig(min_score=0.01),
    SuppressionConfig(sigma=0.2, exponent=1.7, threshold=0.1, max_selected=40),
    SuppressionConfig(kind="linear", threshold=0.3, min_score=0.001),
    SuppressionConfig(kind="hard", threshold=0.4),
    SuppressionConfig(kind="hard", threshold=0.4, min_score=0.3, max_selected=7),
    SuppressionConfig(threshold=0.1, threshold_per_width=0.1, take_last=False),
]


def test_tcanet_gives_the_published_selection(goldens):
    stored = goldens.arrays("soft_nms")
    kept = suppress(
        stored["xmin"], stored["xmax"], stored["score"], config=SuppressionConfig.tcanet(0.4, 0, 0)
    )
    assert len(kept.score) == 101
    assert np.abs(kept.score - stored["out_score"]).max() < 1e-9
    assert np.array_equal(kept.start, stored["out_xmin"])
    assert np.array_equal(kept.end, stored["out_xmax"])


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(
    ("count", "span"), [(1, 1.0), (2, 1.0), (50, 10.0), (400, 10.0), (300, 900.0)]
)
def test_rounds_of_candidates_give_what_one_at_a_time_gives(config, count, span):
    start, end, score = drawn(count, count, span)
    kept = suppress(start, end, score, config=config)
    plain = plain_suppress(list(zip(start, end, strict=True)), score.tolist(), config)
    assert kept.index.tolist() == [i for i, _ in plain]
    assert kept.score == pytest.approx([s for _, s in plain], rel=1e-12)


# Few distinct times and scores, so that ties and segments of no length are common.
coarse = st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 4))
rows = st.lists(coarse, min_size=1, max_size=25)


@given(rows, st.sampled_from(CONFIGS[:5]), st.integers(1, 8))
def test_ties_go_to_the_first_whatever_the_candidates(segments, config, candidates):
    start = np.array([s for s, _, _ in segments], float)
    end = start + [length for _, length, _ in segments]
    score = np.array([s for _, _, s in segments]) / 4
    plain = plain_suppress(list(zip(start, end, strict=True)), score.tolist(), config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suppression, "CANDIDATES", candidates)
        kept = suppress(start, end, score, config=config)
    assert kept.score == pytest.approx([s for _, s in plain], rel=1e-9, abs=1e-300)
    if config.kind == "hard":  # there no rounding can turn a tie
        assert kept.index.tolist() == [i for i, _ in plain]


@given(rows, st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_hard_suppression_leaves_no_pair_above_the_threshold_and_is_idempotent(segments, threshold):
    start = np.array([s for s, _, _ in segments], float)
    end = start + [length for _, length, _ in segments]
    score = np.array([s for _, _, s in segments]) - 2.0  # negative ones too
    config = SuppressionConfig(kind="hard", threshold=threshold, min_score=-9.0)
    kept = suppress(start, end, score, config=config)
    overlap = temporal_iou(kept.start[:, None], kept.end[:, None], kept.start, kept.end)
    np.fill_diagonal(overlap, 0)
    assert (overlap <= threshold).all()
    assert np.array_equal(kept.score, score[kept.index])
    again = suppress(kept.start, kept.end, kept.score, config=config)
    assert again.index.tolist() == list(range(len(kept.index)))


@given(rows, st.sampled_from(CONFIGS))
def test_what_is_kept_is_a_subset_by_falling_score(segments, config):
    start = np.array([s for s, _, _ in segments], float)
    end = start + [length for _, length, _ in segments]
    score = np.array([s for _, _, s in segments]) / 4
    kept = suppress(start, end, score, config=config)
    assert len(set(kept.index.tolist())) == len(kept.index)
    assert np.array_equal(kept.start, start[kept.index])
    assert (kept.score <= score[kept.index]).all()
    assert (np.diff(kept.score) <= 0).all()


def test_classes_suppress_only_their_own():
    start, end, score = drawn(0, 200)
    label = np.random.default_rng(1).integers(0, 5, 200)
    config = SuppressionConfig(kind="hard", threshold=0.2)
    kept = suppress(start, end, score, label, config=config)
    alone: list[int] = []
    for number in range(5):
        inside = np.flatnonzero(label == number)
        own = suppress(start[inside], end[inside], score[inside], config=config)
        alone.extend(inside[own.index].tolist())
    assert kept.index.tolist() == sorted(alone, key=lambda i: -score[i])
    agnostic = suppress(
        start, end, score, label, config=SuppressionConfig("hard", 0.2, per_class=False)
    )
    assert len(agnostic.index) < len(kept.index)
    top = suppress(start, end, score, label, config=SuppressionConfig("hard", 0.2, top_k=9))
    assert top.index.tolist() == kept.index[:9].tolist()


def test_voting_moves_boundaries_to_the_weighted_mean():
    start, end, score = [0.0, 1.0, 20.0, 5.0], [10.0, 10.0, 30.0, 5.0], [0.9, 0.6, 0.5, 0.4]
    kept = suppress(start, end, score, config=SuppressionConfig("hard", 0.5, vote_overlap=0.5))
    weights = np.array([0.9 * 1.0, 0.6 * 0.9])
    assert kept.index.tolist() == [0, 2, 3]
    assert kept.start == pytest.approx([weights @ [0.0, 1.0] / weights.sum(), 20.0, 5.0])
    assert kept.end == pytest.approx([10.0, 30.0, 5.0])


def test_voting_weighs_by_the_scores_as_given():
    start, end, score = drawn(3, 150)
    config = SuppressionConfig(vote_overlap=0.6, min_score=0.001)
    kept = suppress(start, end, score, config=config)
    for new_start, index in zip(kept.start, kept.index, strict=True):
        overlap = temporal_iou(start[index], end[index], start, end)
        weights = np.where(overlap >= 0.6, overlap * score, 0)
        assert new_start == pytest.approx(weights @ start / weights.sum())


def test_wide_segments_have_another_threshold_by_their_part_of_the_video():
    start, end, score = [0.0, 2.0], [10.0, 10.0], [0.9, 0.8]  # overlap 0.8
    low = SuppressionConfig("hard", 0.5, threshold_per_width=0.4)
    assert len(suppress(start, end, score, config=low, duration=100.0).index) == 1
    assert len(suppress(start, end, score, config=low, duration=10.0).index) == 2


def test_nothing_gives_nothing():
    kept = suppress([], [], [])
    assert len(kept.index) == len(kept.start) == len(kept.score) == 0


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (([0.0], [1.0], [np.nan]), "score is not a finite"),
        (([0.0], [np.inf], [0.5]), "end is not a finite"),
        (([2.0], [1.0], [0.5]), "ends before it starts"),
        (([0.0], [1.0], [-0.5]), "negative"),
        (([0.0, 1.0], [1.0], [0.5]), "the same length"),
    ],
)
def test_unusable_segments_are_told(arrays, words):
    with pytest.raises(ValueError, match=words):
        suppress(*arrays)


def test_a_video_without_duration_is_told():
    with pytest.raises(ValueError, match="not positive"):
        suppress([0.0], [1.0], [0.5], duration=0.0)


def test_a_config_survives_yaml_and_rejects_what_cannot_work():
    config = SuppressionConfig.tcanet(0.5, 0.3, 0.8)
    assert from_mapping(SuppressionConfig, to_mapping(config), where="recipe") == config
    for wrong in ({"kind": "none"}, {"sigma": 0.0}, {"threshold": 2.0}, {"top_k": -1}):
        with pytest.raises(ValueError, match=r"not one of|positive|between|0 or more"):
            SuppressionConfig(**wrong)
