"""Exported networks give PyTorch's results in both runtimes, for any number of frames."""

import pytest
import torch
from tiny import write_video

from actline.cli.main import main
from actline.detection.exported import RUNTIMES, ExportedNetwork, export, read_exported
from actline.detection.load import load_model
from actline.errors import CheckpointError
from actline.models.backbone import Backbone
from actline.models.cards import ModelCard
from actline.models.checkpoint import save_checkpoint
from actline.models.coarse_fine import CoarseFineConfig
from actline.models.normalization import SplitBatchNorm3d
from actline.models.slowfast import SlowFastConfig
from actline.models.x3d import X3DConfig

pytest.importorskip("onnx")
pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")

X3D = X3DConfig(widths=(8, 8, 8, 16), depths=(1, 1, 1, 1), head_width=16)
SHOWN = {"size": 32, "mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225), "rate": 5.0}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network with statistics of its own, its checkpoint and its ONNX file."""
    folder = tmp_path_factory.mktemp("exported")
    torch.manual_seed(0)
    network = X3D.build(3)
    for module in network.modules():
        if isinstance(module, SplitBatchNorm3d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    card = ModelCard(network=X3D, classes=("a", "b", "c"), window=16, overlap=4, **SHOWN)
    save_checkpoint(folder / "model.safetensors", network.eval(), card)
    arguments = ["export", str(folder / "model.safetensors"), str(folder / "model.onnx")]
    assert main(arguments) == 0
    return network, folder


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_results_are_those_of_pytorch_whatever_the_length(exported, runtime):
    network, folder = exported
    run = ExportedNetwork(folder / "model.onnx", runtime=runtime)
    for frames in (1, 5, 16, 33):
        clip = torch.randn(1, 3, frames, 32, 32, generator=torch.Generator().manual_seed(frames))
        with torch.inference_mode():
            expected = network(clip)
        assert torch.allclose(run(clip), expected, rtol=1e-4, atol=1e-4 * float(expected.std()))


@pytest.mark.parametrize(("alpha", "kernel"), [(4, 7), pytest.param(3, 5, marks=pytest.mark.slow)])
def test_an_exported_slowfast_runs_at_any_length(tmp_path, alpha, kernel):
    torch.manual_seed(1)
    config = SlowFastConfig(width=8, depths=(1, 1, 1, 1), alpha=alpha, fusion_kernel=kernel)
    network = config.build(2).eval()
    card = ModelCard(network=config, classes=("a", "b"), window=24, overlap=4, **SHOWN)
    export(network, card, tmp_path / "model.onnx")
    for runtime in RUNTIMES:
        run = ExportedNetwork(tmp_path / "model.onnx", runtime=runtime)
        for frames in (16, 1, 2, 3, 4, 5, 7, 8, 9, 17, 33, 64, 115, 120):
            clip = torch.randn(1, 3, frames, 32, 32, generator=torch.Generator().manual_seed(0))
            with torch.inference_mode():
                expected = network(clip)
            assert torch.allclose(run(clip), expected, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("alpha", [1, 2, 3, 4, 8, 16])
def test_slow_frames_are_the_published_ones_at_every_length(alpha):
    network = SlowFastConfig(width=8, depths=(1, 1, 1, 1), alpha=alpha).build(1)
    for frames in range(1, 1200):
        published = torch.linspace(0, frames - 1, -(-frames // alpha)).long()
        assert torch.equal(network.slow_indices(frames), published), frames


class OnlyShort(Backbone):
    """A network that an exporter gets wrong: what it does depends on the number of frames."""

    export_frames = 4

    def __init__(self):
        super().__init__()
        self.inner = X3D.build(3).eval()

    def forward(self, clip):
        # A tracer sees the length that it is given, and a constant.
        length = int(clip.shape[2]) if not torch.compiler.is_exporting() else 4
        logits = self.inner(clip)
        return logits + 1 if length == 16 else logits


def test_an_export_that_gives_other_results_at_the_window_fails_and_leaves_no_file(tmp_path):
    card = ModelCard(network=X3D, classes=("a", "b", "c"), window=16, overlap=4, **SHOWN)
    with pytest.raises(CheckpointError, match="other results than PyTorch for 16 frames"):
        export(OnlyShort(), card, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_errors_of_a_runtime_are_one_line(exported, runtime, capfd):
    _, folder = exported
    run = ExportedNetwork(folder / "model.onnx", runtime=runtime)
    with pytest.raises(CheckpointError) as told:
        run(torch.zeros(1, 5, 8, 32, 32))
    assert f"{runtime} cannot run" in str(told.value)
    assert "\n" not in str(told.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_detection_takes_the_file_and_finds_the_same(exported, tmp_path, runtime):
    _, folder = exported
    video = tmp_path / "v.mp4"
    write_video(video, "move", (2.0, 6.0), seconds=9, rate=10)
    found = []
    for name, options in (("model.onnx", ["--runtime", runtime]), ("model.safetensors", [])):
        out = tmp_path / name
        command = ["detect", str(video), "--checkpoint", str(folder / name), "--out", str(out)]
        assert main([*command, "--device", "cpu", "--formats", "csv", *options]) == 0
        found.append((out / "v.csv").read_text().split(","))
    assert len(found[0]) == len(found[1])
    model = load_model(folder / "model.onnx", runtime=runtime)
    assert model.classes == ("a", "b", "c")


def test_what_cannot_be_exported_or_run_is_told_in_one_line(exported, tmp_path, capsys):
    _, folder = exported
    coarse_fine = CoarseFineConfig(fine=X3D, coarse=X3D, cells=1)
    card = ModelCard(network=coarse_fine, classes=("a",), **SHOWN)
    with pytest.raises(CheckpointError, match="only an X3D or SlowFast"):
        export(coarse_fine.build(1), card, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())

    checkpoint = str(folder / "model.safetensors")
    assert main(["export", checkpoint, str(tmp_path / "model.bin")]) == 1
    assert "name a file ending in .onnx" in capsys.readouterr().err
    detect = ["detect", "v.mp4", "--checkpoint"]
    assert main([*detect, checkpoint, "--runtime", "openvino"]) == 1
    assert "export it first" in capsys.readouterr().err
    broken = tmp_path / "broken.onnx"
    broken.write_bytes((folder / "model.onnx").read_bytes()[:1000])
    for path, said in ((broken, "not a whole ONNX file"), (tmp_path / "no.onnx", "no checkpoint")):
        assert main([*detect, str(path), "--out", str(tmp_path / "out")]) == 1
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_notes_of_an_exported_file_that_are_not_text_are_refused(exported, tmp_path):
    onnx = pytest.importorskip("onnx")
    _, folder = exported
    model = onnx.load_model(folder / "model.onnx")
    for note in (one for one in model.metadata_props if one.key != "checksum"):
        # Of the same length, so that the message around it stays whole; without a checksum, as
        # files were before they had one.
        body = model.SerializeToString()
        changed = body.replace(note.value.encode(), b"\xff" + note.value.encode()[1:])
        assert changed != body
        path = tmp_path / "model.onnx"
        path.write_bytes(_without_checksum(onnx, changed))
        with pytest.raises(CheckpointError, match="is not a whole ONNX file"):
            read_exported(path)


def _without_checksum(onnx, body: bytes) -> bytes:
    model = onnx.load_model_from_string(body)
    kept = [one for one in model.metadata_props if one.key != "checksum"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    return model.SerializeToString()


def test_a_flipped_bit_in_an_exported_file_is_refused_wherever_it_is(exported, tmp_path):
    _, folder = exported
    raw = (folder / "model.onnx").read_bytes()
    path = tmp_path / "model.onnx"
    end = len(raw)
    # All bytes of what the file says last, its checksum, and of some of the rest.
    for at in [*range(0, end - 80, end // 50), *range(end - 80, end)]:
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises(CheckpointError):
            read_exported(path)
