"""From videos to evaluated segments by the commands that a user gives, link by link."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import CLASSES, begin_late, write_data, write_recipe, write_video
from tiny_segments import write_bmn, write_tcanet

from actline.cli.main import main
from actline.detection.load import load_model
from actline.detection.segments import SegmentDetector
from actline.detection.snippet_features import extract_snippets
from actline.errors import CheckpointError, FeatureError, PredictionError
from actline.features.snippets import SnippetFeatures, load_snippets, snippet_origin, snippet_path
from actline.models.cards import ChainCard
from actline.models.checkpoint import read_card
from actline.models.tcanet import TCANetConfig
from actline.stored.safetensors_files import save_tensors
from actline.timeline.proposals import Proposals

SECONDS, SNIPPET = 6.0, 0.4
NAMES = tuple(f"tiny{index}" for index in range(6))
HELD_OUT = NAMES[4:]
ON_CPU = ("--device", "cpu")


class Kit:
    """Six videos, and what every command of the path made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = write_data(folder / "data", seconds=SECONDS)
        self.videos = self.data / "videos"
        self.features = folder / "features"
        self.backbone = self.trained(write_recipe(folder / "x3d.yaml", self.data, epochs=1))
        assert self.extract(self.features) == 0
        self.width = 36  # 2.25 x 16
        self.bmn = self.trained(self.recipe("bmn"))
        self.tcanet = self.trained(self.recipe("tcanet", proposals=str(self.bmn)))
        self.chain = self.assembled("chain", "--refinement", str(self.tcanet))
        self.proposer = self.assembled("proposer")

    def recipe(
        self, which: str, name: str = "", features: Path | None = None, /, **changes
    ) -> Path:
        write = {"bmn": write_bmn, "tcanet": write_tcanet}[which]
        network: dict[str, float] = {"channels": self.width}
        if which == "tcanet":
            network["snippet_interval"] = SNIPPET
        data = {"validation_subset": "testing", **changes.pop("data", {})}
        name = name or which
        path = self.folder / f"{name}.yaml"
        out = str(self.folder / "runs" / name)
        changes = {"network": network, "data": data, "epochs": 4, "out": out, **changes}
        return write(path, self.data, features or self.features, **changes)

    def trained(self, recipe: Path) -> Path:
        out = self.folder / "runs" / recipe.stem
        assert main(["train", str(recipe), f"out={out}", *ON_CPU]) == 0
        return out / "best.safetensors"

    def extract(self, out: Path, *options: str, videos: Path | None = None) -> int:
        command = ["extract", str(videos or self.videos), "--checkpoint", str(self.backbone)]
        return main([*command, "--snippets", str(SNIPPET), "--out", str(out), *ON_CPU, *options])

    def assembled(self, name: str, *options: str) -> Path:
        out = self.folder / f"{name}.safetensors"
        links = ["--backbone", str(self.backbone), "--proposals", str(self.bmn)]
        assert main(["chain", *links, *options, "--out", str(out)]) == 0
        return out

    def detect(self, out: Path, *options: str, chain: Path | None = None) -> int:
        checkpoint = ["--checkpoint", str(chain or self.chain), "--out", str(out)]
        return main(["detect", *options, *checkpoint, *ON_CPU])


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks are quicker so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def kit(tmp_path_factory) -> Kit:
    return Kit(tmp_path_factory.mktemp("path"))


@pytest.fixture(scope="module")
def public(kit) -> Path:
    """The features as others publish them: arrays that do not say what made them."""
    folder = kit.folder / "public"
    folder.mkdir()
    for name in NAMES:
        values = load_snippets(snippet_path(kit.features, name)).features.numpy()
        np.save(folder / f"v_{name}.npy", values.T)
    return folder


@pytest.fixture(scope="module")
def public_links(kit, public) -> tuple[Path, Path]:
    data = {"interval": SNIPPET}
    bmn = kit.trained(kit.recipe("bmn", "public-bmn", public, data=data))
    recipe = kit.recipe("tcanet", "public-tcanet", public, data=data, proposals=str(bmn))
    return bmn, kit.trained(recipe)


def loaded_chain(path: Path) -> SegmentDetector:
    chain = load_model(path, device="cpu")
    assert isinstance(chain, SegmentDetector)
    return chain


def segments(folder: Path) -> dict[str, list[dict]]:
    """All detections of a folder, by video."""
    found: dict[str, list[dict]] = {}
    for path in sorted(folder.glob("*.json")):
        found |= json.loads(path.read_text())["results"]
    return found


