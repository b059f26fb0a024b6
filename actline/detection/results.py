"""A folder of detections holds those of one model, made with one set of settings."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from actline.errors import OutputError
from actline.files import write_text
from actline.train.checkpoint import weights_hash

NAME = "detections.meta"


def claim_folder(
    folder: Path, network: nn.Module, settings: Mapping[str, object], *, overwrite: bool
) -> None:
    """Note in `folder` what its detections are made with, so that a second run may skip.

    Raises:
        OutputError: it holds detections of another model or other settings.
    """
    ours = {"checkpoint": weights_hash(network), **settings}
    path = folder / NAME
    if path.exists() and not overwrite:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        if found != ours:
            raise OutputError(
                f"{folder} holds detections of another checkpoint or other settings; "
                "choose another --out, or give --overwrite"
            )
    write_text(path, json.dumps(ours, indent=2) + "\n")
