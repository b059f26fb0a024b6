"""X3D-M per frame against the Coarse-Fine authors' Fine stream: inference and a training step."""

import importlib.util
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from actline.detection.exported import RUNTIMES, ExportedNetwork, Runtime, export
from actline.models.cards import ModelCard
from actline.models.convolutions import DepthwiseConv3d, SpatialConv3d
from actline.models.folding import folded
from actline.models.published import x3d_multigrid
from actline.models.x3d import X3D, X3D_M, X3DConfig
from benchmarks.apart import apart
from benchmarks.measure import Row, alternate, compared
from benchmarks.published import absent, load, repository, running

REPOSITORY = "Coarse-Fine-Networks"
AUTHORS = "the authors' Fine stream"
CLASSES = 157


def rows(reference: Path | None, quick: bool, device: torch.device) -> list[Row]:
    """Inference, by runtimes as well where they run, and training step."""
    folder = repository(reference, REPOSITORY)
    runs = 1 if quick else 5
    clip = (1, 3, 3, 64, 64) if quick else (1, 3, 16, 224, 224)
    batch = (2, 3, 4, 64, 64) if quick else (2, 3, 32, 160, 160)
    with running(device):
        return [
            inference(folder, clip, device, runs=runs),
            *(by_runtime(folder, clip, device, runs=runs) if device.type == "cpu" else []),
            training(folder, batch, device, runs=runs),
        ]


def inference(
    folder: Path | None, sizes: tuple[int, ...], device: torch.device, *, runs: int
) -> Row:
    """Logits of every frame, by the network as `actline.load_model` prepares it."""
    plain = ours(None if folder is None else published(folder), device).eval()
    prepared = folded(plain)
    clip = seeded(sizes, device)

    @torch.inference_mode()
    def detect(network: nn.Module = prepared) -> Tensor:
        return network(clip.contiguous(memory_format=torch.channels_last_3d))

    agree(detect(), detect(plain))
    if folder is not None:
        agree(detect(), their_inference(folder, sizes, device)())
    with apart(their_inference, folder, sizes, device) as other:
        return compared(
            detect,
            other,
            what="X3D-M per frame: inference",
            sizes=" x ".join(map(str, sizes)),
            other_name=AUTHORS,
            target=5.0,
            note=absent(REPOSITORY) if other is None else "logits equal to 1e-4",
            runs=runs,
            device=device,
        )


def their_inference(
    folder: Path, sizes: tuple[int, ...], device: torch.device
) -> Callable[[], Tensor]:
    """The same by the authors' network."""
    network = published(folder).eval().to(device)
    clip = seeded(sizes, device)
    return torch.inference_mode()(lambda: network([clip, None]))


def by_runtime(
    folder: Path | None, sizes: tuple[int, ...], device: torch.device, *, runs: int
) -> list[Row]:
    """The same by the runtimes that are installed, from the file that `actline export` writes."""
    installed: list[Runtime] = [
        name for name in RUNTIMES if importlib.util.find_spec(name) is not None
    ]
    if not installed or importlib.util.find_spec("onnxscript") is None:
        return []
    plain = ours(None if folder is None else published(folder), device).eval()
    card = ModelCard(
        network=X3DConfig(),
        classes=tuple(map(str, range(CLASSES))),
        size=sizes[-1],
        mean=(0.45, 0.45, 0.45),
        std=(0.225, 0.225, 0.225),
        rate=5.0,
    )
    clip = seeded(sizes, device)
    found = []
    with (
        tempfile.TemporaryDirectory() as temporary,
        apart(their_inference, folder, sizes, device) as other,
    ):
        path = Path(temporary) / "x3d.onnx"
        export(plain, card, path)
        for name in installed:
            network = ExportedNetwork(path, runtime=name)
            with torch.inference_mode():
                agree(network(clip), plain(clip))
            ours_seconds, other_seconds = alternate(partial(network, clip), other, runs=runs)
            found.append(
                Row(
                    what=f"X3D-M per frame: inference by {name}",
                    sizes=" x ".join(map(str, sizes)),
                    ours=ours_seconds,
                    other=other_seconds,
                    other_name=AUTHORS,
                    target=9.0 if name == "openvino" else None,
                    note=absent(REPOSITORY) if other is None else "logits equal to 1e-4",
                )
            )
    return found


