"""PyTorchVideo's X3D from its model zoo: `X3D_S.pyth`, `X3D_M.pyth`, `X3D_L.pyth`."""

from collections.abc import Mapping

from torch import Tensor

from actline.models.published.naming import Rules, count_blocks, load_network, rename, shape_of
from actline.models.published.sources import ZOO_X3D_LANDMARK
from actline.models.published.unwrap import unwrapped
from actline.models.x3d import X3D, X3DConfig

SOURCE = "PyTorchVideo's X3D"

BLOCK = r"blocks\.(\d)\.res_blocks\.(\d+)\."
RULES: Rules = [
    (r"(.*)\.num_batches_tracked", ""),
    # Named the other way round there: their `conv_t` is the spatial convolution.
    (r"blocks\.0\.conv\.conv_t\.weight", "stem.spatial.weight"),
    (r"blocks\.0\.conv\.conv_xy\.weight", "stem.temporal.weight"),
    (r"blocks\.0\.norm\.(\w+)", r"stem.norm.\1"),
    (BLOCK + r"branch1_conv\.weight", r"stage\1.\2.shortcut.0.weight"),
    (BLOCK + r"branch1_norm\.(\w+)", r"stage\1.\2.shortcut.1.\3"),
    (BLOCK + r"branch2\.conv_a\.weight", r"stage\1.\2.widen.weight"),
    (BLOCK + r"branch2\.norm_a\.(\w+)", r"stage\1.\2.widen_norm.\3"),
    (BLOCK + r"branch2\.conv_b\.weight", r"stage\1.\2.depthwise.weight"),
    (BLOCK + r"branch2\.norm_b\.0\.(\w+)", r"stage\1.\2.depthwise_norm.\3"),
    (BLOCK + r"branch2\.norm_b\.1\.block\.0\.(\w+)", r"stage\1.\2.gate.squeeze.\3"),
    (BLOCK + r"branch2\.norm_b\.1\.block\.2\.(\w+)", r"stage\1.\2.gate.excite.\3"),
    (BLOCK + r"branch2\.conv_c\.weight", r"stage\1.\2.narrow.weight"),
    (BLOCK + r"branch2\.norm_c\.(\w+)", r"stage\1.\2.narrow_norm.\3"),
    (r"blocks\.5\.pool\.pre_conv\.weight", "conv5.0.weight"),
    (r"blocks\.5\.pool\.pre_norm\.(\w+)", r"conv5.1.\1"),
    (r"blocks\.5\.pool\.post_conv\.weight", "head.project.weight"),
    (r"blocks\.5\.proj\.(\w+)", r"head.classify.\1"),
]


def from_published(tensors: Mapping[str, Tensor]) -> X3D:
    """The clip-level network of a file's "model_state".

    Raises:
        CheckpointError: the tensors are not this model's.
    """
    tensors = unwrapped(tensors, ZOO_X3D_LANDMARK, source=SOURCE)
    widths = [
        shape_of(tensors, f"blocks.{stage}.res_blocks.0.branch2.conv_c.weight", source=SOURCE)[0]
        for stage in range(1, 5)
    ]
    depths = [
        count_blocks(tensors, rf"blocks\.{stage}\.res_blocks\.(\d+)\.") for stage in range(1, 5)
    ]
    config = X3DConfig(
        widths=(widths[0], widths[1], widths[2], widths[3]),
        depths=(depths[0], depths[1], depths[2], depths[3]),
        head_width=shape_of(tensors, "blocks.5.pool.post_conv.weight", source=SOURCE)[0],
        per_frame=False,
        first_shortcut_norm="blocks.1.res_blocks.0.branch1_norm.weight" in tensors,
    )
    classes = shape_of(tensors, "blocks.5.proj.bias", source=SOURCE)[0]
    ours = rename(tensors, RULES, source=SOURCE)
    # They have no split normalization: further training starts from the same statistics.
    for name in list(ours):
        if ".running_" in name:
            ours[name.replace(".running_", ".split_")] = ours[name]
    network = load_network(config, ours, classes=classes, source=SOURCE)
    assert isinstance(network, X3D)
    return network
