"""Attention over a whole sequence and within a window, in forms that save work and memory."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from actline.models.dropout import draw_kept, dropout

# Queries of a block share the keys around it: matrix products, though with more keys than needed.
BLOCK = 64


def window_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    window: int,
    mask: Tensor | None = None,
    probability: float = 0.0,
) -> Tensor:
    """Attention of each position to the `window` around it, without computing all others.

    Equal to `scaled_dot_product_attention` under a band mask: row t sees from t - window // 2.

    Args:
        probability: of dropping an attention weight.

    Shape:
        queries, keys, values: (B, heads, T, D); mask: (B, T), true where valid. Returns the same.
    """
    T, D = queries.shape[2:]
    before = window // 2
    block = min(BLOCK, T)
    width, missing = block + window - 1, -T % block
    around = (before, window - 1 - before + missing)
    queries = F.pad(queries * D**-0.5, (0, 0, 0, missing)).unflatten(2, (-1, block))
    # (B, heads, blocks, D, width), for the queries (B, heads, blocks, block, D)
    keys, values = (F.pad(x, (0, 0, *around)).unfold(2, width, block) for x in (keys, values))
    valid = mask.bool() if mask is not None else queries.new_ones(1, T, dtype=torch.bool)
    row = torch.arange(block, device=queries.device).unsqueeze(1)
    offset = torch.arange(width, device=queries.device) - row
    seen = F.pad(valid, around).unfold(1, width, block).unsqueeze(2)  # (B, blocks, 1, width)
    seen = seen & (offset >= 0) & (offset < window)
    seen = seen | (offset == before)  # padding sees itself: weights must not sum to 0
    scores = torch.matmul(queries, keys).masked_fill(~seen.unsqueeze(1), -torch.inf)
    weights = dropout(scores.softmax(dim=-1), probability)
    return torch.matmul(weights, values.transpose(3, 4)).flatten(2, 3)[:, :, :T]


def attention(
    queries: Tensor, keys: Tensor, values: Tensor, *, seen: Tensor | None, probability: float
) -> Tensor:
    """As `scaled_dot_product_attention`, but lighter for dropout on a CPU.

    Shape:
        queries, keys, values: (B, heads, T, D); seen: (B, 1, T, T), true where a row may look.
        Returns the same.
    """
    if probability and queries.device.type == "cpu":
        return _DroppedAttention.apply(queries, keys, values, seen, probability)
    return F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=seen, dropout_p=probability
    )


class _DroppedAttention(torch.autograd.Function):
    """Attention with dropout, one head at a time.

    The weights of one head fit into a CPU's cache, those of a batch do not; and they are computed
    again for the gradients rather than kept: T features have T x T weights per head.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes all by position
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        seen: Tensor | None,
        probability: float,
    ) -> Tensor:
        B, heads, T, _ = queries.shape
        kept, scale = draw_kept(torch.Size((B, heads, T, T)), probability)
        ctx.save_for_backward(queries, keys, values, seen, kept)
        ctx.scale = scale
        result = torch.empty_like(values)
        for b, h in _heads(queries):
            weights = _weights(queries[b, h], keys[b, h], None if seen is None else seen[b, 0])
            torch.mm(weights.mul_(kept[b, h]), values[b, h], out=result[b, h])
        return result.mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, seen, kept = ctx.saved_tensors
        gradient = grad_outputs[0] * ctx.scale
        of_queries, of_keys, of_values = (torch.empty_like(x) for x in (queries, keys, values))
        factor = queries.shape[3] ** -0.5
        for b, h in _heads(queries):
            weights = _weights(queries[b, h], keys[b, h], None if seen is None else seen[b, 0])
            mask, of_result = kept[b, h].to(weights.dtype), gradient[b, h]
            torch.mm((weights * mask).t(), of_result, out=of_values[b, h])
            of_weights = torch.mm(of_result, values[b, h].t()).mul_(mask)
            # Softmax: each row's weights add up to 1, however they change.
            of_scores = of_weights.mul_(weights)
            of_scores.addcmul_(weights, of_scores.sum(dim=1, keepdim=True), value=-1)
            torch.mm(of_scores, keys[b, h], out=of_queries[b, h])
            torch.mm(of_scores.t(), queries[b, h], out=of_keys[b, h])
        return of_queries.mul_(factor), of_keys.mul_(factor), of_values, None, None


def _heads(x: Tensor) -> list[tuple[int, int]]:
    return [(b, h) for b in range(x.shape[0]) for h in range(x.shape[1])]


def _weights(queries: Tensor, keys: Tensor, seen: Tensor | None) -> Tensor:
    scores = torch.mm(queries * queries.shape[1] ** -0.5, keys.t())
    if seen is not None:
        scores.masked_fill_(~seen, -torch.inf)
    return scores.softmax(dim=1)
