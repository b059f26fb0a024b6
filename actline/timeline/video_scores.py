"""Published class scores of whole videos, used to label their segments."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from actline.errors import AnnotationError, PredictionError
from actline.parsing import brief, parse_id, parse_name, parse_number
from actline.stored.json_text import read_json

# Most scores are rounded, so their sum may exceed 1 by this much.
_SUM_MARGIN = 0.01


def read_video_scores(
    path: str | Path, *, temperature: float = 2.0, top: int = 3
) -> dict[str, tuple[tuple[str, float], ...]]:
    """Read class scores of whole videos: the `top` highest of each, highest first.

    Two forms: `{"results": {id: [{"label", "score"}, …]}}` with probabilities, which are kept; and
    `{"class": [name, …], "results": {id: [[score, …]]}}` with a score for every class, of which the
    probabilities are softmax(temperature x scores).

    Args:
        temperature: factor applied to the scores; 2 sharpens them.

    Raises:
        PredictionError: the file is missing, malformed, too large, has another format, or its
            scores are not plausible.

    Source: `save_detection_result` in TCANet's published code, which then multiplies each of the
    three with the score of every segment and keeps the 200 highest products.
    """
    path = Path(path)
    try:
        content = read_json(path, error=PredictionError, what="class scores")
        return _results(content, path, temperature, top)
    except AnnotationError as error:
        raise PredictionError(str(error)) from error


def _results(
    content: Any, path: Path, temperature: float, top: int
) -> dict[str, tuple[tuple[str, float], ...]]:
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict) or not results:
        raise PredictionError(f"{path} has no results by video; give a classifier's result")
    classes = _classes(content, path) if "class" in content else None
    scores: dict[str, tuple[tuple[str, float], ...]] = {}
    for name, given in results.items():
        video_id = parse_id(name, str(path))
        where = f"{path}, video {video_id}"
        if video_id in scores:
            raise PredictionError(f"{path}: video {video_id} appears twice; remove one")
        if not isinstance(given, list) or not given:
            raise PredictionError(f"{where}: {brief(given)} is not a list of scores; give one")
        if isinstance(given[0], Mapping):
            pairs = _labelled(given, where)
        else:
            pairs = _dense(given, classes, temperature, where)
        scores[video_id] = tuple(sorted(pairs, key=lambda pair: -pair[1])[:top])
    return scores


def _classes(content: Mapping[str, Any], path: Path) -> list[str]:
    given = content["class"]
    if not isinstance(given, list):
        raise PredictionError(f'{path}: "class" is not a list of names; give one')
    names = [parse_name(name, "class", path.name) for name in given]
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PredictionError(f'{path}: class "{name}" appears twice; remove one')
        seen.add(name)
    return names


def _labelled(given: list[Any], where: str) -> list[tuple[str, float]]:
    pairs = []
    for entry in given:
        if not isinstance(entry, Mapping) or not {"label", "score"} <= entry.keys():
            raise PredictionError(f"{where}: {brief(entry)} has no label or no score; add it")
        label = parse_name(entry["label"], "label", where)
        pairs.append((label, _number(entry["score"], where)))
    if len({label for label, _ in pairs}) < len(pairs):
        raise PredictionError(f"{where}: a label appears twice; remove one")
    values = [score for _, score in pairs]
    if min(values) < 0 or max(values) > 1 or sum(values) > 1 + _SUM_MARGIN:
        raise PredictionError(
            f"{where}: the scores are not probabilities of one class each "
            f"({min(values):g} to {max(values):g}, sum {sum(values):g}); give softmax "
            "scores, or the form with all classes"
        )
    return pairs


def _dense(
    given: list[Any], classes: list[str] | None, temperature: float, where: str
) -> list[tuple[str, float]]:
    """Probabilities of all classes; TCANet's files nest the list of scores in another list."""
    row = given[0] if len(given) == 1 and isinstance(given[0], list) else given
    if classes is None:
        raise PredictionError(
            f'{where}: scores without labels, and the file names no classes; add the list "class"'
        )
    if len(row) != len(classes):
        raise PredictionError(
            f"{where}: {len(row)} scores for {len(classes)} classes; copy the file again"
        )
    with np.errstate(over="ignore"):
        scores = temperature * np.array([_number(one, where) for one in row])
    if not np.isfinite(scores).all():
        raise PredictionError(f"{where}: scores too large for softmax; give those of the network")
    powers = np.exp(scores - scores.max())
    return list(zip(classes, (powers / powers.sum()).tolist(), strict=True))


def _number(given: object, where: str) -> float:
    try:
        return parse_number(given, where)
    except AnnotationError as error:
        raise PredictionError(f"{where}: score {brief(given)} is not a finite number") from error