def refused(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command says, which writes nothing into the folder."""
    capsys.readouterr()
    before = {path for path in folder.rglob("*") if path.is_file()}
    assert main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("actline: ")
    assert {path for path in folder.rglob("*") if path.is_file()} == before
    return lines[0]


def test_extraction_that_is_given_again_does_nothing(kit, capsys):
    files = sorted(kit.features.glob("[!.]*"))
    assert [file.stem for file in files] == list(NAMES)
    before = [file.stat().st_mtime_ns for file in files]
    assert kit.extract(kit.features) == 0
    assert "6 of 6 videos are done already" in capsys.readouterr().out
    assert [file.stat().st_mtime_ns for file in files] == before


def test_features_of_another_length_or_cut_off_are_made_again(kit, tmp_path, capsys):
    assert kit.extract(tmp_path, videos=kit.videos / "tiny0.mp4") == 0
    path = tmp_path / "tiny0.safetensors"
    whole = load_snippets(path)
    path.write_bytes(path.read_bytes()[:-50])
    assert kit.extract(tmp_path, videos=kit.videos / "tiny0.mp4") == 0
    assert torch.equal(load_snippets(path).features, whole.features)
    assert kit.extract(tmp_path, "--snippets", "0.8", videos=kit.videos / "tiny0.mp4") == 0
    assert "done already" not in capsys.readouterr().out
    assert load_snippets(path).interval == 0.8


def test_a_video_that_cannot_be_read_is_reported_and_the_rest_is_done(kit, tmp_path, capsys):
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "bad.mp4").write_text("no video")
    (videos / "good.mp4").write_bytes((kit.videos / "tiny1.mp4").read_bytes())
    capsys.readouterr()
    assert kit.extract(tmp_path / "out", videos=videos) == 1
    said = capsys.readouterr().err.splitlines()
    assert re.search(r"^actline: .*bad\.mp4 is not a video", said[0])
    assert said[1:] == ["actline: 1 of 2 videos failed"]
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["good.safetensors"]
    ours, theirs = (
        load_file(folder / name)
        for folder, name in (
            (tmp_path / "out", "good.safetensors"),
            (kit.features, "tiny1.safetensors"),
        )
    )
    assert torch.equal(ours["features"], theirs["features"])


def test_shares_together_give_all_videos_each_once(kit, tmp_path):
    shares = []
    for part in ("0/2", "1/2"):
        before = set(tmp_path.glob("[!.]*"))
        assert kit.extract(tmp_path, "--share", part) == 0
        shares.append(set(tmp_path.glob("[!.]*")) - before)
    assert [len(share) for share in shares] == [3, 3]
    for name in NAMES:
        ours = load_file(tmp_path / f"{name}.safetensors")
        assert torch.equal(
            ours["features"], load_file(kit.features / f"{name}.safetensors")["features"]
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--share", "2/2"], '"2/2" is no share'),
        (["--snippets", "0"], "snippets of 0 s are not possible"),
        (["--snippets", "nan"], "snippets of nan s are not possible"),
    ],
)
def test_extraction_of_nothing_sensible_is_refused(kit, tmp_path, capsys, options, said):
    command = ["extract", str(kit.videos), "--checkpoint", str(kit.backbone), "--snippets", "1"]
    command += ["--out", str(tmp_path / "out"), *ON_CPU, *options]
    assert said in refused(command, tmp_path, capsys)


def test_snippets_shorter_than_a_frame_fail_for_each_video_and_nothing_is_written(
    kit, tmp_path, capsys
):
    options = ("--snippets", "0.1")  # at 5 frames a second
    assert kit.extract(tmp_path, *options, videos=kit.videos / "tiny0.mp4") == 1
    assert "some snippets of 0.1 s have no frame; make them longer" in capsys.readouterr().err
    assert not list(tmp_path.glob("[!.]*"))


def test_snippets_count_from_zero_though_the_video_begins_later_or_has_gaps(kit, tmp_path):
    video = tmp_path / "v.mp4"
    write_video(video, "move", (1.0, 5.0), seconds=8.0, rate=10)
    model = load_model(kit.backbone, device="cpu")
    plain = extract_snippets(video, model, interval=1.0).features
    late = extract_snippets(
        begin_late(video, tmp_path / "late.mp4", seconds=2.0), model, interval=1.0
    )
    assert (late.offset, late.duration) == (0.0, pytest.approx(10))
    assert torch.equal(late.features[:, 2:], plain)
    assert torch.equal(late.features[:, :2], plain[:, :1].expand(-1, 2))
    every = replace(model, card=replace(model.card, rate=None, stride=2))
    gap = extract_snippets(
        begin_late(video, tmp_path / "gap.mp4", seconds=0.0, gap=3.0), every, interval=1.0
    )
    assert gap.features.shape[1] == 11
    assert torch.equal(gap.features[:, 4:7], gap.features[:, 3:4].expand(-1, 3))


def test_features_by_another_clock_are_refused(kit, tmp_path, capsys):
    video = kit.videos / "tiny0.mp4"
    assert kit.extract(tmp_path, "--snippets", "1", videos=video) == 0
    (path,) = tmp_path.glob("*.safetensors")
    stored = load_snippets(path)
    origin = snippet_origin(path)
    old = {name: value for name, value in asdict(origin).items() if name != "clock"}
    placement = {"offset": 0.0, "duration": stored.duration, "classes": stored.classes}
    metadata = {"snippets": json.dumps(old), "placement": json.dumps(placement)}
    assert stored.probabilities is not None
    tensors = {"features": stored.features, "probabilities": stored.probabilities}
    save_file(tensors, path, metadata)
    assert load_snippets(path).duration == stored.duration, (
        "public features have times of their own"
    )
    with pytest.raises(FeatureError, match=r"another clock \(1, not 2\); extract"):
        load_snippets(path, origin)


def test_features_of_a_long_video_hardly_depend_on_the_windows(kit, tmp_path):
    video = tmp_path / "long.mp4"
    write_video(video, "move", (4.0, 20.0), seconds=24.0, rate=10)
    model = load_model(kit.backbone, device="cpu")
    whole = replace(model, card=replace(model.card, window=128, overlap=8))
    one = extract_snippets(video, whole, interval=SNIPPET)
    seen: list[int] = []
    for window, overlap in ((48, 24), (40, 20)):
        cut = replace(model, card=replace(model.card, window=window, overlap=overlap))
        several = extract_snippets(video, cut, interval=SNIPPET, on_frames=seen.append)
        assert several.features.shape == one.features.shape == (kit.width, 60)
        spread = one.features.std()
        assert (several.features - one.features).abs().mean() < 0.1 * spread
        assert several.probabilities is not None
        assert one.probabilities is not None
        assert (several.probabilities - one.probabilities).abs().max() < 0.05
        assert several.duration == one.duration == 24.0
    assert sum(seen) == 2 * 120, "every frame is counted once"


def test_a_chain_has_its_links_and_says_so(kit, tmp_path, capsys):
    command = ["chain", "--backbone", str(kit.backbone), "--proposals", str(kit.bmn)]
    command += ["--refinement", str(kit.tcanet), "--out", str(tmp_path / "c.safetensors")]
    assert main(command) == 0
    assert "c.safetensors: backbone, BMN, TCANet" in capsys.readouterr().out
    tensors = load_file(tmp_path / "c.safetensors")
    for link, path in (("backbone", kit.backbone), ("proposals", kit.bmn)):
        for name, tensor in load_file(path).items():
            assert torch.equal(tensors[f"{link}.{name}"], tensor)
    card = loaded_chain(kit.chain).card
    assert card.classes == CLASSES
    assert card.interval == SNIPPET


def other_backbone(kit: Kit) -> Path:
    """The backbone with one weight changed."""
    path = kit.folder / "other.safetensors"
    with safe_open(kit.backbone, framework="pt") as stored:
        metadata = stored.metadata()
    tensors = load_file(kit.backbone)
    name = min(tensors)
    save_tensors(path, {**tensors, name: tensors[name] + 1}, metadata)
    return path


def narrow_links(kit: Kit) -> Path:
    """A BMN on public features of another width."""
    folder = kit.folder / "narrow"
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        np.save(folder / f"{name}.npy", np.ones((15, 8), np.float32))
    data = {"interval": SNIPPET}
    recipe = kit.recipe("bmn", "narrow-bmn", folder, data=data, network={"channels": 8}, epochs=1)
    return kit.trained(recipe)


def test_links_that_do_not_fit_are_refused(kit, public_links, tmp_path, capsys):
    backbone, bmn = ("--backbone", str(kit.backbone)), ("--proposals", str(kit.bmn))
    public_bmn = ("--proposals", str(public_links[0]))
    public_tcanet = ("--refinement", str(public_links[1]))
    cases = {
        (): "a chain needs proposals, refinement or both",
        backbone: "a chain needs proposals, refinement or both",
        (
            "--proposals",
            str(kit.tcanet),
        ): r"best\.safetensors does not hold a network that proposes",
        (
            "--refinement",
            str(kit.bmn),
        ): "network that refines proposals, such as TCANet; give --ref",
        ("--proposals", str(kit.backbone)): "holds a network on frames, not BMN or TCANet",
        ("--proposals", str(kit.chain)): "holds a whole chain, not BMN or TCANet",
        ("--backbone", str(kit.bmn), *bmn): "holds BMN or TCANet, not a network on frames",
        ("--backbone", str(other_backbone(kit)), *bmn): "features of another backbone than",
        (*backbone, *public_bmn): "was trained on public features, which no backbone of ours makes",
        (*bmn, *public_tcanet): "was trained on other features than",
        ("--proposals", str(narrow_links(kit)), *public_tcanet): "features of another width than",
        public_bmn: "does not say how far apart snippets are; give the interval",
        ("--proposals", str(tmp_path / "gone")): "no checkpoint at",
    }
    for options, said in cases.items():
        command = ["chain", *options, "--out", str(tmp_path / "c.safetensors")]
        assert re.search(said, refused(command, tmp_path, capsys)), options


def test_a_checkpoint_that_is_no_chain_or_cut_off_is_refused(kit, tmp_path):
    with pytest.raises(CheckpointError, match=r"holds a stage .* put it into a chain"):
        load_model(kit.bmn, device="cpu")
    path = tmp_path / "c.safetensors"
    path.write_bytes(kit.chain.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a whole checkpoint file"):
        load_model(path, device="cpu")


def test_detection_in_videos_and_in_their_stored_features_finds_the_same(kit, tmp_path, capsys):
    held_out = [str(kit.videos / f"{name}.mp4") for name in HELD_OUT]
    assert kit.detect(tmp_path / "videos", *held_out) == 0
    stored = ("--features", str(kit.features))
    assert kit.detect(tmp_path / "features", *held_out, *stored) == 0
    listed = ("--annotations", str(kit.data), "--subset", "testing")
    assert kit.detect(tmp_path / "listed", *stored, *listed, "--formats", "json") == 0
    found = segments(tmp_path / "videos")
    assert sorted(found) == list(HELD_OUT)
    assert all(len(one) > 5 for one in found.values())
    assert segments(tmp_path / "features") == segments(tmp_path / "listed") == found
    for one in (entry for entries in found.values() for entry in entries):
        assert one["label"] in CLASSES
        assert 0 <= one["segment"][0] < one["segment"][1] <= SECONDS
        assert 0 <= one["score"] <= 1
    endings = sorted(path.suffix for path in (tmp_path / "videos").glob("tiny4.*"))
    assert endings == [".csv", ".eaf", ".json", ".txt", ".vtt"]
    assert [path.name for path in (tmp_path / "listed").glob("tiny4.*")] == ["tiny4.json"]
    # A second run does nothing; one with other settings does not mix into the folder.
    capsys.readouterr()
    assert kit.detect(tmp_path / "videos", *held_out) == 0
    assert "2 of 2 videos are done already" in capsys.readouterr().out


def test_shares_of_detection_fill_one_folder_with_what_one_process_finds(kit, tmp_path, capsys):
    """As TCANet's authors go through HACS in four parts; of frames it is the same option."""
    stored = ("--features", str(kit.features), "--annotations", str(kit.data))
    stored = (*stored, "--formats", "json")
    assert kit.detect(tmp_path / "whole", *stored) == 0
    counts = []
    for part in ("0/4", "3/4", "1/4", "2/4"):
        before = set(tmp_path.glob("parts/*.json"))
        assert kit.detect(tmp_path / "parts", *stored, "--share", part) == 0
        counts.append(len(set(tmp_path.glob("parts/*.json")) - before))
    assert counts == [2, 1, 2, 1]
    assert segments(tmp_path / "parts") == segments(tmp_path / "whole")
    command = ["detect", "--checkpoint", str(kit.chain), "--out", str(tmp_path / "none"), *stored]
    said = refused([*command, "--share", "4/4", *ON_CPU], tmp_path, capsys)
    assert '"4/4" is no share' in said
    frames = ["detect", str(kit.videos), "--checkpoint", str(kit.backbone), *ON_CPU]
    frames += ["--formats", "json", "--out"]
    assert main([*frames, str(tmp_path / "frames"), "--share", "1/3"]) == 0
    names = {path.stem for path in tmp_path.glob("frames/*.json")}
    assert names == set(sorted(NAMES)[1::3])
    assert '"x" is no share' in refused(
        [*frames, str(tmp_path / "none"), "--share", "x"], tmp_path, capsys
    )


def test_detections_of_other_settings_are_not_mixed_into_a_folder(kit, tmp_path, capsys):
    video = str(kit.videos / "tiny4.mp4")
    assert kit.detect(tmp_path / "out", video) == 0
    # The same weights, and other labels of the same proposals.
    per_segment = kit.assembled("per-segment", "--refinement", str(kit.tcanet), "--per", "segment")
    for change in (["--min-seconds", "2"], ["--threshold", "0.1"], []):
        chain = kit.chain if change else per_segment
        command = ["detect", video, "--checkpoint", str(chain), "--out", str(tmp_path / "out")]
        assert "other settings" in refused([*command, *change, *ON_CPU], tmp_path, capsys)
    assert kit.detect(tmp_path / "out", video, "--overwrite", chain=per_segment) == 0


def test_labels_are_as_the_chain_says(kit, tmp_path):
    video = str(kit.videos / "tiny4.mp4")
    few = ("--top", "1", "--detections", "3", "--refinement", str(kit.tcanet))
    assert kit.detect(tmp_path / "few", video, chain=kit.assembled("few", *few)) == 0
    found = segments(tmp_path / "few")["tiny4"]
    assert len(found) == 3
    assert len({one["label"] for one in found}) == 1, "a video's likeliest class alone"
    assert kit.detect(tmp_path / "all", video) == 0
    every = segments(tmp_path / "all")["tiny4"]
    best = sorted((one["score"] for one in every), reverse=True)
    assert sorted((one["score"] for one in found), reverse=True)[0] == best[0]


def test_short_and_unlikely_segments_are_left_out_when_told_so(kit, tmp_path):
    video = str(kit.videos / "tiny4.mp4")
    assert kit.detect(tmp_path / "all", video) == 0
    assert kit.detect(tmp_path / "some", video, "--threshold", "0.05", "--min-seconds", "2") == 0
    every, some = segments(tmp_path / "all")["tiny4"], segments(tmp_path / "some")["tiny4"]
    assert [
        one for one in every if one["score"] >= 0.05 and one["segment"][1] - one["segment"][0] >= 2
    ] == some
    assert len(some) < len(every)


def test_frames_in_a_folder_have_the_rate_that_is_given(kit, tmp_path):
    import av

    folder = tmp_path / "frames"
    folder.mkdir()
    with av.open(str(kit.videos / "tiny4.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0), 1):
            frame.to_image().save(folder / f"{number:05}.jpg")
    given = {"results": {"frames": [{"score": 0.5, "segment": [0.5, 5.5]}]}}
    (tmp_path / "p.json").write_text(json.dumps(given))
    options = ("--proposals", str(tmp_path / "p.json"), "--frame-rate", "10")
    assert kit.detect(tmp_path / "out", str(folder), *options) == 0
    found = segments(tmp_path / "out")["frames"]
    assert max(one["segment"][1] for one in found) > 3, "not cut at 60 frames / 24 a second"


def test_a_chain_has_no_scores_by_frame(kit, tmp_path, capsys):
    command = ["detect", str(kit.videos), "--checkpoint", str(kit.chain), "--formats", "npz"]
    said = refused([*command, "--out", str(tmp_path / "out"), *ON_CPU], tmp_path, capsys)
    assert "a chain has no per-frame scores; choose formats other than npz" in said


def test_options_of_the_other_path_are_refused(kit, tmp_path, capsys):
    """They would be taken as followed."""
    command = ["detect", str(kit.videos), "--out", str(tmp_path / "out"), *ON_CPU]
    chain, frames = ["--checkpoint", str(kit.chain)], ["--checkpoint", str(kit.backbone)]
    said = refused([*command, *chain, "--max-gap", "1"], tmp_path, capsys)
    assert "a maximum gap is for per-frame detection" in said
    for option in ("--features", "--annotations", "--proposals", "--video-classes"):
        said = refused([*command, *frames, option, str(kit.data)], tmp_path, capsys)
        assert f"{option[2:].replace('-', ' ')}: only for a chain, and" in said
        assert "holds a network on frames" in said


def test_what_detection_needs_is_asked_for(kit, public_links, tmp_path, capsys):
    command = ["detect", "--checkpoint", str(kit.chain), "--out", str(tmp_path / "out"), *ON_CPU]
    assert "no video is named" in refused(command, tmp_path, capsys)
    features = ["--features", str(kit.features)]
    assert "no video is named" in refused([*command, *features], tmp_path, capsys)
    listed = ["--annotations", str(kit.data), "--subset", "nowhere"]
    assert "no video is in subset nowhere" in refused(
        [*command, *features, *listed], tmp_path, capsys
    )
    alone = tmp_path / "alone.safetensors"
    assert main(["chain", "--refinement", str(kit.tcanet), "--out", str(alone)]) == 0
    capsys.readouterr()
    out, video = tmp_path / "refined", str(kit.videos / "tiny4.mp4")
    assert kit.detect(out, video, *features, chain=alone) == 1
    assert "the chain has no stage that proposes; give proposals" in capsys.readouterr().err
    assert kit.detect(tmp_path / "blind", video, chain=alone) == 1
    assert "no backbone to make features; give stored ones" in capsys.readouterr().err
    assert not segments(out)


def video_classes(path: Path, *names: str, **labels: list[tuple[str, float]]) -> Path:
    """What a classifier said: the same of all `names`, and other things of others."""
    usual = [("move", 0.7), ("brighten", 0.2)]
    given = {name: labels.get(name, usual) for name in (*names, *labels)}
    content = {
        name: [{"label": label, "score": score} for label, score in pairs]
        for name, pairs in given.items()
    }
    path.write_text(json.dumps({"results": content}))
    return path


def test_public_features_need_no_backbone_and_find_the_same(kit, public, public_links, tmp_path):
    chain = tmp_path / "public.safetensors"
    links = ["--proposals", str(public_links[0]), "--refinement", str(public_links[1])]
    assert main(["chain", *links, "--out", str(chain)]) == 0
    classes = ("--video-classes", str(video_classes(tmp_path / "classes.json", *HELD_OUT)))
    listed = ("--annotations", str(kit.data), "--subset", "testing", *classes)
    stored = ("--features", str(public))
    assert kit.detect(tmp_path / "public", *stored, *listed, chain=chain) == 0
    ours = ("--features", str(kit.features))
    assert kit.detect(tmp_path / "ours", *ours, *listed) == 0
    theirs = segments(tmp_path / "public")
    assert sorted(theirs) == [f"v_{name}" for name in HELD_OUT], "named as the features are"
    assert {f"v_{name}": found for name, found in segments(tmp_path / "ours").items()} == theirs
    # By its file a video tells its duration itself.
    video = str(kit.videos / "tiny4.mp4")
    assert kit.detect(tmp_path / "video", video, *stored, *classes, chain=chain) == 0
    assert segments(tmp_path / "video")["tiny4"] == theirs["v_tiny4"]


def test_public_features_in_one_file_or_in_folders_to_join_find_the_same(
    kit, public, public_links, tmp_path
):
    """As stored in one HDF5 for all videos, and in two folders with half of the channels each."""
    whole, halves = tmp_path / "all.h5", (tmp_path / "one", tmp_path / "two")
    with h5py.File(whole, "w") as file:
        for name in NAMES:
            values = np.load(public / f"v_{name}.npy")
            file[name] = values
            for half, part in zip(halves, np.array_split(values, 2, axis=1), strict=True):
                half.mkdir(exist_ok=True)
                np.save(half / f"{name}.npy", part)
    chain = tmp_path / "public.safetensors"
    links = ["--proposals", str(public_links[0]), "--refinement", str(public_links[1])]
    assert main(["chain", *links, "--out", str(chain)]) == 0
    classes = ("--video-classes", str(video_classes(tmp_path / "classes.json", *HELD_OUT)))
    listed = ("--annotations", str(kit.data), "--subset", "testing", *classes)
    found = []
    for number, features in enumerate((public, whole, ",".join(map(str, halves)))):
        out = tmp_path / f"out{number}"
        assert kit.detect(out, "--features", str(features), *listed, chain=chain) == 0
        found.append({name.removeprefix("v_"): rows for name, rows in segments(out).items()})
    assert sorted(found[0]) == sorted(HELD_OUT)
    assert found[0] == found[1] == found[2]


def test_a_chain_carries_how_features_lie_and_may_be_told(kit, public, public_links, tmp_path):
    chain = tmp_path / "public.safetensors"
    for options, layout in (((), "TC"), (("--layout", "CT"), "CT")):
        command = ["chain", "--refinement", str(public_links[1]), "--out", str(chain), *options]
        assert main(command) == 0
        card = read_card(chain)
        assert isinstance(card, ChainCard)
        assert card.form.layout == layout, "learned in training, or as is said"


def test_public_features_need_classes_of_their_videos(kit, public, public_links, tmp_path, capsys):
    chain = tmp_path / "public.safetensors"
    bmn = str(public_links[0])
    assert main(["chain", "--proposals", bmn, "--interval", "0.4", "--out", str(chain)]) == 0
    listed = ("--features", str(public), "--annotations", str(kit.data), "--subset", "testing")
    capsys.readouterr()
    assert kit.detect(tmp_path / "out", *listed, chain=chain) == 1
    assert "give a classifier's as video classes" in capsys.readouterr().err
    assert not segments(tmp_path / "out")


def test_a_video_that_the_classifier_lacks_is_reported_and_the_rest_is_done(kit, tmp_path, capsys):
    given = ("--video-classes", str(video_classes(tmp_path / "classes.json", "v_tiny4")))
    listed = ("--features", str(kit.features), "--annotations", str(kit.data))
    capsys.readouterr()
    assert kit.detect(tmp_path / "out", *listed, "--subset", "testing", *given) == 1
    said = capsys.readouterr().err.splitlines()
    assert re.search(r"classes\.json has no classes for tiny5; add the video", said[0])
    assert said[1:] == ["actline: 1 of 2 videos failed"]
    found = segments(tmp_path / "out")
    assert list(found) == ["tiny4"]
    assert {one["label"] for one in found["tiny4"]} == set(CLASSES)


def test_classes_that_the_annotations_lack_are_told_in_evaluation(kit, tmp_path, capsys):
    other = [("cartwheel", 0.9)]
    path = video_classes(tmp_path / "classes.json", tiny4=other, tiny5=[("move", 0.6)])
    listed = ("--features", str(kit.features), "--annotations", str(kit.data))
    out = tmp_path / "out"
    options = (*listed, "--subset", "testing", "--video-classes", str(path))
    assert kit.detect(out, *options, "--formats", "json") == 0
    assert {one["label"] for one in segments(out)["tiny4"]} == {"cartwheel"}
    capsys.readouterr()
    command = ["evaluate", str(out), str(kit.data), "--protocol", "activitynet"]
    assert main([*command, "--subset", "testing"]) == 0
    assert "cartwheel" in capsys.readouterr().out


def test_outside_proposals_are_refined_and_labelled(kit, tmp_path, capsys):
    """By a chain of TCANet alone, what a chain of BMN alone wrote, in whatever formats."""
    listed = ("--features", str(kit.features), "--annotations", str(kit.data))
    listed = (*listed, "--subset", "testing")
    assert kit.detect(tmp_path / "proposals", *listed, chain=kit.proposer) == 0
    alone = tmp_path / "alone.safetensors"
    assert main(["chain", "--refinement", str(kit.tcanet), "--out", str(alone)]) == 0
    given = ("--proposals", str(tmp_path / "proposals"))
    assert kit.detect(tmp_path / "refined", *listed, *given, chain=alone) == 0
    proposed, refined = segments(tmp_path / "proposals"), segments(tmp_path / "refined")
    assert proposed.keys() == refined.keys() == set(HELD_OUT)
    assert all(refined.values())
    assert refined != proposed
    # A video that the proposals lack is told; one with none is not.
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"results": {"v_tiny4": [], "x": proposed["tiny4"]}}))
    capsys.readouterr()
    given = ("--proposals", str(path))
    assert kit.detect(tmp_path / "one", *listed, *given, chain=alone) == 1
    said = capsys.readouterr().err.splitlines()
    assert re.search(r"one\.json has no proposals of tiny5; add the video", said[0])
    assert segments(tmp_path / "one") == {"tiny4": []}


