"""Errors a user can cause: one line that says what is wrong, where, and how to fix it."""

from actline.plain import plain

# Errors quote names from files; a very long name must not make the line unreadable.
_LONGEST = 1000


class ActlineError(Exception):
    """Base of all errors that are the input's fault, not the program's.

    The command line prints the message alone and exits with status 1. The message is one line that
    is safe to print on a terminal, whatever characters the names in it contain.
    """

    def __init__(self, message: str) -> None:
        super().__init__(plain(message, longest=_LONGEST))


class VideoError(ActlineError):
    """A video or frame folder cannot be read."""


class AnnotationError(ActlineError):
    """An annotation file is malformed or contradicts itself."""


class PredictionError(ActlineError):
    """A predictions file is malformed or does not fit the annotations."""


class RecipeError(ActlineError):
    """A recipe has an unknown key, a wrong type or a value out of range."""


class CheckpointError(ActlineError):
    """A checkpoint is missing, damaged, unsafe or made for something else."""


class FeatureError(ActlineError):
    """Stored features are missing, damaged or made by another checkpoint."""


class DeviceError(ActlineError):
    """The requested device is not available on this machine."""


class TrainingError(ActlineError):
    """Training cannot continue, such as after a loss that is not finite."""


class OutputError(ActlineError):
    """An output cannot be written, such as a full disk or a read-only folder."""
