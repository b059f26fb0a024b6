"""Recipes are read strictly: unknown keys, wrong types and impossible values are one clear line."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch

from actline.errors import RecipeError
from actline.models.coarse_fine import CoarseFineConfig
from actline.models.x3d import X3DConfig
from actline.pretraining.augmentation import VolumeAugmentation
from actline.pretraining.multigrid import MultigridConfig, Schedule
from actline.stored.configuration import from_mapping, range_of, to_mapping
from actline.training.frames import FrameRecipe, window_note
from actline.training.pretraining import PretrainingRecipe
from actline.training.tasks import TASKS, read_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))

GOOD = """\
name: tiny
out: runs/tiny
data: {annotations: a.json, videos: videos}
clip: {rate: 5, frames: 16, size: 64, short_sides: [64]}
network: {widths: [8, 8, 16, 16], depths: [1, 1, 1, 1]}
optimizer: {lr: 1e-2}
epochs: 2
batch_size: 4
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_ours_is_valid(path):
    recipe = read_recipe(path)
    assert from_mapping(type(recipe), to_mapping(recipe), where="itself") == recipe


ON_FRAMES = [
    path for path in RECIPES if isinstance(read_recipe(path), FrameRecipe | PretrainingRecipe)
]


@pytest.mark.parametrize("path", ON_FRAMES, ids=lambda path: path.stem)
def test_every_recipe_on_frames_builds_its_network(path):
    recipe = read_recipe(path)
    assert isinstance(recipe, FrameRecipe | PretrainingRecipe)
    with torch.device("meta"):
        network = recipe.network.build(3)
    assert network.state_dict()


