"""BMN and TCANet train for real, go on after a kill without a trace, and refuse what is wrong."""

import copy
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from safetensors.torch import load_file
from tiny_segments import (
    DURATION,
    HELD_OUT,
    ORIGIN,
    SEGMENTS,
    TRAINED,
    values_of,
    write_annotations,
    write_bmn,
    write_features,
    write_one,
    write_tcanet,
)

from actline.annotations.annotations import Annotations
from actline.annotations.read import read_annotations
from actline.cli.main import main
from actline.datasets.batches import derived_seed
from actline.datasets.segments import RescaledVideos
from actline.evaluation.overlap import tables_of
from actline.files import CLAIMS
from actline.models.checkpoint import load_segment_checkpoint
from actline.stored.safetensors_files import save_tensors
from actline.training.job import Validation
from actline.training.loop import run_job
from actline.training.proposals import ProposalJob, ProposalRecipe
from actline.training.refinement import RefinementJob, RefinementRecipe
from actline.training.state import Dependencies
from actline.training.tasks import read_recipe
from actline.training.train import train

CPU = torch.device("cpu")
WRITERS = {"bmn": write_bmn, "tcanet": write_tcanet}
Written = Callable[[Path, str], None]


class Kit:
    """A folder of one's own, with annotations, features and outside proposals."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.annotations = write_annotations(folder / "annotations.json")
        self.features = write_features(folder / "features")
        self.proposals = write_proposals(folder / "proposals.json")

    def recipe(self, which: str, name: str, /, **changes: Any) -> Path:
        if which == "tcanet":
            changes = {"proposals": str(self.proposals), **changes}
        path = self.folder / name / "r.yaml"
        return WRITERS[which](path, self.annotations, self.features, **changes)

    def train(self, which: str, name: str, /, **changes: Any) -> Path:
        """The weights that a run ends with."""
        recipe = read_recipe(self.recipe(which, name, **changes))
        return train(recipe, device="cpu").last


def write_proposals(path: Path) -> Path:
    """Near each video's activity, and far from it."""
    results = {}
    for number, (name, (start, end)) in enumerate(SEGMENTS.items()):
        random = np.random.default_rng(number)
        results[name] = [
            {"score": 0.9 / (1 + shift), "segment": [start - shift, end + shift * random.random()]}
            for shift in range(6)
        ]
    path.write_text(json.dumps({"results": results}))
    return path


@pytest.fixture(scope="module")
def kit(tmp_path_factory) -> Kit:
    return Kit(tmp_path_factory.mktemp("segments"))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes that are killed, so that sums are in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def same_weights(first: Path, second: Path) -> bool:
    ours, theirs = load_file(first), load_file(second)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize("which", WRITERS)
def test_a_run_validates_and_its_checkpoint_holds_what_detection_needs(kit, which, capsys):
    changes = {"epochs": 4, "evaluate_every": 2, "ema": 0.5, "accumulate": 2}
    optimizer = {"kind": "adamw", "lr": 0.02, "clip_norm": 1.0}
    kit.train(which, f"whole-{which}", optimizer=optimizer, **changes)
    assert re.findall(r"epoch (\d+) of 4", capsys.readouterr().out) == ["2", "4"]
    run = kit.folder / f"whole-{which}" / "run"
    network, card = load_segment_checkpoint(run / "best.safetensors")
    assert not network.training
    assert card.origin == ORIGIN
    assert card.classes == ("move",)
    assert "AUC of AR@AN" in (card.score or "")
    assert card.suppression.top_k == 20
    assert (run / "tensorboard").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("which", WRITERS)
