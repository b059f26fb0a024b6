"""Networks as ONNX files, and the runtimes that run them: an X3D faster than PyTorch runs it.

Everything here needs extra packages: `pip install "actline[runtime]"`.
"""

import copy
import hashlib
import json
import logging
import re
import threading
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actline.errors import CheckpointError, DeviceError
from actline.files import written_whole
from actline.models.backbone import Backbone
from actline.models.cards import ModelCard, card_of
from actline.models.checkpoint import weights_hash
from actline.stored.configuration import to_mapping
from actline.stored.json_text import parse_json
from actline.stored.safetensors_files import CHECKSUM
from actline.stored.text import read_bytes

Runtime = Literal["openvino", "onnxruntime"]
# Fraction of the largest logit by which arithmetic in another order may differ; another network
# differs by far more.
TOLERANCE = 1e-3
RUNTIMES: tuple[Runtime, ...] = ("openvino", "onnxruntime")
# What a file says about itself, besides its checksum.
_SAID = ("actline", "weights")
INSTALL = 'pip install "actline[runtime]"'


def export(network: Backbone, card: ModelCard, path: Path) -> None:
    """Write a network and its card to one ONNX file, verified, whole or not at all.

    Its input is `clip` (1, 3, T, S, S), normalized, for any T; its output `logits` (1, K, T). Every
    runtime that is installed has to give PyTorch's logits, for several T.

    Raises:
        CheckpointError: the network is not an X3D or SlowFast that gives logits for every frame, or
            the written file gives other results.
        DeviceError: the packages for it are not installed.
    """
    frames = network.export_frames
    if frames is None or not card.network.per_frame:
        raise CheckpointError(
            "only an X3D or SlowFast with logits for every frame can be exported; use the others "
            "as they are"
        )
    onnx = _module("onnx")
    _module("onnxscript")
    runtimes: list[Runtime] = [runtime for runtime in RUNTIMES if find_spec(runtime) is not None]
    if not runtimes:
        raise DeviceError(f"no runtime is installed to verify the file with; run {INSTALL}")
    network = copy.deepcopy(network).cpu().eval()
    # What the exporter looks for and does not need does not concern the user.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    clip = torch.zeros(1, 3, frames, card.size, card.size)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of PyTorch's own deprecations
        try:
            program = torch.onnx.export(
                network,
                (clip,),
                dynamo=True,
                verbose=False,
                input_names=["clip"],
                output_names=["logits"],
                dynamic_shapes=({2: torch.export.Dim.DYNAMIC},),
            )
        except Exception as error:  # of many kinds, one per stage of the exporter
            raise CheckpointError(
                f"this version of PyTorch cannot export the network ({_first_line(error)}); "
                "use the checkpoint itself"
            ) from error
    assert program is not None
    model = program.model_proto
    said = {"actline": json.dumps(to_mapping(card)), "weights": weights_hash(network)}
    onnx.helper.set_model_props(model, said)
    with written_whole(path) as aside:
        aside.write_bytes(_with_checksum(onnx, model.SerializeToString()))
        for runtime in runtimes:
            _verify(ExportedNetwork(aside, runtime=runtime), network, runtime)


