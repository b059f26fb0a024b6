"""PyTorchVideo's SlowFast: `SLOWFAST_4x16_R50.pyth`, `SLOWFAST_8x8_R50.pyth`, `…_8x8_R101.pyth`,
`SLOWFAST_16x8_R101_50_50.pyth`.
"""

from collections.abc import Mapping

from torch import Tensor

from actline.models.published.naming import Rules, count_blocks, load_network, rename, shape_of
from actline.models.published.sources import ZOO_SLOWFAST_LANDMARK
from actline.models.published.unwrap import unwrapped
from actline.models.slowfast import SlowFast, SlowFastConfig

SOURCE = "PyTorchVideo's SlowFast"

# Pathway 0 is the Slow one there, 1 the Fast one.
PATHWAYS = {"slow": 0, "fast": 1}


def rules_of(pathway: str) -> Rules:
    """Our names for the tensors of one pathway."""
    index = PATHWAYS[pathway]
    stem = rf"blocks\.0\.multipathway_blocks\.{index}\."
    block = rf"blocks\.(\d)\.multipathway_blocks\.{index}\.res_blocks\.(\d+)\."
    ours = rf"{pathway}.stage\1.\2."
    return [
        (stem + r"conv\.weight", f"{pathway}.stem.conv.weight"),
        (stem + r"norm\.(\w+)", rf"{pathway}.stem.norm.\1"),
        (block + r"branch1_conv\.weight", ours + "shortcut.0.weight"),
        (block + r"branch1_norm\.(\w+)", ours + r"shortcut.1.\3"),
        (block + r"branch2\.conv_a\.weight", ours + "narrow.weight"),
        (block + r"branch2\.norm_a\.(\w+)", ours + r"narrow_norm.\3"),
        (block + r"branch2\.conv_b\.weight", ours + "spatial.weight"),
        (block + r"branch2\.norm_b\.(\w+)", ours + r"spatial_norm.\3"),
        (block + r"branch2\.conv_c\.weight", ours + "widen.weight"),
        (block + r"branch2\.norm_c\.(\w+)", ours + r"widen_norm.\3"),
    ]


RULES: Rules = [
    (r"(.*)\.num_batches_tracked", ""),
    *rules_of("slow"),
    *rules_of("fast"),
    (r"blocks\.(\d)\.multipathway_fusion\.conv_fast_to_slow\.weight", r"laterals.\1.conv.weight"),
    (r"blocks\.(\d)\.multipathway_fusion\.norm\.(\w+)", r"laterals.\1.norm.\2"),
    # Block 5 pools and has no tensors.
    (r"blocks\.6\.proj\.(\w+)", r"head.classify.\1"),
]


def from_published(tensors: Mapping[str, Tensor], *, alpha: int) -> SlowFast:
    """The clip-level network of a file's "model_state".

    `alpha` cannot be read off the tensors: 4 for the 8x8 and 16x8 files, 8 for the 4x16 ones.

    Raises:
        CheckpointError: the tensors are not this model's.
    """
    tensors = unwrapped(tensors, ZOO_SLOWFAST_LANDMARK, source=SOURCE)
    config = config_of(tensors, alpha=alpha)
    classes = shape_of(tensors, "blocks.6.proj.bias", source=SOURCE)[0]
    ours = rename(tensors, RULES, source=SOURCE)
    # They have no split normalization: further training starts from the same statistics.
    for name in list(ours):
        if ".running_" in name:
            ours[name.replace(".running_", ".split_")] = ours[name]
    network = load_network(config, ours, classes=classes, source=SOURCE)
    assert isinstance(network, SlowFast)
    return network


def config_of(tensors: Mapping[str, Tensor], *, alpha: int) -> SlowFastConfig:
    """Widths, depths and lateral connections, read off the tensors (published names)."""
    width, fast_width = (
        shape_of(tensors, f"blocks.0.multipathway_blocks.{index}.conv.weight", source=SOURCE)[0]
        for index in PATHWAYS.values()
    )
    depths = [
        count_blocks(tensors, rf"blocks\.{stage}\.multipathway_blocks\.0\.res_blocks\.(\d+)\.")
        for stage in range(1, 5)
    ]
    # The third stage sees along time in both pathways, in its first blocks or in all.
    seeing = 0
    for block in range(depths[2]):
        narrow = f"blocks.3.multipathway_blocks.1.res_blocks.{block}.branch2.conv_a.weight"
        seeing += shape_of(tensors, narrow, source=SOURCE, axes=3)[2] > 1
    lateral = "blocks.0.multipathway_fusion.conv_fast_to_slow.weight"
    lateral_width, _, fusion_kernel, *_ = shape_of(tensors, lateral, source=SOURCE, axes=3)
    return SlowFastConfig(
        width=width,
        depths=(depths[0], depths[1], depths[2], depths[3]),
        alpha=alpha,
        beta=fast_width / width,
        fusion_kernel=fusion_kernel,
        fusion_ratio=lateral_width // fast_width,
        temporal_blocks=None if seeing == depths[2] else seeing,
        per_frame=False,
    )