def test_a_run_killed_at_any_moment_ends_with_the_same_weights(kit, which):
    """kill -9 at two moments, each time going on, against a run left alone."""
    changes: dict[str, Any] = {"epochs": 60, "accumulate": 1, "ema": 0.9}
    changes |= {"optimizer": {"kind": "adamw", "lr": 0.01}}
    alone = kit.train(which, f"alone-{which}", **changes)
    recipe = kit.recipe(which, f"killed-{which}", save_every_seconds=0.0, **changes)
    state = recipe.parent / "run" / "state.pt"
    kills = 0
    for delay in (0.2, 0.05):
        process = subprocess.Popen(
            [sys.executable, "-m", "actline.cli.main", "train", str(recipe), "--device", "cpu"],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        known = state.stat().st_mtime_ns if state.exists() else 0
        while process.poll() is None:
            if state.exists() and state.stat().st_mtime_ns != known:
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 1
    step = torch.load(state, weights_only=True)["step"]
    assert 0 < step < 120, "it was killed in the middle"
    train(read_recipe(recipe), device="cpu")
    for name in ("last.safetensors", "best.safetensors"):
        assert same_weights(alone.parent / name, recipe.parent / "run" / name)


def test_accumulated_gradients_are_the_mean_of_their_batches(kit):
    """One step of two batches, by hand."""
    changes: dict[str, Any] = {"epochs": 1, "accumulate": 2}
    changes |= {"optimizer": {"lr": 0.5, "momentum": 0.0, "weight_decay": 0.0}}
    trained = load_file(kit.train("bmn", "accumulated", **changes))
    recipe = read_recipe(kit.recipe("bmn", "by-hand", **changes))
    assert isinstance(recipe, ProposalRecipe)
    job = ProposalJob(recipe, read_annotations(kit.annotations).subset("training"), device=CPU)
    network = copy.deepcopy(job.network)
    generator = torch.Generator().manual_seed(derived_seed(recipe.seed, 0, 0))
    batches = list(job.batches(Accelerator(cpu=True), first=0, last=2))
    assert [len(batch.videos) for batch in batches] == [2, 2]
    losses = [job.loss(network, batch, torch.device("cpu"), generator) for batch in batches]
    (sum(losses) / 2).backward()  # type: ignore[union-attr]
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        stepped = parameter.detach() - 0.5 * parameter.grad
        torch.testing.assert_close(trained[name], stepped, rtol=1e-4, atol=1e-6)
        assert not torch.equal(trained[name], parameter.detach())


def as_csv(path: Path, values: NDArray[np.float32]) -> None:
    """One row a snippet under names, as BMN's authors publish TSN's."""
    rows = [",".join(f"f{i}" for i in range(len(values)))]
    rows += [",".join(repr(float(value)) for value in column) for column in values.T]
    path.write_text("\n".join(rows) + "\n")


def as_h5(path: Path, values: NDArray[np.float32]) -> None:
    with h5py.File(path, "w") as file:
        file[path.stem] = values.T


def as_pkl(path: Path, values: NDArray[np.float32]) -> None:
    parts = {"slow_feature": torch.from_numpy(values[None, :6].copy())}
    parts["fast_feature"] = torch.from_numpy(values[None, 6:].copy())
    path.write_bytes(pickle.dumps({**parts, "feature_frames": 300}))


FORMS: dict[str, tuple[str, Callable[[Path, NDArray[np.float32]], None]]] = {
    "npy of T x C": (".npy", lambda path, values: np.save(path, values.T)),
    "npy of C x T": (".npy", np.save),
    "h5": (".h5", as_h5),
    "csv of TSN": (".csv", as_csv),
    "pkl of TCANet": (".pkl", as_pkl),
}
PUBLIC = {"interval": ORIGIN.interval}


def public_folder(folder: Path, form: str, before: str = "") -> Path:
    folder.mkdir(parents=True)
    ending, write = FORMS[form]
    for name in SEGMENTS:
        write(folder / f"{before}{name}{ending}", values_of(name))
    return folder


@pytest.fixture(scope="module")
def plain(kit) -> dict[str, Path]:
    """Weights after training on features in our form."""
    return {which: kit.train(which, f"plain-{which}") for which in WRITERS}


@pytest.mark.parametrize("form", FORMS)
def test_public_features_train_as_ours_do(kit, plain, form, tmp_path):
    folder = public_folder(tmp_path / "features", form, before="v_" if form == "h5" else "")
    for which in WRITERS if form == "pkl of TCANet" else ("bmn",):
        data = {"features": str(folder), **PUBLIC}
        out = str(tmp_path / which)
        last = kit.train(which, f"{which}-{form}", data=data, out=out)
        assert same_weights(last, plain[which])
        assert load_segment_checkpoint(last)[1].origin is None


def test_outside_proposals_in_tables_train_as_those_in_json(kit, plain, tmp_path):
    given = json.loads(kit.proposals.read_text())["results"]
    for name, rows in given.items():
        folder = tmp_path / "tables" / ("training" if name in TRAINED else "validation")
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{r['segment'][0]!r},{r['segment'][1]!r},{r['score']!r}\n" for r in rows]
        (folder / f"v_{name}.csv").write_text("xmin,xmax,score\n" + "".join(lines))
    tables = str(tmp_path / "tables")
    last = kit.train("tcanet", "tables", proposals=tables, out=str(tmp_path / "run"))
    assert same_weights(last, plain["tcanet"])


def stored_tables(folder: Path, header: str = "xmin,xmax,score,iou,ioa,gt_xmin,gt_xmax") -> Path:
    """As TCANet's authors' `pem_input_100`: not by score, one past the end, one twice."""
    columns = header.split(",")
    for number, name in enumerate(SEGMENTS):
        rows = [
            (5 + number / 4, 9.0, 0.1, 0.5, 0.5, 4.0, 9.5),
            (1.0, DURATION + 3, 0.9, 0.2, 0.2, 0.5, 8.0),
            (5 + number / 4, 9.0, 0.1, 0.5, 0.5, 3.0, 7.0),
            (2.0, 8.0, 0.95, 0.7, 0.7, 1.0, 7.0),
        ]
        lines = [",".join(repr(float(cell)) for cell in row[: len(columns)]) for row in rows]
        path = folder / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *lines]) + "\n")
    return folder


