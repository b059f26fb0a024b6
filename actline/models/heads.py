"""Heads: from the last features to class logits, per clip or per frame."""

from torch import Tensor, nn


class ClassHead(nn.Module):
    """Average, project to `width`, classify (X3D, Feichtenhofer 2020, Table 1: pool5, fc1, fc2).

    With `per_frame` the average is over space alone, so that every frame keeps its own logits.

    Shape:
        features: (B, C, T, H, W); returns (B, K, T) per frame, or (B, K) per clip.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        per_frame: bool,
        width: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.per_frame = per_frame
        self.project = nn.Linear(channels, width, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.logits(features.mean(dim=(3, 4) if self.per_frame else (2, 3, 4)))

    def logits(self, pooled: Tensor) -> Tensor:
        """Logits (B, K[, T]) of features (B, C[, T]) that are already averaged."""
        hidden = self.project(pooled.movedim(1, -1)).relu()
        logits = self.classify(self.dropout(hidden))
        return logits.movedim(-1, 1)
