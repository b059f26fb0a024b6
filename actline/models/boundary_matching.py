"""BMN's boundary-matching layer, in a form that takes little memory (Lin et al., ICCV 2019).

What it computes is the paper's Section 3.3; how, through a sparse matrix made once, is ours.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BoundaryMatching(nn.Module):
    """The boundary-matching layer and the convolution that sums up its samples (Section 3.3).

    Both are linear, so their order may change. The published code samples first, with a dense
    matrix (T, N * T * T), and then convolves N samples of every pair. Here the features are
    weighted for all N samples first, T times instead of T * T times, and every pair then adds up
    the few weighted features that it samples, through sparse weights made once.

    Shape:
        features: (B, C, T); returns (P, B, W), for the P = T (T + 1) / 2 possible pairs in the
            order of `cells` (P,), their places in a flattened (T, T) map.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        temporal_scale: int,
        samples: int,
        bins: int,
        boundary_ratio: float,
    ) -> None:
        super().__init__()
        self.samples = samples
        self.weight = nn.Parameter(torch.empty(width, channels, samples))
        self.bias = nn.Parameter(torch.empty(width))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # as PyTorch's convolutions
        bound = (channels * samples) ** -0.5
        nn.init.uniform_(self.bias, -bound, bound)

        # For a network without values (`outline`), which never runs, the smallest table will do.
        T = 2 if self.weight.is_meta else temporal_scale
        with torch.device("cpu"):
            table = sampling_weights(T, samples=samples, bins=bins, boundary_ratio=boundary_ratio)
            starts, ends = torch.triu_indices(T, T)
            sampled = SparseRows(table)
        self.cells: Tensor
        self.register_buffer("cells", (starts * T + ends).to(self.weight.device), persistent=False)
        self.sampled = sampled.to(self.weight.device)

    def forward(self, features: Tensor) -> Tensor:
        B, _, T = features.shape
        rows = features.permute(2, 0, 1).flatten(0, 1)  # (T * B, C)
        weighted = torch.matmul(rows, self.weight.permute(2, 1, 0))  # (N, T * B, W)
        pairs = self.sampled(weighted.view(self.samples * T, -1))
        return pairs.view(len(pairs), B, -1) + self.bias

    def sample(self, features: Tensor) -> Tensor:
        """The layer's samples themselves, (B, C, N, T, T), which `forward` never makes.

        They take N * T times the memory of the features: for inspection and tests.
        """
        B, C, T = features.shape
        table = self.sampled.dense().unflatten(1, (self.samples, T))  # (P, N, T)
        sampled = torch.einsum("bct,pnt->bcnp", features, table)
        empty = sampled.new_zeros(B, C, self.samples, T * T)
        return empty.index_copy(3, self.cells, sampled).unflatten(3, (T, T))


class Entries(NamedTuple):
    """The entries of a sparse matrix, each place once and rows in order.

    Shape:
        row, column, weight: (E,).
    """

    row: Tensor
    column: Tensor
    weight: Tensor
    shape: tuple[int, int]

    def transposed(self) -> "Entries":
        order = self.column.argsort(stable=True)
        shape = (self.shape[1], self.shape[0])
        return Entries(self.column[order], self.row[order], self.weight[order], shape)

    def offsets(self) -> Tensor:
        """Where every row's entries begin, and where the last one's end: (rows + 1,)."""
        lengths = torch.bincount(self.row, minlength=self.shape[0])
        return F.pad(lengths.cumsum(0), (1, 0))


