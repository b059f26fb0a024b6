"""LGTE: self-attention, half of it local and half over the whole video (TCANet, CVPR 2021)."""

import torch
from torch import Tensor, nn

from actline.models.attention import attention, window_attention
from actline.models.dropout import dropout


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
        channels: int,
        *,
        heads: int,
        window: int,
        feedforward: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention = LocalGlobalAttention(channels, heads=heads, window=window, dropout=dropout)
        self.attention_norm = nn.LayerNorm(channels)
        self.hidden = nn.Linear(channels, feedforward)
        self.out = nn.Linear(feedforward, channels)
        self.out_norm = nn.LayerNorm(channels)
        self.dropout = dropout

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        x = features.transpose(1, 2)
        dropped = self.dropout if self.training else 0.0
        x = self.attention_norm(x + dropout(self.attention(x, mask), dropped))
        added = self.out(dropout(self.hidden(x).relu(), dropped))
        return self.out_norm(x + dropout(added, dropped)).transpose(1, 2)


class LocalGlobalAttention(nn.Module):
    """Multi-head self-attention, half of whose heads see only a window.

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
        near, far = split.split(local_heads, dim=2)  # (3, B, heads / 2, T, D)
        seen = None
        if mask is not None:
            # A padded feature sees itself, so that its weights never sum to zero.
            itself = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
            seen = mask.bool().view(len(x), 1, 1, -1) | itself
        dropped = self.dropout if self.training else 0.0
        heads = torch.cat(
            [
                window_attention(*near, window=self.window, mask=mask, probability=dropped),
                attention(*far, seen=seen, probability=dropped),
            ],
            dim=1,
        )  # (B, heads, T, D)
        return self.project_out(heads.transpose(1, 2).flatten(2))