def test_features_of_another_backbone_or_missing_are_told_by_video(kit, tmp_path, capsys):
    assert kit.extract(tmp_path / "f", "--snippets", "0.8", videos=kit.videos / "tiny4.mp4") == 0
    listed = ("--features", str(tmp_path / "f"), "--annotations", str(kit.data))
    capsys.readouterr()
    assert kit.detect(tmp_path / "out", *listed, "--subset", "testing") == 1
    said = capsys.readouterr().err.splitlines()
    assert re.search(r"tiny4\.safetensors was made with another interval", said[0])
    assert re.search(r"no features at .*tiny5\.safetensors", said[1])
    assert said[2:] == ["actline: 2 of 2 videos failed"]
    assert not segments(tmp_path / "out")


def test_a_video_that_cannot_be_read_is_reported_and_the_others_are_detected_in(
    kit, tmp_path, capsys
):
    (tmp_path / "bad.mp4").write_text("no video")
    videos = (str(tmp_path / "bad.mp4"), str(kit.videos / "tiny4.mp4"))
    capsys.readouterr()
    assert kit.detect(tmp_path / "out", *videos) == 1
    assert "bad.mp4 is not a video" in capsys.readouterr().err
    assert list(segments(tmp_path / "out")) == ["tiny4"]


def test_what_is_detected_is_evaluated_reported_and_plotted(kit, tmp_path, capsys):
    listed = ("--features", str(kit.features), "--annotations", str(kit.data))
    found = tmp_path / "found"
    assert kit.detect(found, *listed, "--subset", "testing", "--formats", "json,csv") == 0
    scores = []
    for protocol in ("proposals", "activitynet", "thumos"):
        scores.append(tmp_path / f"{protocol}.json")
        command = ["evaluate", str(found), str(kit.data), "--subset", "testing"]
        assert main([*command, "--protocol", protocol, "--out", str(scores[-1])]) == 0
    proposals, activitynet, thumos = (json.loads(path.read_text()) for path in scores)
    assert 0 < proposals["area"] <= 1
    assert 0 <= activitynet["mean"] <= thumos["mean"] <= 1
    assert activitynet["coverage"]["missing"] == []
    assert activitynet["videos"] == 2
    report = tmp_path / "report.html"
    command = ["report", str(found), "--videos", str(kit.videos), "--annotations", str(kit.data)]
    command += ["--metrics", *map(str, scores), "--out", str(report)]
    assert main(command) == 0
    text = report.read_text()
    assert all(name in text for name in HELD_OUT)
    plot = tmp_path / "plot.png"
    command = ["plot", str(found / "tiny4.json"), "--annotations", str(kit.data)]
    capsys.readouterr()
    assert main([*command, "--out", str(plot)]) == 0, capsys.readouterr().err
    assert plot.stat().st_size > 1000


