"""A run's state holds what it depends on: it goes on as it would have, or says what changed."""

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_segments import SEGMENTS, TRAINED, write_annotations, write_bmn, write_features

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.annotations.held_out import with_held_out
from actline.annotations.read import read_annotations
from actline.cli.main import main
from actline.errors import AnnotationError, RecipeError, TrainingError
from actline.training.job import Validation
from actline.training.loop import check_batches, run_job
from actline.training.proposals import ProposalJob, ProposalRecipe
from actline.training.schedule import Passes
from actline.training.tasks import read_recipe
from actline.training.train import depends_on, train


class Kit:
    """Features, annotations and a recipe of BMN in one folder; `run` trains by it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.features = write_features(folder / "features")
        self.annotations = write_annotations(folder / "annotations.json")
        changes = {"batch_size": 1, "save_every_seconds": 0.0, **changes}
        self.recipe = write_bmn(folder / "r.yaml", self.annotations, self.features, **changes)
        self.out = folder / "run"

    def run(self, *values: str) -> None:
        """Train, with values changed."""
        train(read_recipe(self.recipe, values), device="cpu")

    def annotate(self, **changes: Any) -> None:
        """Write the annotations again."""
        write_annotations(self.annotations, **changes)

    @property
    def state(self) -> dict[str, Any]:
        """What the state holds."""
        return torch.load(self.out / "state.pt", weights_only=True)

    def weights(self, name: str = "last") -> dict[str, torch.Tensor]:
        """A checkpoint's tensors."""
        return load_file(self.out / f"{name}.safetensors")


@pytest.fixture
def kit(tmp_path) -> Kit:
    return Kit(tmp_path / "kit")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@given(
    epoch_batches=st.integers(1, 9),
    epochs=st.integers(1, 5),
    accumulate=st.integers(1, 12),
    every=st.integers(0, 3),
)
def test_every_batch_of_every_pass_is_stepped_once_and_validated_when_asked(
    epoch_batches, epochs, accumulate, every
):
    passes = Passes(epoch_batches, epochs, accumulate)
    step = batch = validated = 0
    at = []
    steps = passes.steps_left(0)
    while batch < passes.batches:
        taken = passes.taken(batch)
        assert taken == accumulate or batch + taken == passes.batches
        step, batch = step + 1, batch + taken
        if passes.due(batch, last=validated, every=every):
            validated = batch
            at.append(batch)
    assert (step, batch) == (steps, epoch_batches * epochs)
    assert at[-1] == batch
    if not every:
        assert len(at) == 1
    elif accumulate <= epoch_batches * every:
        ends = range(epoch_batches * every, passes.batches + 1, epoch_batches * every)
        assert all(any(end <= a < end + accumulate for a in at) for end in ends)


@pytest.mark.parametrize(
    ("accumulate", "epochs", "steps"), [(1, 2, 8), (2, 3, 6), (3, 2, 3), (8, 2, 1), (100, 1, 1)]
)
def test_epochs_are_passes_whatever_is_accumulated(kit, accumulate, epochs, steps):
    kit.run(f"accumulate={accumulate}", f"epochs={epochs}")
    assert kit.state["step"] == steps
    assert kit.state["batch"] == 4 * epochs


def test_a_step_of_what_is_left_has_the_mean_of_its_batches(tmp_path):
    whole, left = Kit(tmp_path / "whole"), Kit(tmp_path / "left")
    whole.run("epochs=1", "accumulate=4")
    left.run("epochs=1", "accumulate=7")
    assert same(whole.weights(), left.weights())


ANNOTATED: dict[str, tuple[dict[str, Any], str]] = {
    "a class renamed": (
        {name: {"annotations": [{"label": "zeta", "segment": [2, 9]}]} for name in SEGMENTS},
        r"classes were \(move\), are \(zeta\)",
    ),
    "a class more": (
        {"a1": {"annotations": [{"label": "alpha", "segment": [2, 9]}]}},
        r"classes were \(move\), are \(alpha, move\).*1 annotated otherwise \(a1\)",
    ),
    "a segment moved": (
        {"a2": {"annotations": [{"label": "move", "segment": [2, 9]}]}},
        r"training videos: 1 annotated otherwise \(a2\)",
    ),
    "a video fewer": ({"a0": {"subset": "other"}}, r"training videos: 1 removed \(a0\)"),
    "a video more": ({"a5": {"subset": "training"}}, r"training videos: 1 added \(a5\)"),
}


