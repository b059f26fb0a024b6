"""BMN equals the published numbers, and its sparse boundary matching the dense one."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actline.models.bmn import BMN, BMNConfig
from actline.models.boundary_matching import (
    BoundaryMatching,
    Entries,
    SparseRows,
    sampling_weights,
    times_sparse,
)
from actline.models.published.naming import Rules, load, rename
from actline.training.bmn_losses import BMNTargets, bmn_loss

RULES: Rules = [
    (r"x_1d_b\.(.*)", r"base.\1"),
    (r"x_1d_s\.(.*)", r"start.\1"),
    (r"x_1d_e\.(.*)", r"end.\1"),
    (r"x_1d_p\.0\.(.*)", r"prepare.\1"),
    (r"x_3d_p\.0\.(.*)", r"matching.\1"),
    (r"x_2d_p\.0\.(.*)", r"narrow.\1"),
    (r"x_2d_p\.2\.(.*)", r"confidence.0.\1"),
    (r"x_2d_p\.4\.(.*)", r"confidence.2.\1"),
    (r"x_2d_p\.6\.(.*)", r"confidence.4.\1"),
]


@pytest.fixture(scope="module")
def network(goldens) -> BMN:
    network = BMNConfig(temporal_scale=40).build()
    load(network, rename(goldens.state("bmn"), RULES, source="BMN"), source="BMN")
    return network.eval()


def dense_weights(T: int, N: int, bins: int, ratio: float) -> Tensor:
    """The (T, N, start, end) matrix of Section 3.3, point by point, with the code's rounding."""
    matrix = torch.zeros(T, N, T, T, dtype=torch.float64)
    for start in range(T):
        for end in range(start, T):
            context = (end + 1 - start + 1) * ratio
            first, last = start - context, end + 1 + context
            step = (last - first) / max(N * bins - 1, 1)
            for point in range(N * bins):
                place = first + step * point
                part, whole = math.modf(place)  # towards zero: -0.3 is -0.3 after 0
                for snippet, weight in ((int(whole), 1 - part), (math.ceil(place), part)):
                    if 0 <= snippet < T:
                        matrix[snippet, point // bins, start, end] += weight / bins
    return matrix


@torch.inference_mode()
def test_confidences_and_boundaries_equal_the_published(network, goldens, assert_golden):
    stored = goldens.arrays("bmn")
    output = network(goldens.normal("bmn", 2, 400, 40))
    assert_golden(output.confidence, stored["confidence_map"])
    assert_golden(output.start, stored["start"])
    assert_golden(output.end, stored["end"])


@torch.inference_mode()
def test_sampled_features_equal_the_published(network, goldens, assert_golden):
    base = network.base(goldens.normal("bmn", 2, 400, 40))
    sampled = network.matching.sample(network.prepare(base).relu()[:1])
    assert_golden(sampled[0, :2, ::8], goldens.arrays("bmn")["sampled"])


@torch.inference_mode()
def test_losses_equal_the_published(network, goldens, assert_golden):
    def uniform(name: str, *shape: int) -> Tensor:
        return goldens.draw.uni(name, *shape, salt=goldens.salt)

    u = uniform("bmn_iou", 2, 40, 40)
    targets = BMNTargets(
        start=uniform("bmn_gs", 2, 40),
        end=uniform("bmn_ge", 2, 40),
        overlap=torch.where(u <= 0.6, 0.0, 0.71 + 0.29 * (u - 0.6) / 0.4),
    )
    features = goldens.normal("bmn", 2, 400, 40)
    # There are no pairs of middle or low overlap, which lets all pairs count as published, even
    # those that end before they start.
    output = network(features)._replace(confidence=network.evaluate_pairs(network.base(features)))
    losses = bmn_loss(output, targets, published_overflow=True)
    assert_golden(torch.stack(losses).double(), goldens.arrays("bmn")["losses"])


@settings(max_examples=20, deadline=None)
@given(
    T=st.integers(1, 9),
    samples=st.integers(1, 6),
    bins=st.integers(1, 4),
    ratio=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_sampling_equals_the_dense_matrix(T: int, samples: int, bins: int, ratio: float):
    dense = dense_weights(T, samples, bins, ratio)
    layer = BoundaryMatching(
        3, 5, temporal_scale=T, samples=samples, bins=bins, boundary_ratio=ratio
    )
    generator = torch.Generator().manual_seed(T)
    features = torch.randn(2, 3, T, generator=generator)
    expected = torch.einsum("bct,tnse->bcnse", features.double(), dense)
    torch.testing.assert_close(layer.sample(features).double(), expected, atol=1e-5, rtol=1e-5)

    # And the convolution over the samples, for possible pairs.
    convolved = torch.einsum("bcnse,ocn->bose", expected, layer.weight.double()).flatten(2)
    convolved = (convolved + layer.bias.double().view(1, -1, 1))[..., layer.cells]
    given_pairs = layer(features).permute(1, 2, 0)
    torch.testing.assert_close(given_pairs.double(), convolved, atol=1e-5, rtol=1e-5)


def test_each_snippet_counts_once_per_sample_and_inside_points_in_full():
    entries = sampling_weights(12, samples=4, bins=3, boundary_ratio=0.0)
    place = entries.row * entries.shape[1] + entries.column
    assert (place.diff() > 0).all()
    # Without context only the end, one snippet after the last, can lie outside.
    totals = torch.zeros(entries.shape[0]).index_add(0, entries.row, entries.weight)
    reaches_end = torch.triu_indices(12, 12)[1] == 11
    torch.testing.assert_close(totals[~reaches_end], torch.full_like(totals[~reaches_end], 4.0))
    assert (totals[reaches_end] < 4).all()


def test_gradients_of_the_sparse_product_are_right_twice():
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    dense *= torch.rand(5, 4, generator=generator) < 0.5
    row, column = dense.nonzero().unbind(1)
    product = SparseRows(Entries(row, column, dense[row, column], (5, 4)))
    torch.testing.assert_close(product.dense(), dense)
    x = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(product(x), dense @ x)
    forth = (product.offsets, product.columns, product.weights)
    back = (product.offsets_t, product.columns_t, product.weights_t)
    assert torch.autograd.gradcheck(lambda y: times_sparse(y, forth, back), x)
    assert torch.autograd.gradgradcheck(lambda y: times_sparse(y, forth, back).square(), x)


def test_gradients_of_the_layer_equal_those_of_the_dense_matrix():
    T, samples = 6, 4
    layer = BoundaryMatching(
        3, 5, temporal_scale=T, samples=samples, bins=3, boundary_ratio=0.5
    ).double()
    dense = dense_weights(T, samples, 3, 0.5)
    features = torch.randn(2, 3, T, dtype=torch.float64, requires_grad=True)
    sampled = torch.einsum("bct,tnse->bcnse", features, dense)
    reference = torch.einsum("bcnse,ocn->bose", sampled, layer.weight).flatten(2)
    reference = (reference + layer.bias.view(1, -1, 1))[..., layer.cells]
    wanted = torch.autograd.grad(reference.square().sum(), [features, *layer.parameters()])
    given_grads = torch.autograd.grad(
        layer(features).square().sum(), [features, *layer.parameters()]
    )
    for ours, theirs in zip(given_grads, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_impossible_pairs_have_no_confidence_and_sampling_is_not_stored(network):
    output = network(torch.randn(1, 400, 40))
    impossible = torch.ones(40, 40).tril(-1).bool()
    assert (output.confidence[..., impossible] == 0).all()
    assert (output.confidence[..., ~impossible] > 0).all()
    assert not any(name.startswith("matching.sampled") for name in network.state_dict())


def test_features_of_another_length_are_refused(network):
    with pytest.raises(ValueError, match="41 snippets"):
        network(torch.zeros(1, 400, 41))


def test_it_runs_in_mixed_precision_and_learns_there():
    network = BMNConfig(8, 6, width=8, pair_width=8, map_width=8, samples=4).build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(torch.randn(2, 8, 6))
        loss = output.start.float().mean() + output.confidence.float().mean()
    loss.backward()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all()
        for name, parameter in network.named_parameters()
        if not name.startswith("end.")
    )
