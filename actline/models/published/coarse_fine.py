"""The Coarse-Fine authors' Coarse stream: `coarse_fineFEAT_charades_*.pt`."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from actline.errors import CheckpointError
from actline.models.coarse_fine import CoarseFine, CoarseFineConfig
from actline.models.published import x3d_multigrid
from actline.models.published.naming import Rules, load_network, rename, shape_of
from actline.models.x3d import inner_width

SOURCE = "the authors' Coarse stream"

# Their `fc1`, `fc2` predict the shift ("bias") and `fc3`, `fc4` the scale; rw2 to rw5 belong to
# depths 1 to 4 and rw6 to the logits.
FUSION_RULES: Rules = [
    (r"pool_1\.conv(\d)\.(\w+)", r"grid_pool.conv\1.\2"),
    (r"pool_1\.bn(\d)\.(\w+)", r"grid_pool.norm\1.\2"),
    (r"depth(\d)\.at1\.(\w+)", r"fusion.prepare.\1.filter.hidden.\2"),
    (r"depth(\d)\.at2\.(\w+)", r"fusion.prepare.\1.filter.mask.\2"),
    (r"depth(\d)\.fc1\.(\w+)", r"fusion.prepare.\1.to_shift.hidden.\2"),
    (r"depth(\d)\.fc2\.(\w+)", r"fusion.prepare.\1.to_shift.out.\2"),
    (r"depth(\d)\.fc3\.(\w+)", r"fusion.prepare.\1.to_scale.hidden.\2"),
    (r"depth(\d)\.fc4\.(\w+)", r"fusion.prepare.\1.to_scale.out.\2"),
    (r"rw6\.at1\.(\w+)", r"fusion.logits.filter.hidden.\1"),
    (r"rw6\.at2\.(\w+)", r"fusion.logits.filter.mask.\1"),
    (r"rw6\.fc1\.(\w+)", r"fusion.logits.to_shift.hidden.\1"),
    (r"rw6\.fc2\.(\w+)", r"fusion.logits.to_shift.out.\1"),
    (r"rw6\.fc3\.(\w+)", r"fusion.logits.to_scale.hidden.\1"),
    (r"rw6\.fc4\.(\w+)", r"fusion.logits.to_scale.out.\1"),
    (r"mixed(\d)\.conv_at\.(\w+)", r"fusion.mix.\1.shift.\2"),
    (r"mixed(\d)\.conv_at2\.(\w+)", r"fusion.mix.\1.scale.\2"),
]
TRUNK_RULES: Rules = [
    (pattern, f"trunk.{replacement}") for pattern, replacement in x3d_multigrid.BLOCK_RULES
]
# Depths are numbered from 0 here and from 2 (the block they feed) there.
NUMBER_RULES: Rules = [
    *((rf"rw{depth + 2}\.(.*)", rf"depth{depth}.\1") for depth in range(4)),
    *((rf"mix{depth + 2}\.(.*)", rf"mixed{depth}.\1") for depth in range(4)),
    (r"(.*)", r"\1"),
]


def from_published(
    tensors: Mapping[str, Tensor], *, fine_stream: Mapping[str, Tensor] | None = None
) -> CoarseFine:
    """The network of a checkpoint's `model_state_dict`.

    Grid Pool is recognized by its tensors; without them the pooling is taken to be a strided one.

    Args:
        fine_stream: of the Fine stream's own file; without it the network needs stored features.

    Raises:
        CheckpointError: the tensors are not this model's.
    """
    plain = x3d_multigrid.without_norm_wrappers(tensors)
    coarse = x3d_multigrid.config_of(plain, per_frame=True)
    fine_widths = [
        shape_of(plain, f"rw{depth}.at1.weight", source=SOURCE)[0] for depth in range(2, 6)
    ]
    fine = replace(coarse, widths=(fine_widths[0], fine_widths[1], fine_widths[2], fine_widths[3]))
    config = CoarseFineConfig(
        fine=fine,
        coarse=coarse,
        pooling="grid" if "pool_1.conv1.weight" in plain else "stride",
        fine_stream=False,
    )
    deepest = shape_of(plain, "rw6.at1.weight", source=SOURCE)[0]
    if deepest != inner_width(fine.widths[3]):
        raise CheckpointError(
            f"tensor rw6.at1.weight has {deepest} channels, which do not match those before in "
            f"{SOURCE}; copy the file again"
        )
    classes = shape_of(plain, "fc2.bias", source=SOURCE)[0]
    numbered = rename(plain, NUMBER_RULES, source=SOURCE)
    ours = rename(numbered, [*FUSION_RULES, *TRUNK_RULES], source=SOURCE)
    prefixed = {f"coarse.{name}": tensor for name, tensor in ours.items()}
    network = load_network(config, prefixed, classes=classes, source=SOURCE)
    assert isinstance(network, CoarseFine)
    if fine_stream is not None:
        network.fine = x3d_multigrid.from_published(fine_stream, per_frame=True)
        network.config = replace(config, fine=network.fine.config, fine_stream=True)
    return network
