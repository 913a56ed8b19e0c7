"""What is said of a run that ends with an error."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from napari_threestage.errors import OutOfMemoryError, ThreeStageError
from napari_threestage.events import Failed

if TYPE_CHECKING:
    from napari_threestage.runs import Run


def out_of_memory(run: Run) -> OutOfMemoryError:
    """Return the error of a step that fits in no way."""
    return OutOfMemoryError(
        f"The memory of {run.inputs.device} is too small for this run.",
        "Use smaller crops or batches, e.g. --set data.whole_set_batch=2 "
        "--set data.crop=[48,48], smaller tiles (--set inference.tile=512), or --device cpu.",
    )


def failed(run: Run, error: Exception) -> Failed:
    """Return the event of an error; one that is our bug leaves its traceback in the log."""
    kind = type(error).__name__
    if isinstance(error, ThreeStageError):
        return Failed(error=kind, message=error.message, hint=error.hint)
    log = run.path / "log.txt"
    log.write_text(traceback.format_exc())
    return Failed(error=kind, message=str(error), hint=f"The details are in {log}.")
