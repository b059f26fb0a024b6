"""A recipe: everything that one training run depends on, as YAML and as dataclasses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from actline.datasets.frame_clips import ClipConfig
from actline.errors import RecipeError
from actline.features.public_files import Layout
from actline.models.bmn import BMNConfig
from actline.models.coarse_fine import CoarseFineConfig
from actline.models.networks import NetworkConfig
from actline.models.outline import outline
from actline.models.tcanet import TCANetConfig
from actline.pretraining.augmentation import VolumeAugmentation
from actline.pretraining.multigrid import MultigridConfig
from actline.stored.configuration import from_mapping, with_overrides
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
from actline.stored.text import read_text
from actline.stored.yaml_text import parse_yaml
from actline.timeline.suppression import SuppressionConfig

HeldOut = Annotated[float, Range(0, 1, above=True, below=True)]
Workers = Annotated[int, Range(0, 1024)]


@dataclass(frozen=True)
class DataConfig:
    """Where videos and labels are, and which of them are used for what.

    Attributes:
        annotations: a file or folder in any of the forms that are read.
        videos: folder of video files, or of frame folders.
        classes: names of the classes, where `annotations` does not hold them.
        train_subset, validation_subset: names of subsets.
        held_out: where all videos are in `train_subset`, as in a table without subsets, the share
            of them that is validated on instead, chosen by their ids.
        min_seconds: shorter videos are left out; the published code drops those under 162
            frames at 24 a second.
        frame_rate: of frame folders, per second; 0 takes their count over the annotated
            duration, as the published code does.
        workers: processes that read videos.
        skip_missing: leave out videos that are not there, as many of Kinetics' are not any more;
            otherwise the first of them stops the run.
        decoded: folder that keeps whole videos decoded at the clips' short sides: worth its space
            for small frames; None decodes what every clip needs each time.
    """

    annotations: str
    videos: str
    classes: str | None = None
    train_subset: str = "training"
    validation_subset: str = "testing"
    held_out: HeldOut = 0.2
    min_seconds: Seconds = 0.0
    frame_rate: Factor = 24.0
    workers: Workers = 2
    skip_missing: bool = False
    decoded: str | None = None


@dataclass(frozen=True)
class FeaturesConfig:
    """Stored Fine features, from `actline extract`, and the checkpoint they were made with."""

    folder: str
    checkpoint: str


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights change.

    Attributes:
        kind: "adam" adds the weight decay to the gradients, "adamw" takes it off the weights.
        lr: the base learning rate.
        fusion_lr_factor: what the fusion layers' rate is multiplied by.
        milestones: epochs after which the rate falls by `gamma` (schedule "steps").
        warmup_steps: the rate grows from 0 over these.
        warmup: along a line, or along half a cosine.
        clip_norm: largest norm of the gradients; 0 leaves them alone.
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
class Run:
    """What every training run has, whatever it trains.

    Attributes:
        out: the folder that gets checkpoints and logs.
        init: a checkpoint to start from; tensors that fit are taken, the rest is new. For
            Coarse-Fine, an X3D's checkpoint starts both streams.
        init_head: whether its head is taken too, where its classes are the same.
        init_share: the least share of the network's values that `init` has to give.
        epochs: passes over the training videos.
        batch_size: clips or videos a step and process.
        accumulate: batches whose gradients are added up for one step.
        ema: decay of the averaged weights that are evaluated and saved; 0 saves the weights.
        keep: what `best.safetensors` is: the best validation's weights, or the last one's.
        evaluate_every: epochs from one validation to the next; 0 validates at the end alone.
        save_every_seconds: longest time that a kill can cost.
        accept_changed_files: whether a run goes on where files that it reads have changed, as
            when a damaged video was replaced.
    """

    name: str
    out: str
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


@dataclass(frozen=True, kw_only=True)
class Recipe(Run):
    """Training a network for per-frame detection.

    Attributes:
        features: train on stored Fine features; None trains the streams jointly.
        logits_to_labels: how logits are brought to the labels' times.
        fine_loss: weight of the Fine stream's own loss in joint training.
        fine_frames: sampled frames that the Fine stream sees in joint training, with the clip in
            their middle; 0 are the clip's own. The published Fine stream sees up to 128.
        window: frames seen at once in validation and detection.
        overlap: frames that consecutive windows share.
    """

    task: Literal["detection"] = "detection"
    data: DataConfig
    clip: ClipConfig
    network: NetworkConfig
    features: FeaturesConfig | None = None
    logits_to_labels: Literal["times", "corners", "centres"] = "times"
    fine_loss: Factor = 0.0
    fine_frames: Whole = 0
    window: Count = 128
    overlap: Whole = 32

    def __post_init__(self) -> None:
        _check_overlap(self.window, self.overlap)
        if self.features is not None and not isinstance(self.network, CoarseFineConfig):
            raise ValueError("features are for a Coarse-Fine network")
        if self.fine_frames:
            if not isinstance(self.network, CoarseFineConfig) or self.features is not None:
                raise ValueError(
                    "fine_frames are for joint training of a Coarse-Fine network, without features"
                )
            if self.fine_frames < self.clip.frames:
                raise ValueError(
                    f"fine_frames must be 0 or at least clip.frames ({self.clip.frames}), not "
                    f"{self.fine_frames}"
                )
        _check_fine_stream(self.network)
        if not self.network.per_frame:
            raise ValueError("network: per_frame must be true for detection")


@dataclass(frozen=True)
class SnippetData:
    """Where snippet features and labels are, and which of them are used for what.

    Attributes:
        annotations: a file or folder in any of the forms that are read.
        features: folder of snippet features, ours or public ones, or one file for all videos;
            several with commas between them are joined along channels.
        interval: seconds from one snippet to the next, for public features, which do not say; 0
            for those rescaled to a fixed number of snippets.
        layout: of public features where `network.channels` does not say, as of square arrays:
            "TC" has a row a snippet, "CT" a column.
        parts: names of the arrays to join, where a public file has several.
        classes: names of the classes, where `annotations` does not hold them.
        train_subset, validation_subset: names of subsets.
        held_out: as in `DataConfig`.
        min_seconds: shorter activities are not trained on; TCANet's authors leave out those of a
            second or less.
        without: videos to leave out, such as those that could not be downloaded: their ids, or a
            file that lists them.
        workers: processes that read features.
    """

    annotations: str
    features: str
    classes: str | None = None
    train_subset: str = "training"
    validation_subset: str = "validation"
    held_out: HeldOut = 0.2
    min_seconds: Seconds = 0.0
    without: str | tuple[str, ...] | None = None
    interval: Seconds | None = None
    layout: Layout | None = None
    parts: tuple[str, ...] | None = None
    workers: Workers = 0


@dataclass(frozen=True, kw_only=True)
class ProposalRecipe(Run):
    """Training BMN on snippet features.

    Attributes:
        suppression: of proposals, for validation and detection.
    """

    task: Literal["proposals"]
    data: SnippetData
    network: BMNConfig
    suppression: SuppressionConfig


@dataclass(frozen=True, kw_only=True)
class RefinementRecipe(Run):
    """Training TCANet on snippet features and proposals.

    Attributes:
        proposals: a checkpoint of BMN, which proposes on the same features; or another method's
            proposals for all videos: a results JSON, or a folder of CSV files as TCANet's
            authors have them.
        proposals_per_video: how many are trained on, before suppression.
        proposals_order: whether these are the first by score, or the first in the file, which are
            then taken as they stand, neither cut at the video's ends nor equal ones once.
        matches: the activity that a proposal is trained towards: the one that overlaps it most,
            or the one that a CSV file has stored with it, as `gt_xmin` and `gt_xmax`.
        suppression: of refined proposals, for validation and detection.
    """

    task: Literal["refinement"]
    data: SnippetData
    network: TCANetConfig
    proposals: str
    proposals_per_video: Count = 64
    proposals_order: Literal["score", "file"] = "score"
    matches: Literal["overlap", "file"] = "overlap"
    suppression: SuppressionConfig


@dataclass(frozen=True, kw_only=True)
class PretrainingRecipe(Run):
    """Training on trimmed videos: to classify them, or as SSDet does.

    Attributes:
        method: "detection" makes clips with segments, overlaps and background of them (SSDet);
            "classification" gives every clip its class.
        classes_per_video: "one"; for classification also "several", such as those of an untrimmed
            video: a clip has those that happen in it, the loss is binary cross-entropy, and
            validation gives the mAP over videos instead of top-1 accuracy.
        views: clips of a video, evenly spread over it, that validation puts together: their mean
            (of one class) or largest (of several) probability, as published; 1 is the clip
            in the middle alone.
        augmentation: of "detection".
        background, average: of its loss; see `soft_label_loss`.
        multigrid: shapes that clips go through; None trains at the full shape throughout.
        window, overlap: as in `Recipe`, for detection with the result.
    """

    task: Literal["pretraining"]
    method: Literal["detection", "classification"]
    data: DataConfig
    clip: ClipConfig
    network: NetworkConfig
    augmentation: VolumeAugmentation = field(default_factory=VolumeAugmentation)
    background: Literal["class", "none"] = "class"
    average: Literal["frames", "support"] = "frames"
    classes_per_video: Literal["one", "several"] = "one"
    views: Annotated[int, Range(1, 1000)] = 1
    multigrid: MultigridConfig | None = None
    window: Count = 128
    overlap: Whole = 32

    def __post_init__(self) -> None:
        _check_overlap(self.window, self.overlap)
        _check_fine_stream(self.network)
        if self.network.per_frame != (self.method == "detection"):
            raise ValueError(
                "network: per_frame must be true for method detection, and false for classification"
            )
        if self.classes_per_video == "several" and self.method == "detection":
            raise ValueError(
                'classes_per_video: "several" is for method classification; detection mixes videos '
                "of one class each"
            )
        if self.multigrid is not None and self.ema:
            raise ValueError("ema is not for multigrid, whose normalization changes with the batch")
        if self.clip.labels_per_frame != 1:
            raise ValueError("clip: labels_per_frame must be 1, as a clip has one class")


def _check_fine_stream(network: NetworkConfig) -> None:
    """Converted checkpoints may lack it; on stored features it is kept for detection."""
    if isinstance(network, CoarseFineConfig) and not network.fine_stream:
        raise ValueError("network: fine_stream must be true for training")


def _check_overlap(window: int, overlap: int) -> None:
    if window >= 1 and overlap > window // 2:
        raise ValueError(
            f"overlap must lie between 0 and half the window, {window // 2}, not {overlap}"
        )


AnyRecipe = Recipe | ProposalRecipe | RefinementRecipe | PretrainingRecipe
TASKS: dict[str, type[AnyRecipe]] = {
    "pretraining": PretrainingRecipe,
    "detection": Recipe,
    "proposals": ProposalRecipe,
    "refinement": RefinementRecipe,
}


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> AnyRecipe:
    """Read a recipe from YAML and apply `key=value` overrides.

    Args:
        path: a file, or one of ours such as `recipes/generated/fine.yaml`, which are found
            wherever the package is installed.

    Raises:
        RecipeError: no such file, not YAML, an unknown key, a value of the wrong type or one out
            of its range.
    """
    path = find_recipe(Path(path))
    text = read_text(path, error=RecipeError, what="recipe")
    values = with_overrides(parse_yaml(text, where=str(path)), overrides, where=str(path))
    task = values.get("task", "detection") if isinstance(values, Mapping) else "detection"
    if not isinstance(task, str) or task not in TASKS:
        raise RecipeError(f'{path}: task: "{task}" is not one of {", ".join(TASKS)}')
    recipe = from_mapping(TASKS[task], values, where=str(path))
    try:
        outline(recipe.network)
    except ValueError as wrong:
        raise RecipeError(f"{path}: network: {wrong}; change it") from wrong
    return recipe


def find_recipe(path: Path) -> Path:
    """The file itself, or one of our recipes of that name."""
    if path.exists():
        return path
    package = Path(__file__).parents[1]
    # In a wheel recipes lie inside the package, in a checkout beside it.
    for folder in (package, package.parent):
        ours = folder / "recipes" / path.as_posix().removeprefix("recipes/")
        if ours.is_file():
            return ours
    return path
