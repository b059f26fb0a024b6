"""A whole chain in one file: from frames to features, to proposals, to refined detections."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from actline.detection.model import Model, find_device, folded_model
from actline.detection.snippet_features import snippet_origin_of
from actline.errors import CheckpointError
from actline.features.public_files import Layout
from actline.models.backbone import Backbone
from actline.models.bmn import BMN
from actline.models.cards import ChainCard, LabelConfig, SegmentCard
from actline.models.checkpoint import (
    fitted,
    load_checkpoint,
    load_segment_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from actline.models.tcanet import TCANet, TCANetConfig
from actline.timeline.suppression import SuppressionConfig


@dataclass(frozen=True, eq=False)
class Chain:
    """The links of a chain that there are, on their device and in evaluation mode.

    Attributes:
        backbone: None for a chain on public features.
        bmn: None where proposals come from a file.
        tcanet: None leaves proposals as they are.
    """

    backbone: Model | None
    bmn: BMN | None
    tcanet: TCANet | None
    card: ChainCard
    device: torch.device

    @property
    def suppression(self) -> SuppressionConfig:
        """Of the last proposals."""
        card = self.card.refinement or self.card.proposals
        assert card is not None, "checked when the chain was written"
        return card.suppression

    @property
    def networks(self) -> nn.ModuleList:
        """All links, for a hash of their weights."""
        backbone = None if self.backbone is None else self.backbone.network
        links = (backbone, self.bmn, self.tcanet)
        return nn.ModuleList(link for link in links if link is not None)


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
        proposals: of BMN; None where proposals will come from a file.
        refinement: of TCANet; None leaves proposals as they are.
        interval: seconds from one snippet to the next, of public features, for BMN alone; TCANet
            knows it.
        layout: of public features where their width does not say; None takes that of those the
            links were trained on.

    Raises:
        CheckpointError: a checkpoint cannot be used, or was made for other features.
    """
    links: dict[str, nn.Module] = {}
    cards: dict[str, SegmentCard] = {}
    for name, given, kind in (
        ("proposals", proposals, BMN),
        ("refinement", refinement, TCANet),
    ):
        if given is not None:
            links[name], cards[name] = load_segment_checkpoint(given)
            if not isinstance(links[name], kind):
                raise CheckpointError(
                    f"{given} does not hold {kind.__name__}; give --{name} a checkpoint that does"
                )
    if not cards:
        raise CheckpointError("a chain needs --proposals, --refinement or both")
    origins = {card.origin for card in cards.values()}
    if len(origins) > 1:
        raise CheckpointError(f"{refinement} was trained on other features than {proposals}")
    if len({card.network.channels for card in cards.values()}) > 1:
        raise CheckpointError(
            f"{refinement} takes features of another width than {proposals}; train both on the same"
        )
    origin, model_card = origins.pop(), None
    if backbone is not None:
        network, model_card = load_checkpoint(backbone)
        links["backbone"] = network
        if origin is None:
            raise CheckpointError(
                f"{proposals or refinement} was trained on public features, which no backbone of "
                "ours makes; leave --backbone out, or train on features of `actline extract`"
            )
        model = Model(network, model_card, torch.device("cpu"))
        if snippet_origin_of(model, origin.interval) != origin:
            raise CheckpointError(
                f"{proposals or refinement} was trained on features of another backbone than "
                f"{backbone}"
            )
    if "refinement" in cards:
        refined = cards["refinement"].network
        assert isinstance(refined, TCANetConfig)
        interval = refined.snippet_interval
    elif origin is not None:
        interval = origin.interval
    if interval is None:
        raise CheckpointError(f"{proposals} does not say how far snippets are apart; give it")
    form = next(iter(cards.values())).form
    card = ChainCard(
        model_card,
        origin,
        interval,
        cards.get("proposals"),
        cards.get("refinement"),
        labels,
        replace(form, layout=layout or form.layout),
    )
    save_checkpoint(path, nn.ModuleDict(links), card)
    return card


def load_chain(path: str | Path, *, device: str = "auto") -> Chain:
    """Read what `assemble` wrote.

    Raises:
        CheckpointError: the file cannot be used.
        DeviceError: the device is not on this machine.
    """
    card, tensors = read_checkpoint(path)
    if not isinstance(card, ChainCard):
        raise CheckpointError(f"{path} is no chain; make one with `actline chain`")
    chosen = find_device(device)
    links: dict[str, nn.Module] = {}
    if card.backbone is not None:
        links["backbone"] = card.backbone.network.build(len(card.classes))
    if card.proposals is not None:
        links["proposals"] = card.proposals.network.build()
    if card.refinement is not None:
        links["refinement"] = card.refinement.network.build()
    fitted(nn.ModuleDict(links), tensors, path).to(chosen)
    backbone = None
    if card.backbone is not None:
        network = links["backbone"]
        assert isinstance(network, Backbone)
        backbone = folded_model(network, card.backbone, chosen)
    bmn, tcanet = links.get("proposals"), links.get("refinement")
    assert bmn is None or isinstance(bmn, BMN)
    assert tcanet is None or isinstance(tcanet, TCANet)
    return Chain(backbone, bmn, tcanet, card, chosen)
