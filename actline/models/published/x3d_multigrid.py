"""The X3D of the Coarse-Fine, X3D-Multigrid and SSDet authors: one implementation, shared.

Files: `fine_charades_*.pt`, `x3d_multigrid_kinetics_*.pt`, `x3d_charades_*.pt`, each with its
tensors under "model_state_dict".
"""

from collections.abc import Mapping

from torch import Tensor

from actline.models.published.naming import Rules, count_blocks, load_network, rename, shape_of
from actline.models.published.sources import X3D_LANDMARK
from actline.models.published.unwrap import unwrapped
from actline.models.x3d import X3D, X3DConfig

SOURCE = "the authors' X3D"

# Split batch normalization keeps `bn` (aggregated) next to `split_bn` (per part).
NORM_RULES: Rules = [
    (r"(.*)\.num_batches_tracked", ""),
    (r"(.*)\.split_bn\.running_(mean|var)", r"\1.split_\2"),
    (r"(.*)\.bn\.(running_mean|running_var)", r"\1.\2"),
]
BLOCK_RULES: Rules = [
    (r"layer(\d)\.(\d+)\.conv1\.weight", r"stage\1.\2.widen.weight"),
    (r"layer(\d)\.(\d+)\.bn1\.(\w+)", r"stage\1.\2.widen_norm.\3"),
    (r"layer(\d)\.(\d+)\.conv2\.weight", r"stage\1.\2.depthwise.weight"),
    (r"layer(\d)\.(\d+)\.bn2\.(\w+)", r"stage\1.\2.depthwise_norm.\3"),
    (r"layer(\d)\.(\d+)\.fc1\.(\w+)", r"stage\1.\2.gate.squeeze.\3"),
    (r"layer(\d)\.(\d+)\.fc2\.(\w+)", r"stage\1.\2.gate.excite.\3"),
    (r"layer(\d)\.(\d+)\.conv3\.weight", r"stage\1.\2.narrow.weight"),
    (r"layer(\d)\.(\d+)\.bn3\.(\w+)", r"stage\1.\2.narrow_norm.\3"),
    (r"layer(\d)\.(\d+)\.downsample\.([01])\.(\w+)", r"stage\1.\2.shortcut.\3.\4"),
    (r"conv1_s\.weight", "stem.spatial.weight"),
    (r"conv1_t\.weight", "stem.temporal.weight"),
    (r"bn1\.(\w+)", r"stem.norm.\1"),
    (r"conv5\.weight", "conv5.0.weight"),
    (r"bn5\.(\w+)", r"conv5.1.\1"),
    (r"fc1\.weight", "head.project.weight"),
    (r"fc2\.(\w+)", r"head.classify.\1"),
]


def without_norm_wrappers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Unwrapped, and normalization statistics under the name of the layer itself."""
    plain = unwrapped(tensors, X3D_LANDMARK, source=SOURCE)
    return rename(plain, [*NORM_RULES, (r"(.*)", r"\1")], source=SOURCE)


def config_of(tensors: Mapping[str, Tensor], *, per_frame: bool) -> X3DConfig:
    """Widths, depths and splits, read off the tensors (published names, norm wrappers gone)."""
    widths = [
        shape_of(tensors, f"layer{stage}.0.conv3.weight", source=SOURCE)[0] for stage in range(1, 5)
    ]
    depths = [count_blocks(tensors, rf"layer{stage}\.(\d+)\.") for stage in range(1, 5)]
    splits = shape_of(tensors, "bn1.split_mean", source=SOURCE)[0] // widths[0]
    return X3DConfig(
        widths=(widths[0], widths[1], widths[2], widths[3]),
        depths=(depths[0], depths[1], depths[2], depths[3]),
        head_width=shape_of(tensors, "fc1.weight", source=SOURCE)[0],
        splits=splits,
        per_frame=per_frame,
    )


def from_published(tensors: Mapping[str, Tensor], *, per_frame: bool) -> X3D:
    """The network of a checkpoint's `model_state_dict`.

    `per_frame` cannot be read off the tensors: True for the Charades localization files (Fine
    stream, `x3d_charades_loc`), False for the Kinetics and Charades classification files.

    Raises:
        CheckpointError: the tensors are not this model's.
    """
    plain = without_norm_wrappers(tensors)
    config = config_of(plain, per_frame=per_frame)
    classes = shape_of(plain, "fc2.bias", source=SOURCE)[0]
    ours = rename(plain, BLOCK_RULES, source=SOURCE)
    network = load_network(config, ours, classes=classes, source=SOURCE)
    assert isinstance(network, X3D)
    return network