def test_detection_from_python_is_that_of_the_command(kit, tmp_path):
    chain = loaded_chain(kit.chain)
    frames: list[int] = []
    timeline = chain.detect(kit.videos / "tiny4.mp4", on_frames=frames.append)
    assert sum(frames) == SECONDS * 5
    assert timeline.video == "tiny4"
    assert timeline.duration == SECONDS
    assert timeline.scores is None
    assert kit.detect(tmp_path / "out", str(kit.videos / "tiny4.mp4")) == 0
    found = segments(tmp_path / "out")["tiny4"]
    assert len(found) == len(timeline.activities)
    by_score = sorted(timeline.activities, key=lambda one: -one.confidence)
    for given, activity in zip(sorted(found, key=lambda one: -one["score"]), by_score, strict=True):
        assert given["label"] == activity.label
        assert given["segment"] == pytest.approx([activity.start, activity.end], abs=2e-3)
        assert given["score"] == pytest.approx(activity.confidence, abs=1e-4)
    starts = [activity.start for activity in timeline.activities]
    assert starts == sorted(starts)


def stored(kit: Kit, name: str = "tiny4") -> SnippetFeatures:
    return load_snippets(snippet_path(kit.features, name))


def test_one_proposal_keeps_its_place_and_gets_the_classes_of_its_snippets(kit):
    chain = loaded_chain(kit.proposer)
    labels = replace(chain.card.labels, per="segment", top=1)
    chain = replace(chain, card=replace(chain.card, labels=labels))
    features = stored(kit)
    sure = torch.zeros(2, features.features.shape[1])
    sure[0, :5], sure[1, 5:] = 1.0, 0.5  # the first class until 2 s, then the second
    features = replace(features, probabilities=sure)
    given = Proposals(np.array([0.0, 2.0]), np.array([2.0, 4.0]), np.array([0.9, 0.8]))
    found = chain.find(features, proposals=given)
    assert [(one.label, one.start, one.end) for one in found] == [
        ("brighten", 0.0, 2.0),
        ("move", 2.0, 4.0),
    ]
    assert [one.confidence for one in found] == pytest.approx([0.9, 0.4])
    assert chain.find(features, proposals=given.best(0)) == ()


