"""Proposals from BMN's maps are those of the paper, pair by pair, and suppression keeps order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actline.detection.labels import suppressed
from actline.models.bmn_stage import proposals_from_maps
from actline.timeline.proposals import Proposals
from actline.timeline.suppression import SuppressionConfig


def likely(probability: list[float]) -> list[int]:
    """Section 4.4: peaks, and what is above half of the maximum; both ends, as in the code."""
    last = len(probability) - 1
    return [
        t
        for t, p in enumerate(probability)
        if t in (0, last)
        or (probability[t - 1] < p > probability[t + 1])
        or p > 0.5 * max(probability)
    ]


def plain_proposals(start, end, confidence, duration: float) -> list[tuple[float, float, float]]:
    """Every pair of a likely start and a likely end, one at a time."""
    length = len(start)
    ends = [*end, end[-1]]
    found = []
    for first in likely(list(start)):
        for last in likely(ends):
            if last <= first:
                continue
            score = float(start[first]) * float(ends[last])
            score *= float(confidence[0, first, last - 1]) * float(confidence[1, first, last - 1])
            found.append((first * duration / length, last * duration / length, score))
    return found


@st.composite
def maps(draw):
    """Few different values, so that there are ties and plateaus."""
    length = draw(st.integers(1, 7))
    values = st.sampled_from([0.0, 0.125, 0.25, 0.3, 0.5, 0.75, 1.0])

    def drawn(*shape: int) -> np.ndarray:
        count = int(np.prod(shape))
        flat = draw(st.lists(values, min_size=count, max_size=count))
        return np.array(flat, np.float32).reshape(shape)

    return drawn(length), drawn(length), drawn(2, length, length)


@settings(max_examples=300, deadline=None)
@given(maps(), st.floats(0.5, 900))
def test_every_pair_of_a_likely_start_and_a_likely_end_is_a_proposal(given_maps, duration):
    start, end, confidence = given_maps
    found = proposals_from_maps(start, end, confidence, duration=duration)
    plain = plain_proposals(start, end, confidence, duration)
    assert len(found) == len(plain)
    ours = sorted(zip(found.start, found.end, found.score, strict=True))
    np.testing.assert_allclose(ours, sorted(plain), rtol=1e-5, atol=1e-9)
    assert (np.diff(found.score) <= 0).all()
    assert (found.end > found.start).all()
    assert found.start.min() >= 0
    assert found.end.max() <= duration * (1 + 1e-12)


@settings(max_examples=50, deadline=None)
@given(maps(), st.integers(1, 10))
def test_the_best_are_kept_and_equal_ones_in_the_order_of_their_times(given_maps, most):
    every = proposals_from_maps(*given_maps, duration=10.0)
    best = proposals_from_maps(*given_maps, duration=10.0, most=most)
    for part in ("start", "end", "score"):
        np.testing.assert_array_equal(getattr(best, part), getattr(every, part)[:most])


def test_an_activity_that_maps_show_clearly_is_the_first_proposal():
    start, end = np.full(10, 0.05, np.float32), np.full(10, 0.05, np.float32)
    start[2], end[7] = 0.9, 0.8
    confidence = np.full((2, 10, 10), 0.1, np.float32)
    confidence[:, 2, 6] = 0.9  # from the start of snippet 2 to the end of snippet 6
    found = proposals_from_maps(start, end, confidence, duration=50.0)
    assert (found.start[0], found.end[0]) == (10.0, 35.0)
    assert found.score[0] == pytest.approx(0.9 * 0.8 * 0.9 * 0.9)


def test_a_proposal_may_last_to_the_very_end():
    ones = np.ones(4, np.float32)
    found = proposals_from_maps(ones, ones, np.ones((2, 4, 4), np.float32), duration=8.0)
    assert len(found) == 4 + 3 + 2 + 1
    assert found.end.max() == 8.0


CONFIGS = [
    SuppressionConfig(),
    SuppressionConfig.tcanet(),
    SuppressionConfig(kind="hard", threshold=0.5),
    SuppressionConfig(kind="linear", threshold=0.3, top_k=4),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 30))
def test_suppressed_proposals_are_some_of_the_given_by_falling_score(config, seed, count):
    random = np.random.default_rng(seed)
    start = random.uniform(0, 50, count)
    score = np.sort(random.random(count))[::-1].copy()
    proposals = Proposals(start, start + random.uniform(0.1, 50, count), score)
    kept = suppressed(proposals, config, duration=100.0)
    assert (np.diff(kept.score) <= 0).all()
    given_scores = {
        (a, b): s for a, b, s in zip(proposals.start, proposals.end, proposals.score, strict=True)
    }
    for a, b, s in zip(kept.start, kept.end, kept.score, strict=True):
        assert s <= given_scores.pop((a, b)) + 1e-12, "each once, and never with a higher score"
    if count:
        assert (kept.start[0], kept.end[0]) == (proposals.start[0], proposals.end[0])
    if config.top_k:
        assert len(kept) <= config.top_k
