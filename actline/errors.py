"""Errors a user can cause: one line that says what, where and how to mend it."""

from actline.plain import plain

# Names from files stand in errors; however long they are, the line can be read.
_LONGEST = 1000


class ActlineError(Exception):
    """Base of all errors that are the input's fault, not the program's.

    The command line prints the message alone and exits with status 1. The message is one line that
    a terminal shows as it is, whatever the names in it hold.
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
    """A recipe has an unknown key, a wrong type or a value that cannot work."""


class CheckpointError(ActlineError):
    """A checkpoint is missing, damaged, unsafe or made for something else."""


class FeatureError(ActlineError):
    """Stored features are missing, damaged or made by another checkpoint."""


class DeviceError(ActlineError):
    """The device asked for is not on this machine."""


class TrainingError(ActlineError):
    """Training cannot go on, such as a loss that is not finite."""


class OutputError(ActlineError):
    """An output cannot be written, such as a full disk or a read-only folder."""
