"""The generated set: seeded, of the real sets' statistics, and without a clue in single frames."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from actline.annotations.read import read_annotations
from actline.errors import OutputError, RecipeError
from actline.generated.motions import MOTIONS
from actline.generated.plan import plan, quantities
from actline.generated.profiles import (
    ACTIVITYNET,
    CHARADES,
    DIFFICULTIES,
    EASY,
    HARD,
    KINETICS,
    NORMAL,
    PROFILES,
    THUMOS,
)
from actline.generated.scene import render
from actline.generated.write import generate
from actline.video.decode import frame_times, probe


def digest(scenario) -> str:
    pixels = hashlib.sha256()
    for number, frame in enumerate(render(scenario, size=(48, 32), rate=4)):
        if number % 10 == 0:
            pixels.update(frame.tobytes())
    return pixels.hexdigest()


@pytest.mark.parametrize("difficulty", DIFFICULTIES.values(), ids=lambda d: d.name)
def test_the_same_seed_gives_the_same_labels_and_pixels(difficulty):
    first, second = (plan(CHARADES, difficulty, seed=3, index=2) for _ in range(2))
    assert first == second
    assert digest(first) == digest(second)
    other = plan(CHARADES, difficulty, seed=4, index=2)
    assert other.activities != first.activities
    assert digest(other) != digest(first)


def scenarios(profile, difficulty=NORMAL, count=200):
    return [plan(profile, difficulty, seed=0, index=index) for index in range(count)]


@pytest.mark.parametrize(
    ("profile", "seconds", "activities", "length"),
    [
        (CHARADES, (27, 33), (5.5, 7.5), (8, 13)),
        (THUMOS, (180, 240), (12, 17), (3.5, 5.5)),
        (ACTIVITYNET, (100, 140), (1.2, 2.0), (25, 50)),
        (KINETICS, (10, 10), (1, 1), (10, 10)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_profiles_have_the_statistics_of_the_real_sets(profile, seconds, activities, length):
    made = scenarios(profile)
    assert seconds[0] <= np.mean([s.duration for s in made]) <= seconds[1]
    assert activities[0] <= np.mean([len(s.activities) for s in made]) <= activities[1]
    lengths = [a.duration for s in made for a in s.activities]
    assert length[0] <= np.mean(lengths) <= length[1]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda p: p.name)
def test_labels_lie_in_the_video_and_frames_carry_at_most_four(profile):
    for scenario in scenarios(profile, count=60):
        times = np.arange(0, scenario.duration, 0.1)
        at_once = np.zeros(len(times))
        for activity in scenario.activities:
            assert 0 <= activity.start < activity.end <= scenario.duration + 1e-6
            at_once += (times >= activity.start) & (times < activity.end)
        assert at_once.max() <= 4


def test_charades_has_short_and_long_activities_and_frames_without_any():
    made = scenarios(CHARADES)
    parts = [a.duration / s.duration for s in made for a in s.activities]
    assert min(a.duration for s in made for a in s.activities) < 1.0
    assert max(parts) > 0.6
    assert any(all(a.start > 0.5 for a in s.activities) for s in made)


def test_an_actor_does_one_thing_at_a_time_without_jumps():
    times = np.arange(0, 24, 0.01)
    for scenario in scenarios(CHARADES, HARD, count=10):
        for actor in range(scenario.actors):
            for name, values in quantities(scenario, actor, times).items():
                steps = np.abs(np.diff(values))
                if name == "angle":
                    steps = np.minimum(steps, 1 - steps)  # a full turn is no jump
                # The fastest part of the fastest motion: rate 0.7, speed 2, falling in a fifth.
                assert steps.max() < 0.01 * 1.5 * 2 / 0.2 + 1e-6


def test_what_one_frame_shows_is_the_same_in_every_class_and_in_none():
    """Every quantity is spread evenly in [0, 1], during its own motions and while idle."""
    phase = np.linspace(0, 1, 10_001)[:-1]
    for motion in MOTIONS:
        values = np.sort(motion.values(phase))
        assert np.abs(values - np.linspace(0, 1, len(values))).max() < 1e-3, motion.label


@pytest.mark.parametrize(
    ("one", "other"),
    [(MOTIONS[i].label, MOTIONS[i + 1].label) for i in range(0, 10, 2)],
)
def test_pairs_are_each_other_backwards(one, other):
    by_label = {motion.label: motion for motion in MOTIONS}
    phase = np.linspace(0, 1, 1001)[1:-1]
    assert np.allclose(by_label[one].values(phase), by_label[other].values(1 - phase), atol=1e-9)


def test_a_set_is_written_as_real_video_and_does_not_depend_on_workers_or_number(tmp_path):
    kinds = {"seed": 1, "difficulty": "easy", "size": (48, 32), "rate": 5.0}
    made = generate("kinetics", tmp_path / "a", videos=3, workers=2, **kinds)
    generate("kinetics", tmp_path / "b", videos=2, workers=1, **kinds)
    for name in ("kinetics-00000", "kinetics-00001"):
        first, second = (tmp_path / folder / "videos" / f"{name}.mp4" for folder in "ab")
        assert first.read_bytes() == second.read_bytes()
    info = probe(tmp_path / "a" / "videos" / "kinetics-00002.mp4")
    assert (info.codec, info.width, info.height) == ("h264", 48, 32)
    assert info.duration == pytest.approx(10.0, abs=0.01)
    assert len(frame_times(info.path)) == 50
    assert read_annotations(tmp_path / "a").videos == made.videos


def test_a_second_run_keeps_what_is_there_and_refuses_other_settings(tmp_path):
    kinds = {"difficulty": "easy", "size": (48, 32), "rate": 5.0, "workers": 1}
    generate("kinetics", tmp_path, videos=1, **kinds)
    path = tmp_path / "videos" / "kinetics-00000.mp4"
    written = path.stat().st_mtime_ns
    generate("kinetics", tmp_path, videos=2, **kinds)
    assert path.stat().st_mtime_ns == written
    assert len(json.loads((tmp_path / "annotations.json").read_text())["database"]) == 2
    with pytest.raises(OutputError, match="other settings"):
        generate("kinetics", tmp_path, videos=2, seed=9, **kinds)
    with pytest.raises(RecipeError, match='no profile "kinetic"'):
        generate("kinetic", tmp_path / "x", videos=1)


def test_harder_settings_have_more_classes_and_smaller_actors():
    assert EASY.classes < NORMAL.classes < HARD.classes <= len(MOTIONS)
    assert EASY.actor_size > NORMAL.actor_size > HARD.actor_size


def test_the_docs_tell_profiles_and_difficulties_as_they_are():
    text = (Path(__file__).parents[2] / "docs/generated-benchmark.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|(.+)\|$", text, re.MULTILINE))
    assert rows.keys() == PROFILES.keys()
    for name, row in rows.items():
        profile = PROFILES[name]
        _, length, activities, mean, together = (cell.strip() for cell in row.split("|"))
        scale = 60 if "min" in length else 1
        told = [scale * float(number) for number in re.findall(r"[\d.]+", length)]
        assert {told[0], told[-1]} == set(profile.seconds)
        per_video = f"{profile.activities:g} \N{MULTIPLICATION SIGN} density"
        assert activities == ("1" if profile.trimmed else per_video)
        assert int(re.findall(r"\d+", together)[0]) == profile.concurrent
        assert ("one class" in together) == (profile.one_class > 0 and not profile.trimmed)
        made = scenarios(profile)
        measured = np.mean([a.duration for scenario in made for a in scenario.activities])
        if bounds := [float(number) for number in re.findall(r"[\d.]+", mean)]:
            assert bounds[0] <= measured <= bounds[1]
        else:
            assert mean == "all of it"
            assert measured == profile.seconds[0]
    counts = ", ".join(str(difficulty.classes) for difficulty in DIFFICULTIES.values())
    assert f"set the number of classes ({counts})" in " ".join(text.split())
    assert len(MOTIONS) == 16
    assert "Sixteen motions" in text
