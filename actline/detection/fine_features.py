"""Fine features of whole videos, stored for training the Coarse stream without the Fine one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from actline.detection.model import Model
from actline.errors import CheckpointError
from actline.features.fine import FeatureOrigin, feature_path, save_features
from actline.models.backbone import Backbone
from actline.models.fusion import pool_in_space
from actline.models.x3d import StageFeatures
from actline.names import id_of
from actline.video.windows import WindowedVideo


@torch.inference_mode()
def extract_fine(
    video: Path,
    model: Model,
    folder: Path,
    *,
    origin: FeatureOrigin,
    video_id: str | None = None,
    made: Mapping[str, Any] | None = None,
    cells: int = 7,
    precision: torch.dtype = torch.float16,
    frame_rate: float = 24.0,
    on_frames: Callable[[int], None] | None = None,
) -> Path:
    """Store a video's features at every depth, pooled to `cells` x `cells`.

    A video longer than the model's window is encoded in windows; each position comes from the
    window in which it is most central.

    Args:
        video_id: of the file that is written; None takes the video's name.
        made: what the features are made of, stored with them.
        on_frames: called with the number of frames that were newly seen, for progress.

    Returns:
        The file, `folder`/ID.safetensors with stages of (C, N, cells, cells).

    Raises:
        CheckpointError: the model is not an X3D.
        VideoError: the video cannot be read.
    """
    network = check_model(model)
    pieces: list[StageFeatures] = []
    for window in WindowedVideo(video, model.view, frame_rate=frame_rate, on_frames=on_frames):
        pooled = pool_in_space(StageFeatures(*network.features(model.batch_of(window.clip))), cells)
        pieces.append(
            StageFeatures(*(stage[0, :, window.own].to("cpu", precision) for stage in pooled))
        )
    stages = {
        name: torch.cat([getattr(piece, name) for piece in pieces], dim=1)
        for name in StageFeatures._fields
    }
    path = feature_path(folder, id_of(video) if video_id is None else video_id)
    save_features(path, stages, origin, made)
    return path


def check_model(model: Model) -> Backbone:
    """The network, if Fine features can come from it.

    Raises:
        CheckpointError: it is not an X3D.
    """
    if model.network.depths != StageFeatures._fields:
        raise CheckpointError("Fine features come from an X3D; this checkpoint is of another model")
    return model.network
