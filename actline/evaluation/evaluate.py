"""`actline.evaluate`: predictions against annotations, by a published protocol."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from actline.annotations.annotations import Annotations
from actline.errors import PredictionError
from actline.evaluation.charades import (
    CHARADES_FRAMES,
    LocalizeFrames,
    evaluate_localize,
    localize,
    read_submission,
)
from actline.evaluation.detection_errors import diagnose
from actline.evaluation.frames import evaluate_dense
from actline.evaluation.predictions import (
    Coverage,
    Segments,
    choose_segments,
    coverage,
    frame_scores,
    read_predictions,
    unit_hint,
    with_class_names,
)
from actline.evaluation.proposals import average_recall
from actline.evaluation.protocols import (
    DENSE,
    LOCALIZE,
    PrecisionProtocol,
    Protocol,
    RecallProtocol,
    protocol_named,
)
from actline.evaluation.results import (
    Evaluation,
    FrameEvaluation,
    ProposalEvaluation,
    SegmentEvaluation,
)
from actline.evaluation.segment_intervals import bootstrap_segment_precision
from actline.evaluation.segments import detection_average_precision
from actline.evaluation.selection import Selection, WrongVideos, select
from actline.timeline import Activity, FrameScores, Timeline
from actline.timeline.read import read_segments

Given = (
    str
    | Path
    | Iterable[Timeline]
    | Mapping[str, Timeline]
    | Mapping[str, FrameScores]
    | Mapping[str, Sequence[Activity]]
)
"""A folder or file of predictions; timelines; or what is predicted of videos, by their ids."""


def evaluate(
    predictions: Given,
    annotations: Annotations | str | Path,
    protocol: str = "dense",
    *,
    subset: str | None = None,
    subsets: str | Path | None = None,
    classes: str | Path | None = None,
    without: str | Path | Sequence[str] | None = None,
    wrong_videos: WrongVideos | None = None,
    label_rate: float | None = None,
    min_seconds: float = 0.0,
    frames: LocalizeFrames = CHARADES_FRAMES,
    bootstrap: int = 0,
    errors: bool = False,
) -> Evaluation:
    """Score predictions by a published protocol.

    Args:
        predictions: a folder of `actline detect` or a file of results, in any format that is
            read; timelines; or activities or frame scores by video id.
        annotations: as read, or a file or folder in any format that is read.
        protocol: "dense" or "charades-localize" of frames; "activitynet", "hacs", "thumos",
            "thumos-wide", "thumos-toolkit" or "thumos-toolkit-wide" of segments; "proposals" or
            "proposals-thumos".
        subset: which videos; by default the protocol's, or all where there is only training.
        subsets: a table with the columns video and subset, for annotations that have none.
        classes: a file of class names, where the annotations lack them.
        without: ids of videos to leave out, or a file that lists them.
        wrong_videos: whether THUMOS-14's falsely annotated videos count; None as published.
        label_rate: labels a second, for "dense"; None takes the predictions' own times.
        min_seconds: shorter videos are left out, for protocols of frames.
        frames: which frames "charades-localize" scores.
        bootstrap: draws of videos for a 95 % interval, for frames and segments; 0: none.
        errors: whether to analyse what detected segments get wrong (DETAD).

    Returns:
        The scores, in [0, 1], with tables and what did not fit.

    Raises:
        PredictionError: the predictions cannot be read or scored, or there is no such protocol.
        AnnotationError: the annotations cannot be read, or have none of the videos.

    Examples:
        >>> import actline
        >>> from actline.annotations.annotations import AnnotatedVideo, Annotations
        >>> jump = actline.Activity("jump", start=2.0, end=6.0)
        >>> truth = Annotations(("jump",), (AnnotatedVideo("a", "testing", 10.0, (jump,)),))
        >>> found = actline.Timeline("a", 10.0, (actline.Activity("jump", 2.0, 5.0, 0.9),))
        >>> result = actline.evaluate([found], truth, "thumos")
        >>> round(result.scores["mAP@0.50"], 2), round(result.scores["average mAP"], 2)
        (1.0, 1.0)
    """
    how = protocol_named(protocol)
    selection = select(
        annotations,
        how,
        subset=subset,
        subsets=subsets,
        classes=classes,
        without=without,
        wrong_videos=wrong_videos,
    )
    return score(
        predictions,
        selection,
        how,
        label_rate=label_rate,
        min_seconds=min_seconds,
        frames=frames,
        bootstrap=bootstrap,
        errors=errors,
    )


def score(
    predictions: Given,
    selection: Selection,
    protocol: Protocol,
    *,
    label_rate: float | None = None,
    min_seconds: float = 0.0,
    frames: LocalizeFrames = CHARADES_FRAMES,
    bootstrap: int = 0,
    errors: bool = False,
) -> Evaluation:
    """Score predictions of the selected videos; arguments as of `evaluate`.

    Raises:
        PredictionError: the predictions cannot be read or scored.
        AnnotationError: there is nothing to score.
    """
    _refuse_unused(
        protocol,
        label_rate=(label_rate is not None, protocol is DENSE),
        min_seconds=(min_seconds > 0, protocol.kind == "frames"),
        frames=(frames != CHARADES_FRAMES, protocol is LOCALIZE),
        bootstrap=(bootstrap != 0, protocol.kind != "proposals"),
        errors=(errors, protocol.kind == "segments"),
    )
    if isinstance(protocol, PrecisionProtocol):
        return _score_segments(predictions, selection, protocol, draws=bootstrap, errors=errors)
    if isinstance(protocol, RecallProtocol):
        return _score_proposals(predictions, selection, protocol)
    if protocol is LOCALIZE:
        return _score_localized(
            predictions, selection, frames, min_seconds=min_seconds, draws=bootstrap
        )
    found, covered, kept = _frames(predictions, selection, min_seconds)
    dense = evaluate_dense(kept, found, label_rate=label_rate, draws=bootstrap)
    return FrameEvaluation(
        protocol=dense.protocol,
        selection=selection,
        hint=_frame_hint(kept, found),
        score=dense,
        coverage=covered,
    )


def _refuse_unused(protocol: Protocol, **options: tuple[bool, bool]) -> None:
    """Refuse options that are given but of no use to the protocol, which would look followed."""
    for name, (given, of_use) in options.items():
        if given and not of_use:
            raise PredictionError(f"{name} does not apply to {protocol.name}; leave it out")


def _score_localized(
    predictions: Given,
    selection: Selection,
    frames: LocalizeFrames,
    *,
    min_seconds: float,
    draws: int,
) -> FrameEvaluation:
    """Score by charades-localize: a submission, or frame scores at its frames."""
    annotations, hint = selection.annotations, None
    if isinstance(predictions, str | Path) and Path(predictions).is_file():
        submission = read_submission(Path(predictions), len(annotations.classes))
        known = [video.id for video in annotations.videos]
        covered = Coverage(
            len(known),
            tuple(v for v in known if v not in submission),
            (),
            tuple(v for v in submission if v not in annotations),
        )
    else:
        found, covered, annotations = _frames(predictions, selection, min_seconds)
        hint = _frame_hint(annotations, found)
        submission = localize(annotations, found, frames)
    localized = evaluate_localize(annotations, submission, frames, draws=draws)
    return FrameEvaluation(
        protocol=localized.protocol,
        selection=selection,
        hint=hint,
        score=localized,
        coverage=covered,
        submission=submission,
    )


def _frames(
    predictions: Given, selection: Selection, min_seconds: float
) -> tuple[dict[str, FrameScores], Coverage, Annotations]:
    """Frame scores by annotated video, what is missing, and the videos that are long enough."""
    annotations = selection.annotations
    if isinstance(predictions, str | Path):
        folder = Path(predictions)
        found = read_predictions(folder, annotations)
        covered = coverage(folder, annotations, found, min_seconds=min_seconds)
    else:
        named = {
            video: one.scores if isinstance(one, Timeline) else one
            for video, one in _by_video(predictions).items()
        }
        found = frame_scores(named, annotations)
        covered = coverage(tuple(named), annotations, found, min_seconds=min_seconds)
    short = set(covered.short)
    kept = tuple(video for video in annotations.videos if video.id not in short)
    if not kept:
        raise PredictionError(f"every video is shorter than {min_seconds:g} s; lower that limit")
    return found, covered, replace(annotations, videos=kept)


def _frame_hint(annotations: Annotations, found: Mapping[str, FrameScores]) -> str | None:
    return unit_hint(annotations, {video: float(one.times[-1]) for video, one in found.items()})


def _score_segments(
    predictions: Given,
    selection: Selection,
    protocol: PrecisionProtocol,
    *,
    draws: int,
    errors: bool,
) -> SegmentEvaluation:
    annotations, how = selection.annotations, protocol.matching
    results = with_class_names(_segments(predictions, labelled=True), annotations)
    chosen = choose_segments(results, annotations, elsewhere=selection.elsewhere)
    whole = detection_average_precision(annotations, chosen.found, how)
    rest = _available(annotations, whole.missing)
    available = whole
    if rest is not None and whole.missing:
        available = detection_average_precision(rest, chosen.found, how)
    otherwise = None
    if selection.other is not None:
        others = choose_segments(results, selection.other, elsewhere=selection.elsewhere)
        otherwise = detection_average_precision(selection.other, others.found, how).average
    return SegmentEvaluation(
        protocol=protocol.title,
        selection=selection,
        hint=_segment_hint(annotations, chosen),
        score=whole,
        available=None if rest is None else available,
        interval=bootstrap_segment_precision(annotations, chosen.found, how, draws=draws)
        if draws
        else None,
        diagnosis=diagnose(annotations, chosen.found, protocol.diagnosis) if errors else None,
        chosen=chosen,
        otherwise=otherwise,
    )


def _score_proposals(
    predictions: Given, selection: Selection, protocol: RecallProtocol
) -> ProposalEvaluation:
    annotations, curve = selection.annotations, protocol.curve
    elsewhere = selection.elsewhere
    results = _segments(predictions, labelled=False)
    chosen = choose_segments(results, annotations, elsewhere=elsewhere, labelled=False)
    whole = average_recall(annotations, chosen.found, curve)
    rest = _available(annotations, whole.missing)
    available = whole
    if rest is not None and whole.missing:
        available = average_recall(rest, chosen.found, curve)
    otherwise = None
    if selection.other is not None:
        others = choose_segments(results, selection.other, elsewhere=elsewhere, labelled=False)
        otherwise = average_recall(selection.other, others.found, curve).area / 100
    return ProposalEvaluation(
        protocol=protocol.title,
        selection=selection,
        hint=_segment_hint(annotations, chosen),
        score=whole,
        available=None if rest is None else available,
        chosen=chosen,
        otherwise=otherwise,
    )


def _segments(predictions: Given, *, labelled: bool) -> Mapping[str, Sequence[Activity]]:
    """Segments by video id."""
    if isinstance(predictions, str | Path):
        return read_segments(Path(predictions), labelled=labelled)
    found: dict[str, Sequence[Activity]] = {}
    for video, one in _by_video(predictions).items():
        if isinstance(one, FrameScores):
            raise PredictionError(
                f"video {video} has scores of frames and no segments; give timelines, or a "
                "protocol of frames"
            )
        found[video] = one.activities if isinstance(one, Timeline) else one
    return found


def _by_video(
    predictions: Given,
) -> Mapping[str, Timeline | FrameScores | Sequence[Activity]]:
    assert not isinstance(predictions, str | Path), "read by the caller"
    if isinstance(predictions, Mapping):
        return dict(predictions.items())  # type: ignore[arg-type]
    found: dict[str, Timeline | FrameScores | Sequence[Activity]] = {}
    for timeline in predictions:
        if timeline.video in found:
            raise PredictionError(f"video {timeline.video} has two timelines; give one")
        found[timeline.video] = timeline
    return found


def _segment_hint(annotations: Annotations, chosen: Segments) -> str | None:
    ends = {video: float(one.end.max()) for video, one in chosen.found.items() if len(one)}
    return unit_hint(annotations, ends)


def _available(annotations: Annotations, missing: Sequence[str]) -> Annotations | None:
    """The videos that are not missing; None where those have no activity to score."""
    gone = set(missing)
    kept = tuple(video for video in annotations.videos if video.id not in gone)
    return replace(annotations, videos=kept) if any(video.activities for video in kept) else None
