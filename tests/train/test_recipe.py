"""Recipes are read strictly: unknown keys, wrong types and impossible values are one clear line."""

from pathlib import Path

import pytest

from actline.errors import RecipeError
from actline.models.config import CoarseFineConfig, X3DConfig
from actline.train.recipe import read_recipe
from actline.train.yaml_form import from_mapping, to_mapping

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
        ("clip.size=16", "size at 32"),
        ("clip.short_sides=[32]", "must not be smaller than size"),
        ("data=videos", "expected keys and values"),
        ("name.first=x", "leads through a value"),
        ("epochs", "not of the form key=value"),
        ("epochs=[1", "not valid YAML"),
        ("overlap=100", "overlap must lie"),
        ("features={folder: f, checkpoint: c}", "features are for a Coarse-Fine network"),
        ("network.per_frame=false", "per_frame must be true"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, change, said):
    with pytest.raises(RecipeError) as caught:
        read_recipe(write(tmp_path, GOOD), [change])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(RecipeError, match='the key "epochs" is missing'):
        read_recipe(write(tmp_path, GOOD.replace("epochs: 2\n", "")))
    with pytest.raises(RecipeError, match=r"cannot read the recipe .*nowhere\.yaml"):
        read_recipe(tmp_path / "nowhere.yaml")
    with pytest.raises(RecipeError, match="line 3"):
        read_recipe(write(tmp_path, "name: x\nout: [\n"))