def test_proposals_are_trained_on_in_the_files_order_with_its_matches_as_published(kit, tmp_path):
    """`tca_dataset.py`: the first 64 rows as they stand, towards `gt_xmin` and `gt_xmax`."""
    tables = stored_tables(tmp_path / "tables")

    def sample(**switches: Any) -> Any:
        changes = {"proposals": str(tables), "proposals_per_video": 3, **switches}
        recipe = read_recipe(kit.recipe("tcanet", "stored", **changes))
        assert isinstance(recipe, RefinementRecipe)
        training = read_annotations(kit.annotations).subset("training")
        return RefinementJob(recipe, training, device=CPU).dataset[0, 0]

    published = sample(proposals_order="file", matches="file")
    assert published.proposals.tolist() == [[5, 9], [1, DURATION + 3], [5, 9]]
    assert published.matched.tolist() == [[4, 9.5], [0.5, 8], [3, 7]]
    ours = sample()
    assert ours.proposals.tolist() == [[2, 8], [1, DURATION], [5, 9]], "by score, cut, each once"
    assert ours.matched.tolist() == [list(SEGMENTS["a0"])] * 3
    assert sample(matches="file").matched.tolist() == [[1, 7], [0.5, 8], [4, 9.5]]
    assert sample(proposals_order="file").matched.tolist() == [list(SEGMENTS["a0"])] * 3


def test_matches_that_no_file_has_stored_are_refused(kit, plain, tmp_path, capsys):
    without = stored_tables(tmp_path / "tables", header="xmin,xmax,score")
    for proposals in (without, kit.proposals, plain["bmn"]):
        changes = {"proposals": str(proposals), "matches": "file", "out": str(tmp_path / "run")}
        recipe = write_tcanet(tmp_path / "r.yaml", kit.annotations, kit.features, **changes)
        said = refused(["train", str(recipe), "--device", "cpu"], tmp_path, capsys)
        assert f"{proposals}: a0 has no gt_xmin and gt_xmax; give matches=overlap" in said


