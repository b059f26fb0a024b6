"""What `actline evaluate` prints of scores."""

from actline.cli.score_tables import counted, named, print_table
from actline.cli.standard import say
from actline.evaluation.bootstrap import Interval
from actline.evaluation.detection_errors import Diagnosis
from actline.evaluation.predictions import Segments
from actline.evaluation.protocols import PrecisionProtocol, Protocol
from actline.evaluation.results import (
    Evaluation,
    FrameEvaluation,
    ProposalEvaluation,
    SegmentEvaluation,
)
from actline.evaluation.segments import SegmentScore
from actline.evaluation.selection import Selection

_REPORTED = (0.5, 0.75, 0.95)  # of ActivityNet's ten thresholds


def show_selection(selection: Selection, annotations: object, without: object) -> None:
    """Say which videos are scored, and which flaws of the annotations are scored as they stand.

    Args:
        annotations, without: the files, as they were given.
    """
    if selection.only_training:
        count = len(selection.annotations.videos) + selection.left_out
        say(
            f"{annotations} has no subset but training: all {count} videos are "
            "scored; name others with --subsets"
        )
    if without is not None:
        say(f"{selection.left_out} videos are left out, as {without} lists them")
    if selection.faults:
        say("the annotations are scored as they stand, nothing left out or cut; they have")
        for line in selection.faults:
            say(f"  {line}")


def show(evaluation: Evaluation, protocol: Protocol) -> None:
    """Print scores as tables and lines."""
    if isinstance(evaluation, FrameEvaluation):
        _show_frames(evaluation)
    elif isinstance(evaluation, SegmentEvaluation):
        assert isinstance(protocol, PrecisionProtocol)
        _show_segments(evaluation, protocol)
    elif isinstance(evaluation, ProposalEvaluation):
        _show_proposals(evaluation)


def _show_frames(evaluation: FrameEvaluation) -> None:
    result, covered = evaluation.score, evaluation.coverage
    print_table(
        f"{result.protocol}, per class",
        ("class", "AP", "chance", "frames"),
        [(row.label, row.average_precision, row.chance, row.frames) for row in result.classes],
    )
    say(f"protocol: {result.protocol}")
    say(f"all {result.videos} videos, {result.frames} frames: {100 * result.mean:.2f}")
    if result.interval is not None:
        low, high = 100 * result.interval.low, 100 * result.interval.high
        draws = result.interval.draws
        say(f"95 % interval over videos ({draws} bootstrap draws): {low:.2f} to {high:.2f}")
    say(
        f"with classes that never occur counted as 0 (published meter): "
        f"{100 * result.mean_published:.2f}"
    )
    say(f"chance: {100 * result.chance:.2f}")
    if covered.missing:
        say(
            f"{len(covered.missing)} of {result.videos} videos have no predictions and count as "
            f"score 0 ({named(covered.missing)}); "
            f"over those available: {100 * result.mean_available:.2f}"
        )
    if covered.short:
        say(f"{len(covered.short)} videos are shorter than --min-seconds and left out")
    if covered.unknown:
        say(f"{len(covered.unknown)} predictions are of videos not in this subset and not used")
    if evaluation.hint is not None:
        say(f"hint: {evaluation.hint}")
    if evaluation.selection.other is not None:
        say(_wrong_videos(evaluation.selection))


def _wrong_videos(selection: Selection) -> str:
    """What was done about falsely annotated videos, and the option for the other."""
    done, other = ("counted", "leave-out") if selection.wrong_count else ("left out", "count")
    names = ", ".join(selection.wrong)
    return f"{names}, known to be falsely annotated: {done}; with --wrong-videos {other}"


def _show_segments(evaluation: SegmentEvaluation, protocol: PrecisionProtocol) -> None:
    """Mean average precision at temporal IoU thresholds, and what the detections get wrong."""
    name, score, available = evaluation.protocol, evaluation.score, evaluation.available
    print_table(
        f"{name}, per class: average over tIoU",
        ("class", "AP", "true segments"),
        [(row[0], row[1], row[-1]) for row in evaluation.table[1]],
    )
    _print_means(name, score, available)
    say(f"protocol: {name}")
    true = counted(int(score.activities.sum()), "true segment")
    say(f"{_all(score.videos)}, {true}: average mAP {100 * score.average:.2f}")
    _show_interval(evaluation.interval)
    _show_missing(score.missing, "average mAP", None if available is None else available.average)
    if evaluation.otherwise is not None:
        told = _wrong_videos(evaluation.selection)
        say(f"{told}: average mAP {100 * evaluation.otherwise:.2f}")
    by_toolkit = protocol.matching.matching == "activities first"
    _show_misfits(
        evaluation.hint,
        evaluation.chosen,
        unknown="wrong, as in the published evaluator",
        backward="taken in either order, as the toolkit does"
        if by_toolkit
        else "wrong, as in the published evaluator, but on the very same segment forwards",
    )
    if evaluation.diagnosis is not None:
        _show_errors(evaluation.diagnosis)