def training(
    folder: Path | None, sizes: tuple[int, ...], device: torch.device, *, runs: int
) -> Row:
    """Forward, loss, backward and a step of SGD."""
    clip, labels = seeded(sizes, device), seeded_labels(sizes, device)
    network = ours(None if folder is None else published(folder), device)
    check_gradients(network, clip)

    def channels_last(network: nn.Module) -> Tensor:
        return network(clip.contiguous(memory_format=torch.channels_last_3d))

    step = training_step(network, channels_last, labels)
    with apart(their_training, folder, sizes, device) as other:
        return compared(
            step,
            other,
            what="X3D-M per frame: a training step",
            sizes=" x ".join(map(str, sizes)),
            other_name=AUTHORS,
            target=2.0,
            note=absent(REPOSITORY) if other is None else "gradients as torch's own convolutions'",
            runs=runs,
            device=device,
        )


def their_training(
    folder: Path, sizes: tuple[int, ...], device: torch.device
) -> Callable[[], None]:
    """The same step of the authors' network."""
    clip, labels = seeded(sizes, device), seeded_labels(sizes, device)
    network = published(folder).to(device)
    return training_step(network, lambda network: network([clip, None]), labels)


def training_step(
    network: nn.Module, logits: Callable[[nn.Module], Tensor], labels: Tensor
) -> Callable[[], None]:
    """One step of SGD with momentum."""
    optimizer = torch.optim.SGD(network.train().parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(logits(network), labels).backward()
        optimizer.step()

    return step


def check_gradients(network: X3D, clip: Tensor) -> None:
    """Gradients are those of torch's own convolutions: compared in double precision.

    Raises:
        AssertionError: they differ.
    """
    small = clip[:, :, :4, :64, :64].double()
    gradients: list[list[Tensor]] = []
    for plain in (False, True):
        copied = ours(None, clip.device).double().train()
        copied.load_state_dict(network.state_dict())
        copied.head.dropout.p = 0.0
        for module in copied.modules():
            if plain and isinstance(module, SpatialConv3d | DepthwiseConv3d):
                module.forward = partial(nn.Conv3d.forward, module)
        copied(small.contiguous(memory_format=torch.channels_last_3d)).square().sum().backward()
        gradients.append([p.grad for p in copied.parameters() if p.grad is not None])
    for mine, expected in zip(*gradients, strict=True):
        agree(mine, expected)


def published(folder: Path) -> Any:
    """The authors' network with drawn weights, in training mode."""
    module = load(folder, "x3d_fine")
    return drawn(
        module.generate_model(x3d_version="M", n_classes=CLASSES, task="loc", base_bn_splits=1)
    )


def ours(theirs: nn.Module | None, device: torch.device) -> X3D:
    """Our network, in training mode; with the authors' weights where there are any."""
    network = X3D_M.build(CLASSES)
    if theirs is None:
        drawn(network)
    else:
        network = x3d_multigrid.from_published(theirs.state_dict(), per_frame=True)
    network.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return network.train()


def seeded(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """A clip (B, 3, T, H, W); drawn on the CPU, so that every device sees the same."""
    return torch.randn(sizes, generator=torch.Generator().manual_seed(0)).to(device)


def seeded_labels(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """Which classes its frames show: (B, K, T), a tenth of them 1."""
    generator = torch.Generator().manual_seed(1)
    drawn = torch.rand(sizes[0], CLASSES, sizes[2], generator=generator)
    return (drawn < 0.1).float().to(device)


@torch.no_grad()
def drawn(network: nn.Module) -> nn.Module:
    """The network with weights and statistics, drawn from a seed, that keep results in range."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if "running_var" in name or (tensor.dim() == 1 and name.endswith("weight")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.dim() == 1:
            tensor.uniform_(-0.1, 0.1, generator=generator)
        elif tensor.dim() > 1:
            tensor.normal_(std=tensor[0].numel() ** -0.5, generator=generator)
    return network


def agree(mine: Tensor, expected: Tensor) -> None:
    """Check that two results are the same to 1e-4 of the largest.

    Raises:
        AssertionError: they are not.
    """
    difference = (mine - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
    assert difference < 1e-4, f"results differ by {difference:.1e} of the largest"
