"""Putting a whole chain into one file: from frames to features, to proposals, to detections."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from actline.detection.model import Model
from actline.detection.snippet_features import snippet_origin_of
from actline.errors import CheckpointError
from actline.features.public_files import Layout
from actline.models.cards import PROPOSES, ChainCard, LabelConfig, ModelCard, SegmentCard
from actline.models.checkpoint import load_checkpoint, load_segment_checkpoint, save_checkpoint


@dataclass(frozen=True, eq=False)
class _Link:
    """A stage's checkpoint."""

    path: Path
    network: nn.Module
    card: SegmentCard


def assemble(
    path: Path,
    *,
    backbone: Path | None,
    proposals: Path | None,
    refinement: Path | None,
    labels: LabelConfig,
    interval: float | None = None,
    layout: Layout | None = None,
) -> ChainCard:
    """Write one file that holds a chain's links, whole or not at all.

    Args:
        backbone: a checkpoint of the network that made the features; None for public ones.
        proposals: of a network that proposes, such as BMN; None where proposals will come from a
            file.
        refinement: of one that refines, such as TCANet; None leaves proposals as they are.
        interval: seconds from one snippet to the next, of public features, where no link knows it:
            TCANet does, BMN does not.
        layout: of public features where their width does not say; None takes that of those the
            links were trained on.

    Raises:
        CheckpointError: a checkpoint cannot be used, or was made for other features.
    """
    links = _stages({"proposals": proposals, "refinement": refinement})
    networks = {name: link.network for name, link in links.items()}
    model_card = None
    if backbone is not None:
        networks["backbone"], model_card = _backbone(backbone, next(iter(links.values())))
    card = _card(model_card, links, labels, interval=interval, layout=layout)
    save_checkpoint(path, nn.ModuleDict(networks), card)
    return card


def _stages(given: Mapping[str, Path | None]) -> dict[str, _Link]:
    """The stages that are given, which fit each other."""
    links: dict[str, _Link] = {}
    for name, path in given.items():
        if path is None:
            continue
        link = _Link(path, *load_segment_checkpoint(path))
        if link.card.network.proposes != PROPOSES[name]:
            raise CheckpointError(
                f"{path} does not hold a network {_KINDS[name]}; give --{name} a checkpoint that "
                "does"
            )
        links[name] = link
    if not links:
        raise CheckpointError("a chain needs proposals, refinement or both")
    first, *others = links.values()
    for other in others:
        if other.card.origin != first.card.origin:
            raise CheckpointError(f"{other.path} was trained on other features than {first.path}")
        if other.card.network.channels != first.card.network.channels:
            raise CheckpointError(
                f"{other.path} takes features of another width than {first.path}; train both on "
                "the same"
            )
    return links


_KINDS = {
    "proposals": "that proposes, such as BMN",
    "refinement": "that refines proposals, such as TCANet",
}


def _backbone(path: Path, link: _Link) -> tuple[nn.Module, ModelCard]:
    """The network that made the features which the stages were trained on."""
    network, card = load_checkpoint(path)
    origin = link.card.origin
    if origin is None:
        raise CheckpointError(
            f"{link.path} was trained on public features, which no backbone of ours makes; leave "
            "the backbone out, or train on features of `actline extract`"
        )
    model = Model(network, card, torch.device("cpu"))
    if snippet_origin_of(model, origin.interval) != origin:
        raise CheckpointError(
            f"{link.path} was trained on features of another backbone than {path}"
        )
    return network, card


def _card(
    backbone: ModelCard | None,
    links: Mapping[str, _Link],
    labels: LabelConfig,
    *,
    interval: float | None,
    layout: Layout | None,
) -> ChainCard:
    first = next(iter(links.values()))
    known = [link.card.network.interval for link in links.values()]
    if first.card.origin is not None:
        known.append(first.card.origin.interval)
    interval = next((one for one in known if one is not None), interval)
    if interval is None:
        raise CheckpointError(
            f"{first.path} does not say how far apart snippets are; give the interval"
        )
    cards = {name: link.card for name, link in links.items()}
    return ChainCard(
        backbone,
        first.card.origin,
        interval,
        cards.get("proposals"),
        cards.get("refinement"),
        labels,
        replace(first.card.form, layout=layout or first.card.form.layout),
    )
