"""A whole chain in one file: from frames to features, to proposals, to refined detections."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from actline.data.snippets import SnippetOrigin
from actline.detection.model import Model, find_device
from actline.detection.snippets import snippet_origin_of
from actline.errors import CheckpointError
from actline.models.bmn import BMN
from actline.models.config import BMNConfig, TCANetConfig
from actline.models.suppression import SuppressionConfig
from actline.models.tcanet import TCANet
from actline.train.checkpoint import (
    ChainCard,
    LabelConfig,
    fitted,
    load_checkpoint,
    load_segment_checkpoint,
    read_card,
    read_tensors,
    save_checkpoint,
)


@dataclass(frozen=True, eq=False)
class Chain:
    """Backbone, BMN and, where there is one, TCANet, on their device and in evaluation mode."""

    backbone: Model
    bmn: BMN
    tcanet: TCANet | None
    card: ChainCard

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the backbone's logits."""
        return self.card.classes

    @property
    def origin(self) -> SnippetOrigin:
        """What the snippet features must have been made with."""
        return self.card.origin

    @property
    def suppression(self) -> SuppressionConfig:
        """Of the last proposals."""
        return (self.card.refinement or self.card.proposals).suppression


def assemble(
    path: Path,
    *,
    backbone: Path,
    proposals: Path,
    refinement: Path | None,
    labels: LabelConfig,
) -> ChainCard:
    """Write one file that holds a chain's links, whole or not at all.

    Args:
        backbone: a checkpoint of the network that made the features.
        proposals: of BMN, trained on them.
        refinement: of TCANet, trained on them; None leaves BMN's proposals as they are.

    Raises:
        CheckpointError: a checkpoint cannot be used, or was made for other features.
    """
    network, card = load_checkpoint(backbone)
    bmn, bmn_card = load_segment_checkpoint(proposals)
    if not isinstance(bmn, BMN):
        raise CheckpointError(f"{proposals} does not hold BMN; give --proposals a BMN checkpoint")
    links: dict[str, nn.Module] = {"backbone": network, "proposals": bmn}
    refinement_card = None
    if refinement is not None:
        tcanet, refinement_card = load_segment_checkpoint(refinement)
        if not isinstance(tcanet, TCANet):
            raise CheckpointError(f"{refinement} does not hold TCANet; give --refinement one")
        links["refinement"] = tcanet
    origin = bmn_card.origin
    if origin is None:
        raise CheckpointError(
            f"{proposals} was trained on public features, which no backbone of ours makes; "
            "train it on features of `actline extract --snippets`"
        )
    model = Model(network, card, torch.device("cpu"))
    if snippet_origin_of(model, origin.interval) != origin:
        raise CheckpointError(
            f"{proposals} was trained on features of another backbone than {backbone}"
        )
    if refinement_card is not None and refinement_card.origin != origin:
        raise CheckpointError(f"{refinement} was trained on other features than {proposals}")
    chain = ChainCard(card, origin, bmn_card, refinement_card, labels)
    save_checkpoint(path, nn.ModuleDict(links), chain)
    return chain


def load_chain(path: str | Path, *, device: str = "auto") -> Chain:
    """Read what `assemble` wrote.

    Raises:
        CheckpointError: the file cannot be used.
        DeviceError: the device is not on this machine.
    """
    card = read_card(path)
    if not isinstance(card, ChainCard):
        raise CheckpointError(f"{path} is no chain; make one with `actline chain`")
    links: dict[str, nn.Module] = {
        "backbone": card.backbone.network.build(len(card.classes)),
        "proposals": card.proposals.network.build(),
    }
    if card.refinement is not None:
        links["refinement"] = card.refinement.network.build()
    fitted(nn.ModuleDict(links), read_tensors(Path(path)), path)
    chosen = find_device(device)
    frames = links["backbone"].to(chosen, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    bmn, tcanet = links["proposals"].to(chosen), links.get("refinement")
    assert isinstance(bmn, BMN)
    assert isinstance(card.proposals.network, BMNConfig)
    if tcanet is not None:
        tcanet = tcanet.to(chosen)
        assert isinstance(tcanet, TCANet)
        assert card.refinement is not None
        assert isinstance(card.refinement.network, TCANetConfig)
    return Chain(Model(frames.eval(), card.backbone, chosen), bmn, tcanet, card)
