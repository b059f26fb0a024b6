"""Bringing a published checkpoint over, without running anything in it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

from actline.annotations.read import read_classes
from actline.errors import CheckpointError
from actline.models.backbone import Backbone
from actline.models.cards import Card, ModelCard, SegmentCard
from actline.models.checkpoint import save_checkpoint
from actline.models.normalization import aggregate_statistics
from actline.models.published.sources import SOURCES, Options, Source
from actline.models.published.unwrap import read_published
from actline.plain import plain
from actline.timeline.suppression import SuppressionConfig


def convert(
    path: str | Path,
    out: str | Path,
    source: str,
    *,
    fine: str | Path | None = None,
    classes: str | Path | Sequence[str] | None = None,
    alpha: int = 4,
    per_frame: bool = False,
    aggregate: bool = False,
) -> tuple[nn.Module, Card]:
    """Convert a published file to a checkpoint of ours.

    Args:
        path: the published file.
        out: the file to write.
        source: the name of one of `SOURCES`.
        fine: the Fine stream's file, for "coarse-fine".
        classes: names, in the order of the logits, or a file that lists them; None numbers them.
        alpha: a SlowFast's Fast frames for each Slow one: 4 for 8x8 and 16x8, 8 for 4x16.
        per_frame: whether an "x3d-multigrid" file was trained for localization.
        aggregate: compute evaluation statistics of normalization from the training ones, as the
            authors' scripts do before they evaluate, rather than take them as stored.

    Returns:
        The network, in evaluation mode, and its card.

    Raises:
        CheckpointError: a file cannot be read, is not of that source, or has another number of
            classes.
        OutputError: the file cannot be written.
    """
    path, chosen = Path(path), _source(source)
    tensors = read_published(path)
    _check_source(path, tensors, chosen)
    options = Options(None if fine is None else read_published(fine), alpha, per_frame)
    network = chosen.network(tensors, options)
    if aggregate:
        aggregate_statistics(network)
    told = f"{plain(path.name)}, converted from {chosen.name}"
    if isinstance(network, Backbone):
        assert chosen.shown is not None
        card: Card = ModelCard(
            network=network.config,
            classes=_class_names(classes, network.classes),
            source=told,
            **asdict(chosen.shown(options)),
        )
    else:
        card = SegmentCard(
            network=network.config,
            classes=_class_names(classes, None),
            origin=None,
            suppression=SuppressionConfig.tcanet(),
            source=told,
        )
    save_checkpoint(Path(out), network.eval(), card)
    return network, card


def _source(name: str) -> Source:
    found = next((one for one in SOURCES if one.name == name), None)
    if found is None:
        names = ", ".join(one.name for one in SOURCES)
        raise CheckpointError(f'"{name}" is not a source of checkpoints; choose one of {names}')
    return found


def _check_source(path: Path, tensors: Mapping[str, Tensor], chosen: Source) -> None:
    """Refuse a file that is plainly another source's, and say whose."""
    likely = [one.name for one in SOURCES if one.fits(tensors)]
    if likely and chosen.name not in likely:
        raise CheckpointError(
            f"{path} is not of {chosen.name}; it looks like {' or '.join(likely)}: "
            "give that source (--from)"
        )


def _class_names(given: str | Path | Sequence[str] | None, count: int | None) -> tuple[str, ...]:
    if given is None:
        return tuple(f"c{index:03d}" for index in range(count or 0))
    listed = isinstance(given, str | Path)
    names = read_classes(given).names if listed else tuple(given)
    if count is not None and len(names) != count:
        where = given if listed else "classes"
        raise CheckpointError(f"{where} names {len(names)} classes; the checkpoint has {count}")
    return names
