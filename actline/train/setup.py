"""What a run is made of, from its recipe: network, data, optimizer, devices."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from actline.data.annotations import Annotations
from actline.data.dense import DenseBatch, DenseClips, TrainingBatches, collate
from actline.errors import ActlineError, CheckpointError
from actline.models.coarse_fine import CoarseFine
from actline.models.config import CoarseFineConfig
from actline.train.checkpoint import (
    ModelCard,
    load_checkpoint,
    start_from,
    weights_hash,
)
from actline.train.recipe import OptimizerConfig, Recipe
from actline.train.yaml_form import to_mapping


def accelerator_for(recipe: Recipe, *, cpu: bool) -> Accelerator:
    """Devices, processes and precision, by Accelerate."""
    # With stored features or without a loss of its own, the Fine stream's head gets no gradient.
    unused = isinstance(recipe.network, CoarseFineConfig)
    return Accelerator(
        cpu=cpu,
        mixed_precision=recipe.mixed_precision,
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=unused),
            # One process validates while the others wait.
            InitProcessGroupKwargs(timeout=timedelta(hours=12)),
        ],
    )


def new_network(recipe: Recipe, classes: tuple[str, ...]) -> tuple[nn.Module, ModelCard]:
    """The network before its first step, and its card.

    Raises:
        CheckpointError: a checkpoint that the recipe names cannot be used.
    """
    torch.manual_seed(recipe.seed)
    network = recipe.network.build(len(classes))
    if recipe.init:
        start_from(network, recipe.init)
    if recipe.features is not None:
        assert isinstance(network, CoarseFine)
        assert network.fine is not None
        fine, _ = load_checkpoint(recipe.features.checkpoint)
        try:
            network.fine.load_state_dict(fine.state_dict())
        except RuntimeError as error:
            raise CheckpointError(
                f"{recipe.features.checkpoint} is not the Fine stream that the recipe describes; "
                "make network.fine agree with it"
            ) from error
        network.fine.requires_grad_(False)
    card = ModelCard(
        network=recipe.network,
        classes=classes,
        size=recipe.clip.size,
        mean=recipe.clip.mean,
        std=recipe.clip.std,
        rate=recipe.clip.rate,
        stride=recipe.clip.stride,
        window=recipe.window,
        overlap=recipe.overlap,
        recipe=json.dumps(to_mapping(recipe)),
    )
    return network, card


def dataset_for(recipe: Recipe, annotations: Annotations, card: ModelCard) -> DenseClips:
    """Training clips, with stored Fine features where the recipe names them."""
    features, origin = None, None
    if recipe.features is not None:
        features = Path(recipe.features.folder)
        fine, fine_card = load_checkpoint(recipe.features.checkpoint)
        origin = fine_card.feature_origin(weights_hash(fine))
        origin = replace(origin, rate=card.rate, stride=card.stride, size=card.size)
    return DenseClips(
        annotations,
        Path(recipe.data.videos),
        recipe.clip,
        seed=recipe.seed,
        frame_rate=recipe.data.frame_rate,
        features=features,
        origin=origin,
        decoded=None if recipe.data.decoded is None else Path(recipe.data.decoded),
    )


def batches_for(
    dataset: DenseClips,
    recipe: Recipe,
    accelerator: Accelerator,
    *,
    first_step: int,
    last_step: int,
) -> Iterator[DenseBatch]:
    """This process's batches of optimizer steps `first_step` to before `last_step`.

    Raises:
        VideoError, FeatureError: while iterating, a video or its features cannot be used.
    """
    sampler = TrainingBatches(
        len(dataset),
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        first=first_step * recipe.accumulate,
        last=last_step * recipe.accumulate,
        process=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    loader = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=recipe.data.workers,
        pin_memory=accelerator.device.type == "cuda",
        # A generator of its own: the loader must not draw from the one that dropout draws from.
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, ActlineError):
            raise batch
        yield batch


def optimizer_for(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD or AdamW; the fusion layers have a learning rate of their own (authors' code)."""
    config: OptimizerConfig = recipe.optimizer
    fusion = [p for name, p in network.named_parameters() if ".fusion." in name and p.requires_grad]
    in_fusion = {id(parameter) for parameter in fusion}
    base = [p for p in network.parameters() if p.requires_grad and id(p) not in in_fusion]
    groups: list[dict[str, Any]] = [{"params": base, "base_lr": config.lr}]
    if fusion:
        groups.append({"params": fusion, "base_lr": config.lr * config.fusion_lr_factor})
    for group in groups:
        group["lr"] = group["base_lr"]
    if config.kind == "adamw":
        return torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    return torch.optim.SGD(groups, momentum=config.momentum, weight_decay=config.weight_decay)


def averaged(network: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential moving average of weights and buffers; None without a decay."""
    if not decay:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
