"""LGTE: self-attention, half of it near by and half over the whole video (TCANet, CVPR 2021)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocalGlobalTemporalEncoder(nn.Module):
    """One LGTE layer: local and global attention, then a feed-forward network.

    Each is added to its input and normalized (paper: Local-Global Temporal Encoder).

    Args:
        channels: of the features.
        heads: of the attention; the first half of them sees `window` features, the others all.
        window: how many features a local head sees, centred on its own.
        feedforward: hidden width of the feed-forward network.
        dropout: of attention weights, of hidden values and of what is added.

    Shape:
        features: (B, C, T); mask: (B, T), true where valid, None where all are.
        returns: (B, C, T), meaningless where not valid.

    Raises:
        ValueError: the heads are not an even number that divides the channels.
    """

    def __init__(
        self,
        channels: int = 512,
        *,
        heads: int = 8,
        window: int = 9,
        feedforward: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.attention = LocalGlobalAttention(channels, heads=heads, window=window, dropout=dropout)
        self.attention_norm = nn.LayerNorm(channels)
        self.hidden = nn.Linear(channels, feedforward)
        self.out = nn.Linear(feedforward, channels)
        self.out_norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        x = features.transpose(1, 2)
        x = self.attention_norm(x + self.dropout(self.attention(x, mask)))
        added = self.out(self.dropout(self.hidden(x).relu()))
        return self.out_norm(x + self.dropout(added)).transpose(1, 2)


class LocalGlobalAttention(nn.Module):
    """Multi-head self-attention, half of whose heads see a window alone.

    Shape:
        x: (B, T, C); mask: (B, T), true where valid, None where all are. Returns (B, T, C).
    """

    def __init__(self, channels: int, *, heads: int, window: int, dropout: float) -> None:
        super().__init__()
        if heads % 2 or channels % heads:
            raise ValueError(f"heads must be even and divide {channels}, not {heads}")
        self.heads = heads
        self.window = window
        self.dropout = dropout
        self.project_in = nn.Linear(channels, 3 * channels)  # queries, keys, values
        self.project_out = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.project_in.weight)
        nn.init.zeros_(self.project_in.bias)
        nn.init.zeros_(self.project_out.bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        local_heads = self.heads // 2
        split = self.project_in(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        near, far = split[:, :, :local_heads], split[:, :, local_heads:]  # (3, B, heads / 2, T, D)
        seen = None
        if mask is not None:
            # A padded feature sees itself, lest its weights add up to nothing.
            itself = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
            seen = mask.bool().view(len(x), 1, 1, -1) | itself
        dropout = self.dropout if self.training else 0.0
        heads = torch.cat(
            [
                window_attention(*near, window=self.window, mask=mask, dropout=dropout),
                F.scaled_dot_product_attention(*far, attn_mask=seen, dropout_p=dropout),
            ],
            dim=1,
        )  # (B, heads, T, D)
        return self.project_out(heads.transpose(1, 2).flatten(2))


def window_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    window: int,
    mask: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Attention to `window` places around each, without computing those of all others.

    Equal to `scaled_dot_product_attention` with the mask `within(window, T)`.

    Shape:
        queries, keys, values: (B, heads, T, D); mask: (B, T), true where valid. Returns the same.
    """
    T, D = queries.shape[2:]
    before = window // 2
    around = (before, window - 1 - before)
    valid = mask.bool() if mask is not None else queries.new_ones(1, T, dtype=torch.bool)
    seen = F.pad(valid, around).unfold(1, window, 1).clone()  # (B, T, window)
    seen[..., before] = True  # a padded feature sees itself, lest its weights add up to nothing
    keys, values = (F.pad(x, (0, 0, *around)).unfold(2, window, 1) for x in (keys, values))
    scores = torch.matmul((queries * D**-0.5).unsqueeze(3), keys)  # (B, heads, T, 1, window)
    scores = scores.masked_fill(~seen.view(-1, 1, T, 1, window), -torch.inf)
    weights = F.dropout(scores.softmax(dim=-1), dropout)
    return torch.matmul(weights, values.transpose(3, 4)).squeeze(3)


def within(window: int, length: int, *, device: torch.device) -> Tensor:
    """Which features a local head sees: (T, T), row i true at `window` places around i."""
    position = torch.arange(length, device=device)
    offset = position - position.unsqueeze(1) + window // 2
    return (offset >= 0) & (offset < window)