@pytest.mark.parametrize(("keep", "same"), [("last", True), ("best", False)])
def test_the_last_epoch_is_kept_as_best_where_that_is_asked_for(kit, tmp_path, keep, same):
    """TCANet's published `best_loss` is set anew for every epoch."""
    changes = {"keep": keep, "evaluate_every": 1, "out": str(tmp_path / "run")}
    recipe = read_recipe(kit.recipe("tcanet", f"keep-{keep}", **changes))
    assert isinstance(recipe, RefinementRecipe)
    training = read_annotations(kit.annotations).subset("training")
    scores = iter((0.5, 0.25))

    class Falling(RefinementJob):
        def validate(self, network: torch.nn.Module, held_out: Annotations) -> Validation:
            return Validation(next(scores), "none")

    job = Falling(recipe, training, device=CPU)
    depends = Dependencies(job.card.classes, {}, {}, {})
    result = run_job(job, training, depends=depends, device=CPU)
    assert same_weights(result.best, result.last) == same
    assert result.best_score == (0.25 if same else 0.5)


def test_a_recipe_may_list_the_videos_to_leave_out(kit, tmp_path, capsys):
    """As TCANet's list of six, of which annotations may lack any."""
    listed = tmp_path / "listed.txt"
    listed.write_text("a0\na4\n")
    weights = []
    for name, without in (("list", ["v_a0", "a4", "elsewhere"]), ("file", str(listed))):
        data = {"without": without}
        weights.append(kit.train("bmn", name, data=data, out=str(tmp_path / name), epochs=1))
    assert same_weights(*weights)
    data = {"without": list(SEGMENTS)}
    recipe = kit.recipe("bmn", "all", data=data, out=str(tmp_path / "all"))
    said = refused(["train", str(recipe), "--device", "cpu"], tmp_path, capsys)
    assert "data.without lists all videos" in said
    hacs = read_recipe("recipes/segments/tcanet_hacs.yaml")
    assert isinstance(hacs, RefinementRecipe)
    assert hacs.data.without is not None and len(hacs.data.without) == 6
    assert (hacs.proposals_order, hacs.matches, hacs.keep) == ("file", "file", "last")
    assert hacs.network.scored_by == 2


def test_a_bmn_proposes_for_tcanet(kit, plain, tmp_path):
    out = str(tmp_path / "run")
    last = kit.train("tcanet", "by-bmn", proposals=str(plain["bmn"]), out=out)
    assert not same_weights(last, plain["tcanet"])


def test_videos_without_activities_or_with_only_short_ones_are_left_out_of_training(kit, tmp_path):
    short = [{"label": "move", "segment": [1, 1.5]}]
    annotations = write_annotations(
        tmp_path / "annotations.json", a0={"annotations": []}, a1={"annotations": short}
    )
    data = {"annotations": str(annotations), "min_seconds": 1.0}
    recipe = read_recipe(kit.recipe("bmn", "few", data=data, out=str(tmp_path / "run")))
    assert isinstance(recipe, ProposalRecipe)
    job = ProposalJob(recipe, read_annotations(annotations).subset("training"), device=CPU)
    assert isinstance(job.dataset, RescaledVideos)
    assert [video.id for video in job.dataset.videos] == ["a2", "a3"]
    train(recipe, device="cpu")


def test_only_ambiguous_segments_of_thumos_are_not_trained_on(tmp_path):
    database = {}
    for number, label in enumerate(("Diving", "Ambiguous", "Diving")):
        name = f"video_{'test' if number == 2 else 'validation'}_{number:07}"
        database[name] = {
            "subset": "testing" if number == 2 else "validation",
            "duration": DURATION,
            "annotations": [{"label": label, "segment": [3, 9]}],
        }
        np.save(tmp_path / f"{name}.npy", values_of(f"a{number}"))
    path = tmp_path / "thumos.json"
    data = {"interval": 0.5, "train_subset": "validation", "validation_subset": "testing"}
    path.write_text(json.dumps({"database": database}))
    recipe = read_recipe(write_bmn(tmp_path / "r.yaml", path, tmp_path, data=data))
    assert isinstance(recipe, ProposalRecipe)
    job = ProposalJob(recipe, read_annotations(path).subset("validation"), device=CPU)
    assert isinstance(job.dataset, RescaledVideos)
    assert [video.id for video in job.dataset.videos] == ["video_validation_0000000"]
    train(recipe, device="cpu")

    database["video_validation_0000000"]["annotations"] = []
    path.write_text(json.dumps({"database": database}))
    (tmp_path / "again").mkdir()
    again = write_bmn(tmp_path / "again" / "r.yaml", path, tmp_path, data=data)
    assert main(["train", str(again), "--device", "cpu"]) == 1
    assert not (tmp_path / "again" / "run").exists()