@pytest.mark.parametrize("name", ANNOTATED)
def test_other_annotations_are_refused_in_one_line_that_names_the_change(kit, capsys, name):
    changes, said = ANNOTATED[name]
    kit.run("epochs=1")
    before = kit.state
    kit.annotate(**changes)
    with pytest.raises(TrainingError, match=said) as caught:
        kit.run("epochs=2")
    assert "\n" not in str(caught.value)
    assert kit.state["step"] == before["step"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("seed=1", "seed was 0, is 1"),
        ("optimizer.lr=0.02", r"optimizer\.lr was 0\.01, is 0\.02"),
        ("network.width=16", r"network\.width was 8, is 16"),
        ("batch_size=2", "batch_size was 1, is 2"),
        ("accumulate=2", "accumulate was 1, is 2"),
        ("optimizer.milestones=[1]", r"optimizer\.milestones was \[\], is \[1\.0\]"),
        ("epochs=1", r"2 passes over the data, and epochs is 1; give epochs=2 or more"),
    ],
)
def test_another_recipe_is_refused_in_one_line_that_names_the_change(kit, value, said):
    kit.run("epochs=2")
    with pytest.raises(TrainingError, match=said) as caught:
        kit.run("epochs=2", value)
    assert "\n" not in str(caught.value)


def test_a_moved_data_set_and_other_names_are_no_change(kit, tmp_path):
    other = Kit(tmp_path / "other")
    for one in (kit, other):
        one.run("epochs=1")
    shutil.move(kit.features, tmp_path / "elsewhere")
    shutil.copy(kit.annotations, tmp_path / "copy.json")
    kit.run(
        "epochs=2",
        f"data.features={tmp_path / 'elsewhere'}",
        f"data.annotations={tmp_path / 'copy.json'}",
        "name=renamed",
        "save_every_seconds=60",
    )
    other.run("epochs=2")
    assert same(kit.weights(), other.weights())


def test_another_file_under_the_same_name_is_refused_unless_told_otherwise(kit):
    kit.run("epochs=1")
    shutil.copy(kit.features / "a2.safetensors", kit.features / "a1.safetensors")
    with pytest.raises(TrainingError, match=r"other files: a1 changed.*accept_changed_files=true"):
        kit.run("epochs=2")
    kit.run("epochs=2", "accept_changed_files=true")
    assert kit.state["batch"] == 8


def test_other_validation_videos_begin_the_best_score_anew(kit, capsys):
    kit.run("epochs=1")
    assert kit.state["best"] > 0
    kit.annotate(a5={"annotations": [{"label": "move", "segment": [19, 20]}]})
    kit.run("epochs=1")
    said = capsys.readouterr().out
    assert "validation videos changed" in said
    assert said.count("epoch 1 of 1") == 2, "the weights are validated on the new ones"


@pytest.mark.parametrize("accumulate", [1, 3])
def test_more_epochs_go_on_as_if_they_had_been_asked_for(tmp_path, accumulate):
    """Bit for bit, where the rate does not depend on the number of epochs."""
    longer, once = Kit(tmp_path / "longer"), Kit(tmp_path / "once")
    for epochs in (1, 3):
        longer.run(f"epochs={epochs}", f"accumulate={accumulate}", "optimizer.milestones=[2]")
    once.run("epochs=3", f"accumulate={accumulate}", "optimizer.milestones=[2]")
    assert longer.state["batch"] == once.state["batch"] == 12
    if accumulate == 1:
        assert same(longer.weights(), once.weights())
    else:  # four batches were three and the one that was left; now the next begins with the fifth
        assert longer.state["step"] == 2 + 3


def test_more_epochs_of_a_cosine_are_said_and_follow_the_longer_one(kit, capsys):
    kit.run("optimizer.schedule=cosine", "epochs=1")
    kit.run("optimizer.schedule=cosine", "epochs=2")
    assert "epochs was 1, is 2: goes on along the cosine of that many" in capsys.readouterr().out
    assert kit.state["batch"] == 8
    rates = [group["lr"] for group in kit.state["optimizer"]["param_groups"]]
    assert rates == pytest.approx([0.01 * 0.5 * (1 + math.cos(math.pi * 7 / 8))])