def test_python_use_is_told_what_is_missing(kit):
    chain = loaded_chain(kit.proposer)
    features = replace(stored(kit), probabilities=None, classes=())
    with pytest.raises(FeatureError, match="hold no class probabilities"):
        chain.find(features)
    blind = SegmentDetector(None, {}, chain.card, chain.device)
    with pytest.raises(FeatureError, match="no backbone"):
        blind.detect("x.mp4")
    with pytest.raises(PredictionError, match="no stage that proposes"):
        blind.find(features)
    narrow = replace(features, features=features.features[:8])
    with pytest.raises(FeatureError, match="8 values a snippet; this BMN takes 36"):
        chain.find(narrow, video_classes=[("move", 0.5)])


def test_proposals_that_tcanet_moves_out_of_the_video_are_left_out():
    torch.manual_seed(0)
    config = TCANetConfig(**SMALL)
    network = config.build().eval()
    features = SnippetFeatures(torch.randn(8, 20), 1.0, 20.0)
    given = Proposals(np.array([2.0, 15.0]), np.array([4.0, 19.0]), np.array([0.9, 0.8]))
    assert len(network.stage()(features, given)) == 2
    with torch.no_grad():
        last = dict(network.named_parameters())["regressors.0.segment.6.bias"]
        last[0] = 100.0  # half of ten widths to the right
    moved = network.stage()(features, given)
    assert len(moved) == 1
    assert 2 < moved.start[0] < moved.end[0] < 20


