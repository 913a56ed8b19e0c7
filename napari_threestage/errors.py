"""What can go wrong through the input, each with a sentence that says what, where and what to do.

Anything that is not a `ThreeStageError` and reaches the command line is a bug of ours.
"""

from __future__ import annotations


class ThreeStageError(Exception):
    """The input is wrong; the message is one sentence for the user.

    Parameters
    ----------
    message
        What is wrong and where.
    hint
        What to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ProjectError(ThreeStageError):
    """The project folder is missing, broken, newer than this program or not writable."""


class BusyError(ThreeStageError):
    """Another process is writing what this one wants to write."""


class ImageFileError(ThreeStageError):
    """A file cannot be read as an image or a mask, or does not fit its partner."""


class ConfigError(ThreeStageError):
    """A setting is unknown or has a value that makes no sense."""


class NotReadyError(ThreeStageError):
    """A run cannot start: no labelled image, no class, missing input of a stage."""


class OutOfMemoryError(ThreeStageError):
    """Even the smallest training step does not fit into memory."""


class Stopped(Exception):
    """The user asked for the end; everything is saved and the run can be resumed."""