def _print_means(name: str, score: SegmentScore, available: SegmentScore | None) -> None:
    """Of ActivityNet's ten thresholds three are reported, of fewer all."""
    columns = [
        column
        for column, threshold in enumerate(score.thresholds)
        if len(score.thresholds) < 10 or round(threshold, 2) in _REPORTED
    ]
    table = [(_all(score.videos), *score.mean[columns].tolist(), score.average)]
    if available is not None and score.missing:
        row = (_rest(available.videos), *available.mean[columns].tolist(), available.average)
        table.append(row)
    print_table(
        f"{name}: mAP at tIoU, and average",
        ("", *(f"{score.thresholds[column]:.2f}" for column in columns), "average"),
        table,
    )


def _show_proposals(evaluation: ProposalEvaluation) -> None:
    """Average recall over the average number of proposals."""
    name, score, available = evaluation.protocol, evaluation.score, evaluation.available
    table = [(_all(score.videos), *score.at.values(), score.area / 100)]
    if available is not None and score.missing:
        table.append((_rest(available.videos), *available.at.values(), available.area / 100))
    print_table(
        f"{name}: average recall and the area under its curve",
        ("", *(f"AR@{number}" for number in score.at), "AUC"),
        table,
    )
    say(f"protocol: {name}")
    say(
        f"{_all(score.videos)} with {counted(score.activities, 'true segment')}, "
        f"{score.proposals_per_video:.1f} proposals a video: AUC {score.area:.2f}"
    )
    _show_missing(score.missing, "AUC", None if available is None else available.area / 100)
    if evaluation.otherwise is not None:
        say(f"{_wrong_videos(evaluation.selection)}: AUC {100 * evaluation.otherwise:.2f}")
    _show_misfits(
        evaluation.hint,
        evaluation.chosen,
        unknown="counted in the number of proposals, as published, and nothing else",
        backward="wrong, as they overlap nothing",
    )


def _all(videos: int) -> str:
    return f"all {counted(videos, 'video')}"


def _rest(videos: int) -> str:
    return f"{counted(videos, 'available video')}"


def _show_interval(interval: Interval | None) -> None:
    if interval is not None:
        low, high = 100 * interval.low, 100 * interval.high
        say(
            f"95 % interval over videos ({interval.draws} bootstrap draws): {low:.2f} to {high:.2f}"
        )


def _show_missing(missing: tuple[str, ...], what: str, available: float | None) -> None:
    if not missing:
        return
    rest = "no true segments" if available is None else f"{what} {100 * available:.2f}"
    say(
        f"{counted(len(missing), 'video')} with true segments but without predictions "
        f"({named(missing)}): all of these segments count as missed; over those available: {rest}"
    )


def _show_misfits(hint: str | None, chosen: Segments, *, unknown: str, backward: str) -> None:
    """Say what does not fit the annotations, and how it was dealt with."""
    if hint is not None:
        say(f"hint: {hint}")
    if chosen.elsewhere:
        say(
            f"{counted(chosen.elsewhere_predictions, 'prediction')} of "
            f"{counted(len(chosen.elsewhere), 'video')} of other subsets, or left out "
            f"({named(chosen.elsewhere)}): not used"
        )
    if chosen.unknown:
        say(
            f"{counted(chosen.unknown_predictions, 'prediction')} of "
            f"{counted(len(chosen.unknown), 'video')} that ANNOTATIONS does not have "
            f"({named(chosen.unknown)}): {unknown}"
        )
    if chosen.unknown_classes:
        say(
            f"{counted(sum(chosen.unknown_classes.values()), 'prediction')} of classes that are "
            f"not annotated ({named(tuple(chosen.unknown_classes))}): not used"
        )
    if chosen.backward_predictions:
        say(
            f"{counted(chosen.backward_predictions, 'prediction')} with an end before the start: "
            f"{backward}"
        )


def _show_errors(diagnosis: Diagnosis) -> None:
    name = diagnosis.protocol
    if diagnosis.left_out:
        say(
            f"{counted(diagnosis.left_out, 'true segment')} without length or longer than the "
            "video: left out of the error analysis, as published"
        )
    say("")
    say(f"error analysis: {name}; average mAP_N {100 * diagnosis.normalized:.2f}")
    print_table(f"{name}: false positives", *diagnosis.impact_table())
    print_table(
        f"{name}: parts of the highest scores, as many at a time as there are true segments (G)",
        *diagnosis.profile_table(),
    )
    print_table(f"{name}: sensitivity", *diagnosis.sensitivity_table())