SMALL = {
    "channels": 8,
    "width": 8,
    "encoder_layers": 1,
    "heads": 2,
    "window": 3,
    "feedforward": 8,
    "start_samples": 4,
    "action_samples": 8,
    "end_samples": 4,
    "frame_width": 8,
    "segment_width": 8,
    "stages": 1,
    "snippet_interval": 1.0,
}


def test_a_chain_says_what_it_was_made_with(kit):
    card = read_card(kit.chain)
    assert asdict(card)["labels"] == {"per": "video", "top": 3, "detections": 200}
    chain = loaded_chain(kit.chain)
    recipe = yaml.safe_load((kit.folder / "tcanet.yaml").read_text())
    assert chain.suppression.top_k == recipe["suppression"]["top_k"]


def test_thumos_videos_without_activities_or_with_ambiguous_ones_alone(tmp_path, capsys):
    """What is found in the first is wrong; on the second's segments neither right nor wrong."""
    names = [f"video_test_{number:07}" for number in (1, 2, 3)]
    truth = [[("Diving", [1.0, 5.0])], [], [("Ambiguous", [2.0, 6.0])]]
    database = {
        name: {
            "subset": "testing",
            "duration": 10.0,
            "annotations": [{"label": label, "segment": segment} for label, segment in given],
        }
        for name, given in zip(names, truth, strict=True)
    }
    (tmp_path / "thumos.json").write_text(json.dumps({"database": database}))
    means = []
    for unannotated in ([], [{"label": "Diving", "score": 0.95, "segment": [0.0, 3.0]}]):
        results = {
            names[0]: [{"label": "Diving", "score": 0.9, "segment": [1.0, 5.0]}],
            names[1]: unannotated,
            names[2]: [{"label": "Diving", "score": 0.99, "segment": [2.0, 6.0]}],
        }
        (tmp_path / "results.json").write_text(json.dumps({"results": results}))
        command = ["evaluate", str(tmp_path / "results.json"), str(tmp_path / "thumos.json")]
        command += ["--protocol", "thumos", "--out", str(tmp_path / "score.json")]
        assert main(command) == 0, capsys.readouterr().err
        means.append(json.loads((tmp_path / "score.json").read_text())["mean"])
    assert means == pytest.approx([1.0, 0.5])