# What the published scripts choose by X3D_VERSION: crop_size, resize_size, gamma_tau, get_inplanes
# and get_blocks.
VERSIONS = {
    "s": (160, (180, 225), 6, (24, 48, 96, 192), (3, 5, 11, 7)),
    "xl": (312, (360, 450), 5, (32, 72, 136, 280), (5, 10, 25, 15)),
}
SOURCE_FRAMES = {
    "ssdet/kinetics_x3d{}.yaml": (80, 1),
    "ssdet/kinetics_x3d{}_multigrid.yaml": (80, 1),
    "ssdet/charades_x3d{}.yaml": (160, 2),
    "coarse_fine/charades_fine{}.yaml": (640, 2),
    "coarse_fine/charades_coarse_fine{}.yaml": (640, 2),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("stem", SOURCE_FRAMES)
def test_recipes_of_x3d_s_and_xl_differ_from_those_of_m_as_published(version, stem):
    size, short_sides, gamma_tau, widths, depths = VERSIONS[version]
    suffix = f"_{version}" if "x3d" in stem else f"_x3d_{version}"
    ours = flat(to_mapping(read_recipe(f"recipes/{stem.format(suffix)}")))
    medium = flat(to_mapping(read_recipe(f"recipes/{stem.format('')}")))
    assert ours.keys() == medium.keys()
    source_frames, doubled = SOURCE_FRAMES[stem]
    stride = gamma_tau * doubled
    # Kinetics' clips are cut to whole strides (//), Charades' are ranges of source frames.
    frames = source_frames // stride if doubled == 1 else len(range(0, source_frames, stride))
    expected = {
        "clip.size": size,
        "clip.short_sides": list(short_sides),
        "clip.stride": stride,
        "clip.frames": frames,
        "clip.labels_per_frame": stride if doubled == 2 else 1,
    }
    for key in ours:
        if key.endswith("widths"):
            expected[key] = list(widths)
        elif key.endswith("depths"):
            expected[key] = list(depths)
    paths = {"name", "out", "init", "features.folder", "features.checkpoint"}
    for key, found in ours.items():
        value = list(found) if isinstance(found, tuple) else found
        if key in expected:
            assert value == expected[key], key
        elif key in paths:
            assert value is None or f"-{version}" in value, key
        else:
            assert found == medium[key], key


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            result.update(flat(value, f"{prefix}{key}."))
        else:
            result[prefix + key] = value
    return result


@pytest.mark.parametrize("path", ON_FRAMES, ids=lambda path: path.stem)
def test_batches_of_every_recipe_on_frames_can_be_split(path):
    recipe = read_recipe(path)
    assert isinstance(recipe, FrameRecipe | PretrainingRecipe)
    network = recipe.network
    trained = network.coarse if isinstance(network, CoarseFineConfig) else network
    assert recipe.batch_size % trained.splits == 0
    if isinstance(recipe, PretrainingRecipe) and recipe.multigrid is not None:
        Schedule(
            length=220_000,
            batch_size=recipe.batch_size,
            frames=recipe.clip.frames,
            size=recipe.clip.size,
            epochs=recipe.epochs,
            processes=4,
            config=recipe.multigrid,
        )


def test_the_network_is_told_by_its_keys(tmp_path):
    assert isinstance(read_recipe(write(tmp_path, GOOD)).network, X3DConfig)
    overrides = ["network={pooling: stride, cells: 2}"]
    network = read_recipe(write(tmp_path, GOOD), overrides).network
    assert isinstance(network, CoarseFineConfig)
    assert network.pooling == "stride"


def test_numbers_such_as_1e_2_are_numbers(tmp_path):
    assert read_recipe(write(tmp_path, GOOD)).optimizer.lr == 0.01


def test_overrides_reach_nested_keys(tmp_path):
    recipe = read_recipe(write(tmp_path, GOOD), ["optimizer.lr=3e-4", "clip.short_sides=[64, 72]"])
    assert isinstance(recipe, FrameRecipe)
    assert recipe.optimizer.lr == 3e-4
    assert recipe.clip.short_sides == (64, 72)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("epoch=3", 'unknown key "epoch"; did you mean "epochs"'),
        ("optimizer.momentun=0.8", 'unknown key "momentun"; did you mean "momentum"'),
        ("epochs=two", 'epochs: expected a whole number, found "two"'),
        ("epochs=1.5", "expected a whole number"),
        ("epochs=true", "expected a whole number"),
        ("epochs=0", "epochs must be at least 1"),
        ("optimizer.lr=fast", "expected a number"),
        ("optimizer.kind=adagrad", '"adagrad" is not one of sgd, adam, adamw'),
        ("clip.short_sides=64", "expected a list"),
        ("clip.mean=[0.5, 0.5]", "expected 3 values, found 2"),
        ("clip.stride=5", "either rate or stride"),
        ("clip.size=16", "clip.size must be at least 32 and at most 4096, not 16"),
        ("clip.short_sides=[32]", "must not be smaller than size"),
        ("data=videos", "expected keys and values"),
        ("name.first=x", "leads through a value"),
        ("epochs", "does not have the form key=value"),
        ("epochs=[1", "not valid YAML"),
        ("overlap=100", "overlap must lie"),
        ("features={folder: f, checkpoint: c}", "features are for a Coarse-Fine network"),
        ("network.per_frame=false", "per_frame must be true"),
        ("network={pooling: grid, fine_stream: false}", "fine_stream must be true for training"),
        ("fine_frames=32", "fine_frames are for joint training of a Coarse-Fine network"),
        ("fine_frames=-1", "fine_frames are for joint training"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, change, said):
    with pytest.raises(RecipeError) as caught:
        read_recipe(write(tmp_path, GOOD), [change])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def numbers_of(kind: type) -> Iterator[tuple[type, str]]:
    """The keys of a recipe that are numbers, and the classes that hold them."""
    for name, hint in get_type_hints(kind).items():
        parts = {hint, *get_args(hint)}
        if parts & {int, float}:
            yield kind, name
        for part in parts:
            if dataclasses.is_dataclass(part) and isinstance(part, type):
                yield from numbers_of(part)


def test_every_number_of_every_recipe_has_a_range():
    for task in TASKS:
        for kind, name in numbers_of(task.Recipe):
            if kind not in (VolumeAugmentation, MultigridConfig):  # which check them themselves
                hint = get_type_hints(kind, include_extras=True)[name]
                assert range_of(hint) is not None, f"{kind.__name__}.{name}"


SLOWFAST = "network={width: 16, alpha: 4, beta: 0.125, temporal_blocks: 3}"
COARSE_FINE = "network={pooling: grid, cells: 1}"


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("fine", []),
        ("fine", [SLOWFAST]),
        ("fine", [COARSE_FINE]),
        ("pretrain", ["multigrid={}"]),
        ("bmn", []),
        ("tcanet", []),
    ],
    ids=["fine", "slowfast", "coarse-fine", "pretrain", "bmn", "tcanet"],
)
def test_a_number_that_cannot_work_is_one_line_with_its_key(name, network):
    path = Path("recipes/generated") / f"{name}.yaml"
    numbers = [
        (key, value)
        for key, value in flat(to_mapping(read_recipe(path, network))).items()
        if isinstance(value, int | float | list) and not isinstance(value, bool)
    ]
    assert len(numbers) > 20
    huge = "1" + 400 * "0"
    for key, value in numbers:
        for bad in (".nan", ".inf", "-.inf", "nan", "-1e9", "1e300", "-1000000000000", huge):
            items = [bad] * max(1, len(value)) if isinstance(value, list) else []
            given = f"[{', '.join(items)}]" if items else bad
            with pytest.raises(RecipeError) as caught:
                read_recipe(path, [*network, f"{key}={given}"])
            said = str(caught.value)
            assert "\n" not in said
            assert key.rsplit(".", 1)[-1] in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("optimizer.lr=1e30", "optimizer.lr must be above 0 and at most 100, not 1e+30"),
        ("optimizer.lr=0", "optimizer.lr must be above 0 and at most 100, not 0"),
        ("optimizer.lr=.nan", "optimizer.lr must be above 0 and at most 100, not nan"),
        ("clip.flip=1.5", "clip.flip must be at least 0 and at most 1, not 1.5"),
        ("optimizer.momentum=1", "optimizer.momentum must be at least 0 and below 1, not 1"),
        ("seed=-1", "seed must be at least 0"),
        ("network.depths=[1, 0, 1, 1]", "network.depths must be at least 1"),
        ("overlap=-1", "overlap must be at least 0"),
        ("window=0", "window must be at least 1"),
    ],
)
def test_the_range_is_said_with_the_value(tmp_path, change, said):
    with pytest.raises(RecipeError) as caught:
        read_recipe(write(tmp_path, GOOD), [change])
    assert said in str(caught.value)


