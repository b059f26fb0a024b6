"""Fixed poolings in time, which Coarse-Fine Networks compare Grid Pool with (Table 3).

Each gives the pooled frames and where they lie in the clip, so that what is computed from them can
be put back at the right time: `at_every_frame` undoes each exactly for values that change linearly.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def strided_frames(x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Every `stride`-th frame, beginning with the first.

    Shape:
        x: (B, C, T, H, W); returns (B, C, P, H, W), P = ceil(T / stride), and where the frames
            lie, (B, P) in [0, 1], 0 being the clip's first frame and 1 its last.
    """
    frames = torch.arange(0, x.shape[2], stride, device=x.device)
    return x[:, :, ::stride], in_clip(frames.expand(len(x), -1), x.shape[2])


def average_frames(x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """The mean of every `stride` frames, which lies in their middle; shapes as `strided_frames`.

    The last frames count too where they are fewer; published code leaves them out.
    """
    T = x.shape[2]
    time = torch.arange(T, device=x.device, dtype=torch.float32).view(1, 1, T, 1, 1)
    count = bin_sums(torch.ones_like(time), stride)
    frames = (bin_sums(time, stride) / count).view(1, -1).expand(len(x), -1)
    return bin_sums(x, stride) / count.to(x.dtype), in_clip(frames, T)


def maximum_frames(x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """The largest of every `stride` frames, each value separately; shapes as `strided_frames`.

    A maximum has no time of its own: it lies where it is reached, at the last of its frames where
    values grow and at the first where they fall. So a pooled frame lies at the mean of the times
    at which its values are reached, over all channels and pixels; a value that does not change,
    as many behind a ReLU, counts in the middle.
    """
    T = x.shape[2]
    kernel = (min(stride, T), 1, 1)
    pooled = F.max_pool3d(x, kernel, kernel, ceil_mode=True)
    with torch.no_grad():
        reached = (x == pooled.repeat_interleave(stride, dim=2)[:, :, :T]).float()
        time = torch.arange(T, device=x.device, dtype=torch.float32).view(1, 1, T, 1, 1)
        when = bin_sums(reached * time, stride) / bin_sums(reached, stride)
    return pooled, in_clip(when.mean(dim=(1, 3, 4)), T)


def bin_sums(x: Tensor, stride: int) -> Tensor:
    """Sums over every `stride` frames, the last perhaps fewer: (B, C, T, H, W) to (…, P, H, W)."""
    padded = F.pad(x, (0, 0, 0, 0, 0, -x.shape[2] % stride))
    return padded.unflatten(2, (-1, stride)).sum(dim=3)


def in_clip(frames: Tensor, count: int) -> Tensor:
    """Places (B, P) in frames as fractions of a clip of `count`: 0 its first frame, 1 its last."""
    return frames.float() / max(count - 1, 1)


def at_every_frame(values: Tensor, places: Tensor, frames: int) -> Tensor:
    """Interpolate linearly between pooled frames, and extrapolate beyond the first and the last.

    A single one stands for all.

    Shape:
        values: (B, K, P) at `places` (B, P), in frames, increasing; returns (B, K, frames).
    """
    B, K, P = values.shape
    if P == 1:
        return values.expand(B, K, frames)
    wanted = torch.arange(frames, device=places.device, dtype=places.dtype)
    after = torch.searchsorted(places.contiguous(), wanted.expand(B, -1).contiguous())
    after = after.clamp(1, P - 1)
    left, right = places.gather(1, after - 1), places.gather(1, after)
    fraction = ((wanted - left) / (right - left)).to(values.dtype).unsqueeze(1)
    before, after = ((index.unsqueeze(1).expand(B, K, -1)) for index in (after - 1, after))
    return torch.lerp(values.gather(2, before), values.gather(2, after), fraction)