def sampling_weights(
    temporal_scale: int, *, samples: int, bins: int, boundary_ratio: float
) -> Entries:
    """How much every snippet counts for every sample of every pair (Section 3.3, equation (2)).

    A pair from snippet s to e (inclusive) spans [s, e + 1], widened on both sides by
    `boundary_ratio` times its length plus one (the "plus one" is the code's, not the paper's).
    `samples * bins` points are spread over that, each interpolated between two snippets; a
    sample is the mean of its `bins` points. Points outside the video count as zero, except that
    those less than a snippet before it count as its first snippet: a rounding in the published
    code, on which its checkpoints were trained.

    Returns:
        Entries of a (P, N * T) matrix; snippet t of sample n is column n * T + t.
    """
    T, N = temporal_scale, samples
    starts, ends = torch.triu_indices(T, T).double()
    context = (ends + 1 - starts + 1) * boundary_ratio
    first, last = starts - context, ends + 1 + context
    # Double precision and this order of operations: a point exactly one snippet before the video
    # counts nothing, and one just after that counts in full.
    step = (last - first) / max(N * bins - 1, 1)
    point = first.unsqueeze(1) + step.unsqueeze(1) * torch.arange(N * bins)  # (P, N * bins)
    point = torch.where(point > -1, point.clamp(min=0), point)
    below = point.floor()
    snippet = torch.stack((below, below + 1), dim=-1)
    weight = torch.stack((1 - (point - below), point - below), dim=-1) / bins
    counts = (snippet >= 0) & (snippet < T) & (weight > 0)

    pair = torch.arange(len(starts)).view(-1, 1, 1)
    sample = (torch.arange(N * bins) // bins).view(1, -1, 1)
    place = (pair * N + sample) * T + snippet.long()
    places, which = place[counts].unique(return_inverse=True)  # points of a sample share snippets
    merged = weight.new_zeros(len(places)).index_add(0, which, weight[counts])
    return Entries(places // (N * T), places % (N * T), merged.float(), (len(starts), N * T))


class SparseRows(nn.Module):
    """A constant sparse matrix times a dense one, as sums of selected rows in both directions.

    Shape:
        dense: (columns, D); returns (rows, D), in the type of the matrix.
    """

    offsets: Tensor
    columns: Tensor
    weights: Tensor
    offsets_t: Tensor
    columns_t: Tensor
    weights_t: Tensor

    def __init__(self, entries: Entries) -> None:
        super().__init__()
        self.shape = entries.shape
        # Not sparse tensors: those cannot be buffers, which follow the module.
        for suffix, one_way in (("", entries), ("_t", entries.transposed())):
            self.register_buffer(f"offsets{suffix}", one_way.offsets().int(), persistent=False)
            self.register_buffer(f"columns{suffix}", one_way.column.int(), persistent=False)
            self.register_buffer(f"weights{suffix}", one_way.weight, persistent=False)

    def forward(self, dense: Tensor) -> Tensor:
        forth = (self.offsets, self.columns, self.weights)
        back = (self.offsets_t, self.columns_t, self.weights_t)
        return times_sparse(dense.to(self.weights.dtype), forth, back)

    def dense(self) -> Tensor:
        """The matrix itself: (rows, columns)."""
        lengths = self.offsets.diff().long()
        rows = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
        return self.weights.new_zeros(self.shape).index_put((rows, self.columns), self.weights)


SparseParts = tuple[Tensor, Tensor, Tensor]
"""Offsets (rows + 1,), columns (E,) and weights (E,)."""


def times_sparse(dense: Tensor, forth: SparseParts, back: SparseParts) -> Tensor:
    """`forth` times `dense`; `back` is the transposed matrix, which the gradient uses."""
    result = _SparseTimesDense.apply(dense, *forth, *back)
    assert isinstance(result, Tensor)
    return result


class _SparseTimesDense(torch.autograd.Function):
    """`embedding_bag` whose gradient is another one, with the transposed matrix.

    PyTorch's own gradient sorts all indices again in every step.
    """

    @staticmethod
    def forward(ctx: Any, dense: Tensor, *parts: Tensor) -> Tensor:
        ctx.save_for_backward(*parts)
        offsets, columns, weights, *_ = parts
        return F.embedding_bag(
            columns,
            dense,
            offsets,
            mode="sum",
            per_sample_weights=weights,
            include_last_offset=True,
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        forth, back = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        return times_sparse(gradient.contiguous(), back, forth), *[None] * 6