def lengths(window: int) -> tuple[int, ...]:
    """Numbers of frames to verify a network at: the window, just above it, and short ones."""
    return tuple(sorted({1, 2, 5, window // 2 + 1, window, window + 1}))


def _verify(exported: "ExportedNetwork", network: Backbone, runtime: Runtime) -> None:
    """Compare with PyTorch.

    Raises:
        CheckpointError: it gives other logits, or none.
    """
    card = exported.card
    generator = torch.Generator().manual_seed(0)
    for frames in lengths(card.window):
        clip = torch.randn(1, 3, frames, card.size, card.size, generator=generator)
        with torch.inference_mode():
            expected = network(clip)
        found = exported(clip)
        allowed = TOLERANCE * float(expected.abs().max()) + 1e-6
        if found.shape != expected.shape or not bool(((found - expected).abs() <= allowed).all()):
            raise CheckpointError(
                f"{runtime} gives other results than PyTorch for {frames} frames; nothing is "
                "written; use the checkpoint itself"
            )


class ExportedNetwork(Backbone):
    """An ONNX file, run by OpenVINO or ONNX Runtime in place of PyTorch.

    Args:
        path: of `actline export`.
        runtime: what runs it.

    Shape:
        clip: (1, 3, T, S, S), on the CPU; returns logits (1, K, T).

    Raises:
        CheckpointError: no such file, a damaged one, or not one of ours.
        DeviceError: the runtime is not installed.
    """

    def __init__(self, path: Path, *, runtime: Runtime) -> None:
        super().__init__()
        self.card, weights = read_exported(path)
        self.classes = len(self.card.classes)
        # So that folders of results know whose they are, as with other networks.
        self.register_buffer("weights", torch.tensor(list(bytes.fromhex(weights))))
        start = {"openvino": _with_openvino, "onnxruntime": _with_onnxruntime}[runtime]
        try:
            self.run = start(path)
        except DeviceError:
            raise
        except Exception as error:  # each runtime has its own errors
            raise CheckpointError(f"{runtime} cannot run {path}: {_first_line(error)}") from error
        self.where = f"{runtime} cannot run {path}"
        # OpenVINO's networks run for one thread at a time.
        self.one_at_a_time = threading.Lock()

    def forward(self, clip: Tensor) -> Tensor:
        try:
            with self.one_at_a_time:
                return torch.from_numpy(self.run(clip.contiguous().numpy()))
        except Exception as error:  # as above
            raise CheckpointError(
                f"{self.where} on {clip.shape[2]} frames of {clip.shape[4]} x {clip.shape[3]} "
                f"pixels: {_first_line(error)}; use the checkpoint it was exported from"
            ) from error


def read_exported(path: Path) -> tuple[ModelCard, str]:
    """The card of an ONNX file of ours, and the hash of its weights.

    Raises:
        CheckpointError: no such file, a damaged one, or not one of ours.
        DeviceError: the package for it is not installed.
    """
    onnx = _module("onnx")
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; check the path")
    damaged = f"{path} is not a whole ONNX file; export it again"
    raw = read_bytes(path, error=CheckpointError, what="an exported network", mib="array_mib")
    try:
        model = onnx.load_model_from_string(raw)
    except Exception as error:  # protobuf's
        raise CheckpointError(damaged) from error
    properties = _properties(model)
    if "actline" not in properties:
        raise CheckpointError(f"{path} was not written by `actline export`; give one that was")
    if not {*_SAID, CHECKSUM} >= properties.keys():  # as of one whose name was damaged
        raise CheckpointError(damaged)
    # protobuf gives bytes where text is not UTF-8.
    if not all(isinstance(value, str) for value in properties.values()):
        raise CheckpointError(damaged)
    body = raw[: -len(_checksum_note(onnx, ""))]
    if CHECKSUM in properties and _with_checksum(onnx, body) != raw:
        raise CheckpointError(damaged)
    if _outside(onnx, model):
        raise CheckpointError(f"{path} takes weights from other files, and is not loaded")
    content = parse_json(properties["actline"], path, error=CheckpointError)
    card = card_of(content, "model", where=str(path))
    weights = properties.get("weights", "")
    if not isinstance(card, ModelCard) or not re.fullmatch("[0-9a-f]{64}", weights):
        raise CheckpointError(damaged)
    return card, weights


def _with_checksum(onnx: Any, body: bytes) -> bytes:
    """A serialized model followed by the SHA-256 of all that is before.

    Concatenated protobuf messages are one message, so this adds a property.
    """
    return body + _checksum_note(onnx, hashlib.sha256(body).hexdigest())


def _checksum_note(onnx: Any, digest: str) -> bytes:
    note = onnx.ModelProto()
    note.metadata_props.add(key=CHECKSUM, value=digest.rjust(64, "0"))
    return note.SerializeToString()


def _outside(onnx: Any, message: Any) -> bool:
    """Whether any tensor of a model lies in another file."""
    waiting = [message]
    while waiting:
        one = waiting.pop()
        if isinstance(one, onnx.TensorProto) and one.data_location == onnx.TensorProto.EXTERNAL:
            return True
        for field, value in one.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if hasattr(value, "ListFields") else value)
    return False


def _with_openvino(path: Path) -> Any:
    openvino = _module("openvino")
    # Full precision: some processors would otherwise use bfloat16.
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    model = core.read_model(str(path))
    free = core.compile_model(model, "CPU", settings)
    fixed: dict[tuple[int, ...], Any] = {}

    def run(clip: NDArray[np.float32]) -> NDArray[np.float32]:
        # A fixed length saves a tenth of the time. All clips but a video's last have the first's.
        if not fixed:
            model.reshape(list(clip.shape))
            fixed[clip.shape] = core.compile_model(model, "CPU", settings)
        return fixed.get(clip.shape, free)(clip)[0].copy()

    return run


def _with_onnxruntime(path: Path) -> Any:
    onnxruntime = _module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised; printed as well they would appear twice
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda clip: session.run(None, {"clip": clip})[0]


def _first_line(error: Exception) -> str:
    # OpenVINO's messages begin with a place in its own source.
    told = [line for line in str(error).splitlines() if not line.startswith("Exception from ")]
    return next((line.strip() for line in told if line.strip()), type(error).__name__)


def _properties(model: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise DeviceError(f"{name} is not installed; run {INSTALL}") from error