def test_a_missing_key_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(RecipeError, match='the key "epochs" is missing'):
        read_recipe(write(tmp_path, GOOD.replace("epochs: 2\n", "")))
    with pytest.raises(RecipeError, match=r"no recipe at .*nowhere\.yaml"):
        read_recipe(tmp_path / "nowhere.yaml")
    with pytest.raises(RecipeError, match="line 3"):
        read_recipe(write(tmp_path, "name: x\nout: [\n"))


GENERATED = Path(__file__).parents[2] / "recipes" / "generated"


def generated(name: str) -> FrameRecipe | PretrainingRecipe:
    recipe = read_recipe(GENERATED / f"{name}.yaml")
    assert isinstance(recipe, FrameRecipe | PretrainingRecipe)
    return recipe


@pytest.mark.parametrize("name", ["fine", "finetune", "pretrain", "joint", "coarse_fine"])
def test_recipes_of_the_generated_set_show_as_many_frames_as_they_train_on(name):
    recipe = generated(name)
    assert recipe.window == recipe.clip.frames
    assert recipe.overlap > 0


def test_recipes_of_the_generated_set_go_on_from_one_another():
    """A network that starts from, or looks at, another recipe's is described as that one."""
    fine, joint, stored = generated("fine"), generated("joint"), generated("coarse_fine")
    pretrained, tuned = generated("pretrain"), generated("finetune")
    for recipe in (joint, stored):
        assert isinstance(recipe.network, CoarseFineConfig)
        assert recipe.network.fine == fine.network
        assert recipe.init == f"{fine.out}/best.safetensors"
        assert (recipe.clip.rate, recipe.clip.size) == (fine.clip.rate, fine.clip.size)
    assert tuned.network == pretrained.network == fine.network
    assert tuned.init == f"{pretrained.out}/best.safetensors"


@pytest.mark.parametrize(("frames", "window"), [(16, 64), (64, 16), (15, 128), (1, 4)])
def test_windows_far_from_training_clips_are_pointed_out_with_advice_that_works(
    tmp_path, frames, window
):
    clip = f"clip.frames={frames}"
    recipe = read_recipe(write(tmp_path, GOOD), [clip, f"window={window}", "overlap=0"])
    assert isinstance(recipe, FrameRecipe)
    note = window_note(recipe)
    assert note is not None
    assert "\n" not in note
    assert f"{frames} frames" in note
    assert f"windows of {window}" in note
    advice = note.split("; ")[1].split(" shows")[0].split()
    changed = read_recipe(write(tmp_path, GOOD), [clip, *advice])
    assert isinstance(changed, FrameRecipe)
    assert window_note(changed) is None


@pytest.mark.parametrize(("frames", "window"), [(16, 16), (64, 128), (16, 32), (64, 32)])
def test_windows_near_training_clips_are_no_matter(tmp_path, frames, window):
    values = [f"clip.frames={frames}", f"window={window}", "overlap=0"]
    recipe = read_recipe(write(tmp_path, GOOD), values)
    assert isinstance(recipe, FrameRecipe)
    assert window_note(recipe) is None


def test_a_plain_no_is_a_choice_of_that_name():
    recipe = read_recipe("recipes/generated/fine.yaml", ["mixed_precision=no"])
    assert recipe.mixed_precision == "no"
