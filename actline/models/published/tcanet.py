"""The TCANet authors' network: `TCA_best.pth.tar`, its tensors under "state_dict"."""

from collections.abc import Mapping

from torch import Tensor

from actline.errors import CheckpointError
from actline.models.published.naming import Rules, count_blocks, load_network, rename, shape_of
from actline.models.published.sources import TCANET_LANDMARK
from actline.models.published.unwrap import unwrapped
from actline.models.tcanet import GROUPS, TCANet, TCANetConfig

SOURCE = "the authors' TCANet"

# The regressor whose overlap `post_processing.py` multiplies scores by: `preds_iou3` is that of the
# second (`main_tcanet.py` counts them from 2), although there are three.
SCORED_BY = 2

# Stage n is `tbr{n}` there, counted from 1.
STAGES = {"1": "0", "2": "1", "3": "2"}
MASK = "lgtes.0.self_atten.mask_matrix"

RULES: Rules = [
    # Which features a local head sees; a tensor of constants.
    (r"lgtes\.\d+\.self_atten\.mask_matrix", ""),
    (r"x_1d_b_f\.0\.(\w+)", r"reduce.0.\1"),
    (r"x_1d_b_f\.2\.(\w+)", r"reduce.1.\1"),
    (
        r"lgtes\.(\d+)\.self_atten\.scale_attention\.in_proj_(\w+)",
        r"encoder.\1.attention.project_in.\2",
    ),
    (
        r"lgtes\.(\d+)\.self_atten\.scale_attention\.out_proj\.(\w+)",
        r"encoder.\1.attention.project_out.\2",
    ),
    (r"lgtes\.(\d+)\.linear1\.(\w+)", r"encoder.\1.hidden.\2"),
    (r"lgtes\.(\d+)\.linear2\.(\w+)", r"encoder.\1.out.\2"),
    (r"lgtes\.(\d+)\.norm1\.(\w+)", r"encoder.\1.attention_norm.\2"),
    (r"lgtes\.(\d+)\.norm2\.(\w+)", r"encoder.\1.out_norm.\2"),
    *(
        rule
        for theirs, ours in STAGES.items()
        for rule in (
            (
                rf"tbr{theirs}\.reg1se\.(start|end)_reg_conv\.(\d)\.(\w+)",
                rf"regressors.{ours}.\1.\2.\3",
            ),
            (rf"tbr{theirs}\.reg1xw\.reg_1d_b\.([02])\.(\w+)", rf"regressors.{ours}.segment.\1.\2"),
            (rf"tbr{theirs}\.reg1xw\.reg_1d_o\.0\.(\w+)", rf"regressors.{ours}.segment.4.\1"),
            (rf"tbr{theirs}\.reg1xw\.reg_1d_o\.2\.(\w+)", rf"regressors.{ours}.segment.6.\1"),
        )
    ),
]


def from_published(
    tensors: Mapping[str, Tensor],
    *,
    snippet_interval: float = 8 / 15,
    padded_length: int | None = None,
) -> TCANet:
    """The network of a checkpoint's "state_dict".

    Args:
        tensors: by their published names, whatever wrapped them.
        snippet_interval: seconds from one feature to the next, which no tensor shows.
        padded_length: as in `TCANet`. A file that holds the attention masks determines it and the
            window, whatever is given here.

    Raises:
        CheckpointError: the tensors are not this model's.
    """
    plain = unwrapped(tensors, TCANET_LANDMARK, source=SOURCE)
    config = config_of(plain, snippet_interval=snippet_interval, padded_length=padded_length)
    network = load_network(config, rename(plain, RULES, source=SOURCE), source=SOURCE)
    assert isinstance(network, TCANet)
    return network


def config_of(
    tensors: Mapping[str, Tensor], *, snippet_interval: float, padded_length: int | None
) -> TCANetConfig:
    """Widths and samples, read off the tensors (published names, unwrapped)."""
    width, channels_per_group = shape_of(tensors, "x_1d_b_f.0.weight", source=SOURCE, axes=2)[:2]
    frame_width = shape_of(tensors, "tbr1.reg1se.start_reg_conv.0.weight", source=SOURCE)[0]
    segment_width = shape_of(tensors, "tbr1.reg1xw.reg_1d_b.0.weight", source=SOURCE)[0]
    # The last convolution of each head sees all of its samples after two of stride 2.
    start, end, total = (
        4 * shape_of(tensors, f"tbr1.{name}.weight", source=SOURCE, axes=3)[2]
        for name in ("reg1se.start_reg_conv.4", "reg1se.end_reg_conv.4", "reg1xw.reg_1d_o.0")
    )
    heads, window = 8, 9  # the published values; no weight shows them
    if MASK in tensors:
        mask = tensors[MASK]  # (1, heads, T, T), 0 where seen
        if mask.ndim != 4 or 0 in mask.shape:
            raise CheckpointError(f"tensor {MASK} is {tuple(mask.shape)}, not (1, heads, T, T)")
        heads, padded_length = mask.shape[1], mask.shape[2]
        window = int((mask[0, 0, padded_length // 2] == 0).sum())
    stages = count_blocks(tensors, r"tbr(\d)\.")
    return TCANetConfig(
        channels=channels_per_group * GROUPS,
        width=width,
        encoder_layers=count_blocks(tensors, r"lgtes\.(\d+)\."),
        heads=heads,
        window=window,
        feedforward=shape_of(tensors, "lgtes.0.linear1.weight", source=SOURCE)[0],
        start_samples=start,
        action_samples=total - start - end,
        end_samples=end,
        frame_width=frame_width,
        segment_width=segment_width,
        stages=stages,
        snippet_interval=snippet_interval,
        padded_length=padded_length,
        scored_by=min(SCORED_BY, stages),
    )
