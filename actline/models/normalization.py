"""Batch normalization over parts of a batch, as X3D and Multigrid training use it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NormalizationError(ValueError):
    """A batch cannot be normalized: it cannot be split, or leaves a channel only one value."""


class SplitBatchNorm3d(nn.Module):
    """Batch normalization whose statistics are taken over `splits` parts of the batch.

    Training normalizes each part separately, so that the statistics do not depend on how large a
    batch one device holds (Multigrid, Wu et al. 2020, Section 3.3). Evaluation uses
    `running_mean` and `running_var`, which `aggregate_statistics` computes from the parts'.

    Shape:
        x: (B, C, T, H, W), B divisible by `splits` while training; returns the same shape.

    Raises:
        NormalizationError: while training, a batch that cannot be normalized.
    """

    running_mean: Tensor
    running_var: Tensor
    split_mean: Tensor
    split_var: Tensor

    def __init__(
        self, channels: int, *, splits: int = 1, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.splits = splits
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("split_mean", torch.zeros(channels * splits))
        self.register_buffer("split_var", torch.ones(channels * splits))
        self.register_load_state_dict_pre_hook(follow_stored_splits)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        B, C = x.shape[:2]
        if B % self.splits:
            raise NormalizationError(
                f"a batch of {B} cannot be split into {self.splits} equal parts"
            )
        if x.numel() == C * self.splits:
            raise NormalizationError("a part of the batch has only one value per channel")
        if self.splits == 1:  # no views: an in-place activation on one costs a copy of its gradient
            return F.batch_norm(
                x,
                self.split_mean,
                self.split_var,
                self.weight,
                self.bias,
                training=True,
                momentum=self.momentum,
                eps=self.eps,
            )
        # Samples i, i + 1, … of one row of the view share no statistics: each has channels of
        # its own, which makes one call normalize all parts.
        parts = x.reshape(B // self.splits, self.splits * C, *x.shape[2:])
        normalized = F.batch_norm(
            parts,
            self.split_mean,
            self.split_var,
            self.weight.repeat(self.splits),
            self.bias.repeat(self.splits),
            training=True,
            momentum=self.momentum,
            eps=self.eps,
        )
        return normalized.reshape(x.shape)

    @torch.no_grad()
    def aggregate_statistics(self) -> None:
        """Set the evaluation statistics to those of the parts taken together."""
        means = self.split_mean.view(self.splits, -1)
        variances = self.split_var.view(self.splits, -1)
        mean = means.mean(0)
        self.running_mean.copy_(mean)
        self.running_var.copy_(variances.mean(0) + (means - mean).square().mean(0))

    def set_splits(self, splits: int) -> None:
        """Change the number of parts; each starts from the statistics of the whole."""
        if splits == self.splits:
            return
        self.aggregate_statistics()
        self.splits = splits
        self.split_mean = self.running_mean.repeat(splits)
        self.split_var = self.running_var.repeat(splits)


def follow_stored_splits(
    module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Before loading: as many parts as are stored, since Multigrid changes them during training."""
    assert isinstance(module, SplitBatchNorm3d)
    stored = state.get(f"{prefix}split_mean")
    channels = len(module.running_mean)
    if stored is not None and len(stored) and len(stored) % channels == 0:
        module.set_splits(len(stored) // channels)


def aggregate_statistics(network: nn.Module) -> None:
    """Aggregate every split normalization of `network`; call it before evaluating or saving."""
    for module in network.modules():
        if isinstance(module, SplitBatchNorm3d):
            module.aggregate_statistics()


def set_splits(network: nn.Module, splits: int) -> None:
    """Change the parts of every split normalization of `network`, as Multigrid's batches grow."""
    for module in network.modules():
        if isinstance(module, SplitBatchNorm3d):
            module.set_splits(splits)