class Malicious:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/actline-was-here",)


def changed(folder: Path, name: str, values: NDArray[np.float32]) -> None:
    """Features in our form that `save_snippets` would refuse."""
    path = folder / f"{name}.safetensors"
    from safetensors import safe_open

    with safe_open(path, framework="pt") as stored:
        metadata = stored.metadata()
    save_tensors(path, {"features": torch.from_numpy(values)}, metadata)


def with_nan(name: str) -> NDArray[np.float32]:
    values = values_of(name)
    values[3, 7] = np.nan
    return values


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def of_another(folder: Path, name: str, **changes: Any) -> None:
    write_one(folder, name, replace(ORIGIN, **changes))


# What is done to the features, ours or public; what the recipe says; and what is said.
Case = tuple[str, Callable[[Path], object], dict[str, Any], str]
FEATURES: dict[str, Case] = {
    "of another checkpoint": (
        "bmn",
        lambda f: of_another(f, "a2", checkpoint="cd" * 32),
        {},
        r"a2\.safetensors was made with another checkpoint",
    ),
    "of another interval": (
        "bmn",
        lambda f: of_another(f, "a2", interval=1.0),
        {},
        r"a2\.safetensors was made with another interval",
    ),
    "of another interval than the network's": (
        "tcanet",
        lambda f: None,
        {"network": {"snippet_interval": 0.8}},
        r"features has a snippet every 0\.5 s; give network\.snippet_interval=0\.5",
    ),
    "of another width than the network's": (
        "bmn",
        lambda f: None,
        {"network": {"channels": 12}},
        r"features has 8 values a snippet, .* give network\.channels=8",
    ),
    "one of another width": (
        "bmn",
        lambda f: changed(f, "a2", values_of("a2")[:5].copy()),
        {},
        r"a2\.safetensors has 5 values per snippet, not 8",
    ),
    "one of another width for TCANet": (
        "tcanet",
        lambda f: changed(f, "a2", values_of("a2")[:5].copy()),
        {},
        r"a2\.safetensors has 5 values per snippet, not 8",
    ),
    "not finite": (
        "tcanet",
        lambda f: changed(f, "a1", with_nan("a1")),
        {},
        r"a1\.safetensors: 1 of 40 snippets hold values that are not finite, first number 8",
    ),
    "too short": (
        "bmn",
        lambda f: changed(f, "a1", values_of("a1")[:, :20].copy()),
        {},
        r"a1\.safetensors: 20 snippets of 0\.5 s make 10\.0 s, but the video lasts 20\.0 s",
    ),
    "missing": (
        "bmn",
        lambda f: (f / "a3.safetensors").unlink(),
        {},
        r"no features at .*a3\.safetensors",
    ),
    "missing for validation": (
        "bmn",
        lambda f: (f / "a4.safetensors").unlink(),
        {},
        r"no features at .*a4\.safetensors",
    ),
    "cut off": (
        "tcanet",
        lambda f: cut(f / "a0.safetensors"),
        {},
        r"a0\.safetensors is not a whole features file",
    ),
    "of the wrong folder": (
        "bmn",
        lambda f: None,
        {"data": {"features": "elsewhere"}},
        r"no features at elsewhere/a0\.safetensors",
    ),
    "one that is public": (
        "bmn",
        lambda f: ((f / "a2.safetensors").unlink(), np.save(f / "a2.npy", values_of("a2"))),
        {},
        r"a2\.npy does not say what made it",
    ),
}
PUBLIC_FEATURES: dict[str, Case] = {
    "without an interval": (
        "bmn",
        lambda f: None,
        {"data": {"interval": None}},
        r"a0\.npy does not state the interval of its snippets",
    ),
    "of no positive interval": (
        "bmn",
        lambda f: None,
        {"data": {"interval": -1.0}},
        r"data\.interval must be at least 0",
    ),
    "not finite": (
        "bmn",
        lambda f: np.save(f / "a2.npy", with_nan("a2")),
        {},
        r"a2\.npy: 1 of 40 snippets hold values that are not finite, first number 8",
    ),
    "too short": (
        "tcanet",
        lambda f: np.save(f / "a2.npy", values_of("a2")[:, :20]),
        {},
        r"a2\.npy.* 20 snippets of 0\.5 s make 10\.0 s, but the video lasts 20\.0 s",
    ),
    "one of another width": (
        "bmn",
        lambda f: np.save(f / "a3.npy", values_of("a3")[:5]),
        {},
        r"a3\.npy: 5 x 40 values, no axis of which is 8",
    ),
    "one of ours among them": (
        "bmn",
        lambda f: ((f / "a2.npy").unlink(), write_one(f, "a2")),
        {},
        r"a2\.safetensors was made by `actline extract`, and others next to it were not",
    ),
    "a malicious one": (
        "bmn",
        lambda f: (
            (f / "a1.npy").unlink(),
            (f / "a1.pkl").write_bytes(pickle.dumps({"slow_feature": Malicious()})),
        ),
        {},
        r"a1\.pkl holds '.*system', which may run code, and is not loaded",
    ),
}


