"""What every recipe has: everything that one training run depends on, as dataclasses.

Each task adds its own fields in the file of its job; `tasks.py` reads them from YAML.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from actline.stored.ranges import (
    AboveZero,
    BelowOne,
    Count,
    Factor,
    Range,
    Seconds,
    Share,
    Whole,
)

Workers = Annotated[int, Range(0, 1024)]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where labels are, and which videos are used for what.

    Attributes:
        annotations: a file or folder in any of the formats that are read.
        classes: names of the classes, where `annotations` does not hold them.
        train_subset, validation_subset: names of subsets.
        held_out: where all videos are in `train_subset`, as in a table without subsets, the share
            of them that is validated on instead, chosen by their ids.
        min_seconds: anything shorter is not trained on.
        workers: processes that read videos or features.
    """

    annotations: str
    classes: str | None = None
    train_subset: str = "training"
    validation_subset: str = "testing"
    held_out: Annotated[float, Range(0, 1, above=True, below=True)] = 0.2
    min_seconds: Seconds = 0.0
    workers: Workers = 0


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights change.

    Attributes:
        kind: "adam" adds the weight decay to the gradients, "adamw" subtracts it from the weights.
        lr: the base learning rate.
        fusion_lr_factor: what the fusion layers' rate is multiplied by.
        milestones: epochs after which the rate falls by `gamma` (schedule "steps").
        warmup_steps: the rate grows from 0 over these.
        warmup: linear, or along half a cosine.
        clip_norm: largest norm of the gradients; 0 does not clip them.
    """

    lr: Annotated[float, Range(0, 100, above=True)]
    kind: Literal["sgd", "adam", "adamw"] = "sgd"
    schedule: Literal["steps", "cosine"] = "steps"
    fusion_lr_factor: Factor = 1.0
    momentum: BelowOne = 0.9
    weight_decay: Share = 1e-5
    milestones: tuple[Annotated[float, Range(0, 1e6)], ...] = ()
    gamma: AboveZero = 0.1
    warmup_steps: Whole = 0
    warmup: Literal["linear", "cosine"] = "linear"
    clip_norm: Annotated[float, Range(0, 1e6)] = 0.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What every recipe has, whatever it trains.

    Attributes:
        data: where videos or features and their labels are.
        network: the configuration of what is trained.
        out: the folder that gets checkpoints and logs.
        init: a checkpoint to start from; tensors that fit are taken, the rest is new. For
            Coarse-Fine, an X3D's checkpoint starts both streams.
        init_head: whether its head is taken too, where its classes are the same.
        init_share: the least share of the network's values that `init` has to give.
        epochs: passes over the training videos.
        batch_size: clips or videos per step and process.
        accumulate: batches whose gradients are added up for one step.
        ema: decay of the averaged weights that are evaluated and saved; 0 saves the weights.
        keep: what `best.safetensors` is: the best validation's weights, or the last one's.
        evaluate_every: epochs from one validation to the next; 0 validates at the end alone.
        save_every_seconds: the most training time that a kill can cost.
        accept_changed_files: whether a run goes on where files that it reads have changed, as
            when a damaged video was replaced.
    """

    name: str
    out: str
    data: DataConfig
    network: Any
    optimizer: OptimizerConfig
    epochs: Count
    batch_size: Count
    init: str | None = None
    init_head: bool = True
    init_share: Share = 0.5
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    accumulate: Count = 1
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    ema: BelowOne = 0.0
    keep: Literal["best", "last"] = "best"
    evaluate_every: Whole = 1
    save_every_seconds: Seconds = 60.0
    accept_changed_files: bool = False
    notes: str = ""