def test_a_finished_run_says_so_and_lost_checkpoints_are_written_again(kit, capsys):
    assert main(["train", str(kit.recipe), "--device", "cpu"]) == 0
    assert main(["train", str(kit.recipe), "--device", "cpu"]) == 0
    assert "holds the finished run" in capsys.readouterr().out
    (kit.out / "best.safetensors").unlink()
    assert main(["train", str(kit.recipe), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "lost a checkpoint" in said
    assert "best checkpoint" in said
    assert same(kit.weights("best"), kit.weights("last"))


# Weights grow a hundredfold in every step, with the other sign.
WILD = ("optimizer.lr=100", "optimizer.weight_decay=1.0", "optimizer.momentum=0.0")


@pytest.mark.parametrize("saved_every", [0.0, 1000.0])
def test_after_a_loss_that_is_not_finite_a_lower_rate_goes_on(kit, capsys, saved_every):
    given = ("epochs=6", f"save_every_seconds={saved_every}", "evaluate_every=1")
    with pytest.raises(TrainingError, match=r"(loss|weights).*give an optimizer\.lr below 100"):
        kit.run(*WILD, *given)
    failed = kit.state["step"] if (kit.out / "state.pt").exists() else 0
    for path in kit.out.glob("*.safetensors"):
        assert all(bool(torch.isfinite(t).all()) for t in load_file(path).values())
    kit.run(*WILD, "optimizer.lr=0.001", *given)
    assert kit.state["batch"] == 24
    assert (f"going on at step {failed} of 24" in capsys.readouterr().out) == (failed > 0)
    assert [g["base_lr"] for g in kit.state["optimizer"]["param_groups"]] == [0.001]
    with pytest.raises(TrainingError, match=r"optimizer\.lr was"):
        kit.run(*WILD, "optimizer.lr=0.01", *given)


def test_a_state_whose_next_step_is_not_finite_gives_way_to_the_one_before(kit):
    """A late spike: the last saved weights are finite, but their loss is not."""
    kit.run("epochs=2", "evaluate_every=1")
    state = kit.state
    for tensor in state["network"].values():
        tensor.mul_(1e30)
    (kit.out / "state-before.pt").unlink()
    shutil.copy(kit.out / "state.pt", kit.out / "state-before.pt")
    before = {**state, "step": 7, "batch": 7, "validated": 4, "network": kit.state["network"]}
    torch.save(before, kit.out / "state-before.pt")
    torch.save(state, kit.out / "state.pt")
    with pytest.raises(TrainingError, match="goes on from step 7, the last good one"):
        kit.run("epochs=3", "evaluate_every=1")
    kit.run("epochs=3", "evaluate_every=1", "optimizer.lr=0.001")
    assert kit.state["batch"] == 12


def test_last_and_state_are_written_before_validation(kit, tmp_path):
    alone = Kit(tmp_path / "alone")
    alone.run()
    held_out = kit.features / "a5.safetensors"
    whole = held_out.read_bytes()
    held_out.write_bytes(whole[:-30])
    assert main(["train", str(kit.recipe), "--device", "cpu"]) == 1
    assert not (kit.out / "best.safetensors").exists()
    assert same(kit.weights("last"), alone.weights("last"))
    held_out.write_bytes(whole)
    kit.run()
    assert same(kit.weights("best"), alone.weights("best"))


def test_validation_without_activities_is_refused_before_the_first_step(kit, capsys):
    kit.annotate(a4={"annotations": []}, a5={"annotations": []})
    assert main(["train", str(kit.recipe), "--device", "cpu"]) == 1
    assert "none of the 2 videos of subset validation has an activity" in capsys.readouterr().err
    assert not kit.out.exists()


def test_a_signal_ends_validation_where_it_stands_and_the_next_run_does_it_again(kit):
    recipe = read_recipe(kit.recipe)
    assert isinstance(recipe, ProposalRecipe)
    annotations = read_annotations(kit.annotations)
    training, held_out = annotations.subset("training"), annotations.subset("validation")
    validated = 0

    class Endless(ProposalJob):
        def validate(self, network: torch.nn.Module, held_out: Annotations) -> Validation:
            os.kill(os.getpid(), signal.SIGINT)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                time.sleep(0.001)
            raise AssertionError("it was not interrupted")

    class Quick(ProposalJob):
        def validate(self, network: torch.nn.Module, held_out: Annotations) -> Validation:
            nonlocal validated
            validated += 1
            return Validation(0.5, "a score")

    results = []
    cpu = torch.device("cpu")
    for kind in (Endless, Quick):
        job = kind(recipe, training, device=cpu)
        depends = depends_on(job, held_out)
        results.append(run_job(job, held_out, depends=depends, device=cpu))
        if kind is Endless:
            assert (kit.out / "last.safetensors").exists()
            assert not (kit.out / "best.safetensors").exists()
    assert [result.stopped for result in results] == [True, False]
    assert validated == 1
    assert results[1].best.exists()


def test_states_that_cannot_be_read_are_one_line_with_advice_that_works(kit, capsys):
    kit.run("epochs=1")
    state, before = kit.out / "state.pt", kit.out / "state-before.pt"
    step = torch.load(before, weights_only=True)["step"]
    whole = state.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"\x80\x04no pickle", b"text"):
        state.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"is damaged; rename .*state-before\.pt") as caught:
            kit.run("epochs=1")
        assert "\n" not in str(caught.value)
    before.rename(state)
    assert kit.state["step"] == step
    kit.run("epochs=1")
    # As states were before they held what they depend on.
    torch.save({k: v for k, v in kit.state.items() if k != "format"}, state)
    with pytest.raises(TrainingError, match="another version of actline"):
        kit.run("epochs=1")


