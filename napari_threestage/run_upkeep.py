"""All that is known of each run of a project, so that a person can tell which to keep."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from napari_threestage.files import write_json
from napari_threestage.run_notes import NO_NOTE, read_notes
from napari_threestage.run_staleness import noted_labels, stale_reasons
from napari_threestage.runs import list_runs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_threestage.project import Project
    from napari_threestage.run_notes import RunNote
    from napari_threestage.run_staleness import Noted
    from napari_threestage.runs import Run

BLOCK = 512  # bytes of what the operating system counts files in


@dataclass(frozen=True)
class RunRow:
    """A run as tables show it.

    Attributes
    ----------
    run
        Its id.
    kind
        ``stages``, or ``baseline`` for one that learns from labels alone.
    baseline_of, based_on, refreshes
        Ids of the runs that it is made of, see `RunInputs`.
    stages
        First and last stage.
    miou, on
        Of the last finished stage: on ``validation`` images, or else on the ``labelled`` ones.
    bytes
        Space that it takes on the disk.
    stale
        What has changed since, a sentence each.
    """

    run: str
    name: str
    pinned: bool
    state: str
    kind: str
    baseline_of: str | None
    based_on: str | None
    refreshes: str | None
    stages: tuple[int, int]
    finished_stages: tuple[int, ...]
    miou: float | None
    on: str
    bytes: int
    labelled_images: int
    labelled_pixels: int
    stale: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON holds it."""
        return asdict(self)


def read_rows(project: Project) -> list[RunRow]:
    """Return the runs, the latest first; reads no pixel but of labels that were written again.

    Raises
    ------
    ProjectError
        The file with the names and pins is damaged.
    """
    notes, runs = read_notes(project), list_runs(project)
    noted, sizes = noted_labels(project) if runs else {}, _sizes(project, runs)
    return [
        _row(project, run, notes.get(run.id, NO_NOTE), noted, sizes[run.id])
        for run in reversed(runs)
    ]


def _row(project: Project, run: Run, note: RunNote, noted: Noted, size: int) -> RunRow:
    inputs, finished = run.inputs, run.finished_stages()
    miou, on = _score(run, finished[-1]) if finished else (None, "")
    return RunRow(
        run=run.id,
        name=note.name,
        pinned=note.pinned,
        state=run.state(),
        kind="baseline" if run.is_baseline else "stages",
        baseline_of=inputs.baseline_of,
        based_on=inputs.based_on,
        refreshes=inputs.refreshes,
        stages=(inputs.first_stage, inputs.last_stage),
        finished_stages=tuple(finished),
        miou=miou,
        on=on,
        bytes=size,
        labelled_images=len(inputs.labels),
        labelled_pixels=sum(inputs.pixels.values()),
        stale=tuple(stale_reasons(project, run, noted)),
    )


def _score(run: Run, stage: int) -> tuple[float | None, str]:
    try:
        metrics = json.loads((run.stage_path(stage) / "metrics.json").read_text())
        on = "validation" if "validation" in metrics else "labelled"
        return metrics[on]["miou"], on
    except (OSError, ValueError, KeyError, TypeError):
        return None, ""


def _sizes(project: Project, runs: Sequence[Run]) -> dict[str, int]:
    """Return the space of each run by id; kept, as runs have a hundred thousand files and more."""
    file = project.path / ".run_sizes.json"
    known = _read_sizes(file)
    sizes = {run.id: _size(run, known.get(run.id)) for run in runs}
    if sizes != known:
        with contextlib.suppress(OSError):  # they are only looked at again the next time
            write_json(file, sizes)
    return {run_id: size["bytes"] for run_id, size in sizes.items()}


def _size(run: Run, known: dict[str, int] | None) -> dict[str, int]:
    """Return the space that a run takes; only one that has gone on is looked at again."""
    try:
        found = run.events_path.stat()
        sign = {"events": found.st_size, "time": found.st_mtime_ns}
    except OSError:
        sign = {}
    if known is not None and sign and sign.items() <= known.items():
        return known
    return {**sign, "bytes": disk_space([run.path])}


def _read_sizes(file: Path) -> dict[str, dict[str, int]]:
    try:
        content = json.loads(file.read_text())
        return {
            str(run_id): {**size, "bytes": int(size["bytes"])} for run_id, size in content.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def disk_space(paths: Sequence[Path | str]) -> int:
    """Return the bytes that files and folders take on the disk; what vanishes meanwhile is 0."""
    total, waiting = 0, list(paths)
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    total += getattr(found, "st_blocks", 0) * BLOCK or found.st_size
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            continue
    return total
