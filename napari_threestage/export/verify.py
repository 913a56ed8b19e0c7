"""An export proves itself: another process uses it, and the results are those of the original."""

from __future__ import annotations

import ctypes
import json
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.errors import ThreeStageError

if TYPE_CHECKING:
    from napari_threestage.export.material import Material

TOLERANCE = 1e-3  # of a probability
SECONDS = 600.0  # that the other process may take
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Proof:
    """What the other process found.

    Attributes
    ----------
    difference
        Largest difference of a probability from that of the original.
    checked_with
        Versions of the packages that it used.
    """

    difference: float
    checked_with: dict[str, str]


def prove(material: Material, format_: str, file: Path, folder: Path) -> Proof:
    """Let a process that has not loaded this program use a file, and compare.

    Parameters
    ----------
    folder
        An empty folder for what the two processes tell each other.

    Raises
    ------
    ThreeStageError
        The file cannot be used, or gives something else than the original.
    """
    for number, images in enumerate(material.batches):
        np.save(folder / f"input-{number}.npy", images)
    said = _replay(format_, file, folder)
    difference = max(
        _difference(folder / f"output-{number}.npy", expected)
        for number, expected in enumerate(material.expected)
    )
    if not difference <= TOLERANCE:
        raise ThreeStageError(
            f"The exported file gives other results than the original: probabilities differ by up "
            f"to {difference:.2g}, {TOLERANCE:g} is allowed.",
            "Nothing was written; try another format.",
        )
    if said["info"] != material.segmenter.info.to_json():
        raise ThreeStageError(
            "The description in the exported file is not the one that was put in.",
            "Nothing was written; try another format.",
        )
    return Proof(difference, said["versions"])


def _replay(format_: str, file: Path, folder: Path) -> Any:
    """Return what the other process printed; its results are in the folder."""
    script = HERE / f"replay_{format_}.py"
    # -P: what lies beside the script does not hide packages of the same name.
    command = [
        sys.executable,
        "-P",
        "-W",
        "ignore",
        *map(str, (script, file.resolve(), folder.resolve())),
    ]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
    except subprocess.TimeoutExpired as error:
        raise ThreeStageError(
            f"The exported file was not checked within {SECONDS:g} s, so it was not published.",
            "Try again when the machine is less busy.",
        ) from error
    if done.returncode:
        raise ThreeStageError(
            f"The exported file cannot be used ({_reason(done.stderr)}).",
            "Nothing was written; try another format.",
        )
    return json.loads(done.stdout.splitlines()[-1])


def _end_with_parent() -> None:
    """Let the operating system end this process when the one that started it is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _reason(text: str) -> str:
    """Return the last line with words of what the other process complained about."""
    lines = [line.strip(" |") for line in text.splitlines() if re.search("[A-Za-z]", line)]
    return lines[-1][:500] if lines else "it gave no reason"


def _difference(file: Path, expected: np.ndarray) -> float:
    """Return the largest difference of an output; infinite where shape or numbers are wrong."""
    found = np.load(file)
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max())