@pytest.mark.parametrize(
    ("values", "items", "processes", "said"),
    [
        (["network.splits=2", "batch_size=3"], 9, 1, "batches of 3 cannot .*give batch_size=2, or"),
        (["network.splits=2", "batch_size=4"], 3, 1, r"batches of 3 \(3 training items"),
        (["network.splits=2", "batch_size=4"], 7, 2, r"batches of 3 \(3 training items"),
        (["network.splits=4", "batch_size=2"], 9, 1, "more videos, or network.splits=1"),
        ([], 1, 2, "1 training items are too few for 2 processes"),
        ([], 5, 8, "start at most 5"),
    ],
)
def test_batches_that_cannot_be_had_are_refused_before_the_first_step(
    tmp_path, values, items, processes, said
):
    path = tmp_path / "r.yaml"
    path.write_text(
        "{name: n, out: o, data: {annotations: a, videos: v}, clip: {rate: 5, size: 32, "
        "short_sides: [32]}, network: {depths: [1, 1, 1, 1]}, optimizer: {lr: 0.1}, epochs: 1, "
        "batch_size: 2}"
    )
    with pytest.raises(RecipeError, match=said):
        check_batches(read_recipe(path, values), items, processes)


def test_batches_smaller_than_asked_for_are_said(kit, capsys):
    kit.run("batch_size=64")
    assert "batch_size is 64, and batches have 4" in capsys.readouterr().out


@given(st.lists(st.text(min_size=1), min_size=2, max_size=30, unique=True), st.floats(0.01, 0.5))
def test_held_out_videos_follow_from_their_ids_and_stay_so(ids, share):
    def held_out(names: list[str]) -> set[str]:
        videos = tuple(AnnotatedVideo(name, "training", None, ()) for name in names)
        made, moved = with_held_out(
            Annotations((), videos), training="training", validation="testing", share=share
        )
        chosen = {video.id for video in made.videos if video.subset == "testing"}
        assert 0 < len(chosen) == moved < len(names)
        return chosen

    whole = held_out(ids)
    assert held_out(ids[::-1]) == whole
    if len(ids) > 2 and len(held_out(ids[:-1])) > 1:
        # One alone may have been held out for want of others.
        assert held_out(ids[:-1]) <= whole | {ids[-1]}


def test_annotations_with_subsets_stay_as_they_are(kit):
    annotations = read_annotations(kit.annotations)
    names = {"training": "training", "validation": "testing", "share": 0.2}
    assert with_held_out(annotations, **names) == (annotations, 0)
    alone = replace(annotations, videos=annotations.videos[:1])
    with pytest.raises(AnnotationError, match="only one video, a0, and none to validate on"):
        with_held_out(alone, **names)