def refused(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command says, which leaves no checkpoint and nothing half-written."""
    before = {path for path in folder.rglob("*") if path.is_file()}
    assert main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("actline: ")
    new = {path for path in folder.rglob("*") if path.is_file()} - before
    assert all("tensorboard" in str(path) or path.name == CLAIMS for path in new), new
    return lines[0]


@pytest.mark.parametrize("name", FEATURES)
def test_features_that_cannot_be_used_are_refused_in_one_line(tmp_path, capsys, name):
    kit = Kit(tmp_path)
    which, spoil, changes, said = FEATURES[name]
    spoil(kit.features)
    recipe = kit.recipe(which, "r", **copy.deepcopy(changes))
    assert re.search(said, refused(["train", str(recipe), "--device", "cpu"], tmp_path, capsys))


@pytest.mark.parametrize("name", PUBLIC_FEATURES)
def test_public_features_that_cannot_be_used_are_refused_in_one_line(tmp_path, capsys, name):
    kit = Kit(tmp_path)
    which, spoil, changes, said = PUBLIC_FEATURES[name]
    folder = public_folder(tmp_path / "public", "npy of C x T")
    spoil(folder)
    data = {"features": str(folder), **PUBLIC, **changes.get("data", {})}
    recipe = kit.recipe(which, "r", data=data)
    assert re.search(said, refused(["train", str(recipe), "--device", "cpu"], tmp_path, capsys))
    assert not Path("/tmp/actline-was-here").exists()


def test_public_features_need_durations(kit, tmp_path, capsys):
    folder = public_folder(tmp_path / "public", "npy of C x T")
    annotations = write_annotations(tmp_path / "annotations.json", a0={"duration": None})
    data = {"annotations": str(annotations), "features": str(folder), **PUBLIC}
    recipe = write_bmn(tmp_path / "r.yaml", annotations, folder, data=data)
    said = refused(["train", str(recipe), "--device", "cpu"], tmp_path, capsys)
    assert "a0.npy: the annotations lack the video's duration" in said


def of_other_videos(kit: Kit, plain: dict[str, Path], folder: Path) -> Path:
    path = folder / "others.json"
    path.write_text(kit.proposals.read_text().replace('"a', '"b'))
    return path


def of_other_features(kit: Kit, plain: dict[str, Path], folder: Path) -> Path:
    features = write_features(folder / "others", replace(ORIGIN, checkpoint="cd" * 32))
    recipe = write_bmn(folder / "bmn.yaml", kit.annotations, features, epochs=1)
    return train(read_recipe(recipe), device="cpu").last


def with_end_before_start(kit: Kit, plain: dict[str, Path], folder: Path) -> Path:
    content = {"results": {"a0": [{"score": 0.5, "segment": [5, 2]}]}}
    (folder / "backwards.json").write_text(json.dumps(content))
    return folder / "backwards.json"


PROPOSALS: dict[str, tuple[Callable[[Kit, dict[str, Path], Path], Path], str]] = {
    "of other videos": (of_other_videos, "no training video has a proposal"),
    "with an end before its start": (
        with_end_before_start,
        r"backwards\.json, a0, proposal 1: the end \(2 s\) is not after the start",
    ),
    "missing": (lambda k, p, f: f / "gone.json", r"no predictions at .*gone\.json"),
    "a missing BMN": (lambda k, p, f: f / "gone.safetensors", r"no checkpoint at .*gone"),
    "a BMN of other features": (
        of_other_features,
        r"last\.safetensors was trained on other features than .*features",
    ),
    "a TCANet": (
        lambda k, p, f: p["tcanet"],
        "does not hold BMN; give proposals= a checkpoint of one",
    ),
    "features": (lambda k, p, f: k.features / "a0.safetensors", "was not written by actline"),
}


@pytest.mark.parametrize("name", PROPOSALS)
def test_proposals_that_cannot_be_trained_on_are_refused_in_one_line(
    kit, plain, tmp_path, capsys, name
):
    make, said = PROPOSALS[name]
    proposals = make(kit, plain, tmp_path)
    capsys.readouterr()
    changes = {"proposals": str(proposals), "out": str(tmp_path / "refused")}
    recipe = write_tcanet(tmp_path / "r.yaml", kit.annotations, kit.features, **changes)
    assert re.search(said, refused(["train", str(recipe), "--device", "cpu"], tmp_path, capsys))


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (("bmn", {"width": 6}), "network: .* divisible by groups"),
        (("tcanet", {"start_samples": 5}), "network: samples must be multiples of 4"),
        (("tcanet", {"heads": 3}), "network: "),
        (("tcanet", {"stages": 4}), r"network\.stages is 4; give 1 to 3"),
        (("tcanet", {"stages": 0}), r"network\.stages is 0; give 1 to 3"),
    ],
)
def test_networks_that_cannot_be_are_refused_in_one_line(kit, tmp_path, capsys, size, said):
    which, network = size
    recipe = kit.recipe(which, "sizes", network=network, out=str(tmp_path / "run"))
    assert re.search(said, refused(["train", str(recipe), "--device", "cpu"], tmp_path, capsys))


def test_a_frame_networks_recipe_key_is_no_key_of_bmns(kit, tmp_path, capsys):
    recipe = write_bmn(tmp_path / "r.yaml", kit.annotations, kit.features, window=16)
    assert 'unknown key "window"' in refused(["train", str(recipe)], tmp_path, capsys)


def test_held_out_videos_are_not_trained_on(kit):
    recipe = read_recipe(kit.recipe("bmn", "seen"))
    assert isinstance(recipe, ProposalRecipe)
    job = ProposalJob(recipe, read_annotations(kit.annotations).subset("training"), device=CPU)
    seen = {
        name
        for batch in job.batches(Accelerator(cpu=True), first=0, last=8)
        for name in batch.videos
    }
    assert seen == set(TRAINED)
    assert not seen & set(HELD_OUT)


def test_training_says_what_it_mends_in_the_truth_and_validation_scores_it_as_listed(
    tmp_path, capsys
):
    kit = Kit(tmp_path)
    trained = [{"label": "move", "segment": [2, 9]}] * 2
    held_out = [{"label": "move", "segment": segment} for segment in ([6, 15], [19, 99])]
    write_annotations(kit.annotations, a0={"annotations": trained}, a4={"annotations": held_out})
    kit.train("bmn", "mended", epochs=1)
    printed = capsys.readouterr().out
    assert 'mended for training: 1 activities that appear twice, such as a0: "move"' in printed
    assert "1 activities that end after their video, such as a4" in printed
    found = read_annotations(kit.annotations)
    assert [a.end for a in found["a4"].activities] == [15.0, 20.0]
    truth = tables_of(found.subset("validation"), {}).truth
    assert truth.end.tolist()[:2] == [15.0, 99.0]