def test_a_list_without_subsets_trains_and_says_what_is_held_out(kit, capsys):
    rows = [f"{name},move,{start},{end}" for name, (start, end) in SEGMENTS.items()]
    table = kit.folder / "mine.csv"
    table.write_text("video,label,start,end,duration\n" + "".join(f"{r},20\n" for r in rows))
    kit.run(f"data.annotations={table}")
    assert "held out for it" in capsys.readouterr().out
    assert len(kit.state["training"]) + len(kit.state["validation"]) == len(SEGMENTS)
    assert kit.state["validation"]


def two_processes(kit: Kit, *values: str) -> list[subprocess.Popen]:
    """A run of two processes, started as torchrun starts them."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "actline.cli.main", "train", str(kit.recipe), *values],
            env={**os.environ, "OMP_NUM_THREADS": "1", **shared, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]


@pytest.mark.slow
def test_two_processes_end_killed_or_not_with_the_same_weights_and_one_refuses(tmp_path):
    """kill -9 of a run of two processes, and its state given to one."""
    alone, killed = Kit(tmp_path / "alone"), Kit(tmp_path / "killed")
    values = ["epochs=40", "accumulate=3", "optimizer.lr=0.001"]
    processes = two_processes(killed, *values, "--device", "cpu")
    while not (killed.out / "state.pt").exists() and processes[0].poll() is None:
        time.sleep(0.005)
    for process in processes:
        process.kill()
        process.communicate()
    assert 0 < killed.state["step"] < 27, "it was killed in the middle"
    with pytest.raises(TrainingError, match="the number of processes was 2, is 1"):
        killed.run(*values)
    for kit in (alone, killed):
        for process in two_processes(kit, *values, "--device", "cpu"):
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
    assert alone.state["batch"] == len(TRAINED) // 2 * 40
    assert alone.state["step"] == 27
    assert same(alone.weights(), killed.weights())


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_all_processes_with_its_videos(kit):
    processes = two_processes(kit, "epochs=40", *WILD, "--device", "cpu")
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 1
        said = [line for line in errors.splitlines() if line.startswith("actline: ")]
        assert len(said) == 1
        assert "give an optimizer.lr below 100" in said[0]


def test_key_value_pairs_and_options_come_in_any_order(kit, capsys):
    recipe, wrong = str(kit.recipe), "epoch=1"
    for order in (
        [recipe, wrong, "--device", "cpu"],
        [recipe, "--device", "cpu", wrong],
        ["--device", "cpu", recipe, wrong],
        [recipe, "seed=1", "--device", "cpu", wrong],
    ):
        assert main(["train", *order]) == 1
        assert 'unknown key "epoch"' in capsys.readouterr().err
    checkpoint = ["--checkpoint", "gone.safetensors"]
    for order in (["a.mp4", *checkpoint, "b.mp4"], [*checkpoint, "a.mp4"]):
        assert main(["detect", *order]) == 1
        assert "no checkpoint at gone.safetensors" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", recipe, "--gone", wrong])
    assert "unrecognized arguments: --gone" in capsys.readouterr().err


def test_the_share_of_initial_weights_is_said_and_small_ones_are_refused(kit, tmp_path, capsys):
    kit.run("epochs=1")
    init = f"init={kit.out / 'last.safetensors'}"
    other = Kit(tmp_path / "other")
    assert main(["train", str(other.recipe), init, "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "last.safetensors gives 100% of the network's weights" in said
    wide = ["network.map_width=16", f"out={tmp_path / 'wide'}", "--device", "cpu"]
    assert main(["train", str(other.recipe), init, *wide]) == 1
    said = capsys.readouterr().err
    assert "less than init_share=0.5" in said
    advice = said.split(" or give ")[-1].strip()
    assert advice.startswith("init_share=0.")
    assert main(["train", str(other.recipe), init, *wide, advice]) == 0
    # A run that has begun needs its initial checkpoint no more.
    shutil.rmtree(kit.out)
    assert main(["train", str(other.recipe), init, "epochs=3", "--device", "cpu"]) == 0


def test_json_without_subsets_is_read_so_too(kit):
    content = json.loads(kit.annotations.read_text())
    for video in content["database"].values():
        del video["subset"]
    kit.annotations.write_text(json.dumps(content))
    kit.run("epochs=1")
    assert kit.state["validation"]
