"""Everything a report is about, read once; what is missing is left out with its reason."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from napari_threestage import run_notes
from napari_threestage.compare.document import build_document, columns_of_run
from napari_threestage.errors import ThreeStageError
from napari_threestage.events import read_events
from napari_threestage.label_budget import budget_document
from napari_threestage.report.choosing import Chosen, choose_images
from napari_threestage.report.pictures import ImagePictures, draw_image
from napari_threestage.report.wording import file_name
from napari_threestage.run_staleness import stale_reasons
from napari_threestage.run_view import RunView
from napari_threestage.settings import as_json, flat_values, preset_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_threestage.config import Config
    from napari_threestage.project import Project
    from napari_threestage.run_inputs import RunInputs
    from napari_threestage.runs import Run

    Show = Callable[[str, int, int | None], None]  # step, done, total

T = TypeVar("T")
WEIGHTS = "network.weights"


@dataclass(frozen=True, eq=False)
class Material:
    """What is known of a run.

    Attributes
    ----------
    title
        What people call it.
    comparison
        The document of ``threestage compare``; None where no stage is finished.
    budget
        The document of ``threestage budget``.
    pictures
        Examples.
    stale
        What has changed since the run began.
    left_out
        Why a part of the report is not there, by its name.
    """

    project: Project
    run: Run
    title: str
    view: RunView
    comparison: dict[str, Any] | None
    budget: dict[str, Any] | None
    pictures: list[tuple[Chosen, ImagePictures]]
    stale: list[str]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> RunInputs:
        """What the run was made from."""
        return self.run.inputs

    @property
    def config(self) -> Config:
        """Its settings."""
        return self.run.config


def gather_material(project: Project, run: Run, most_images: int, show: Show) -> Material:
    """Read what a report of a run needs.

    Parameters
    ----------
    most_images
        How many examples are shown at most.
    show
        Called with what goes on, and how much of how much of it is done.
    """
    left_out: dict[str, str] = {}

    def attempt(part: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except (ThreeStageError, OSError) as error:
            left_out[part] = str(error)
            return otherwise

    def compare() -> dict[str, Any] | None:
        columns = columns_of_run(project, run.id)
        return build_document(project, columns, lambda *done: show("comparing", *done))

    def examples() -> list[tuple[Chosen, ImagePictures]]:
        if comparison is None:
            return []
        return _draw(project, run, choose_images(comparison, most_images), left_out, show)

    def budget() -> dict[str, Any] | None:
        return budget_document(project, lambda *done: show("scoring all runs", *done))

    comparison = attempt("scores", compare, None)
    return Material(
        project=project,
        run=run,
        title=attempt("name", lambda: run_notes.title(run, run_notes.read_notes(project)), run.id),
        view=_view(run),
        comparison=comparison,
        budget=attempt("budget", budget, None),
        pictures=attempt("examples", examples, []),
        stale=attempt("changes since", lambda: stale_reasons(project, run), []),
        left_out=left_out,
    )


def _view(run: Run) -> RunView:
    view = RunView.of(run)
    for event in read_events(run.events_path):
        view.add(event)
    return view


def _draw(
    project: Project, run: Run, chosen: Iterable[Chosen], left_out: dict[str, str], show: Show
) -> list[tuple[Chosen, ImagePictures]]:
    columns, found, wanted = columns_of_run(project, run.id), [], list(chosen)
    for done, one in enumerate(wanted):
        show("drawing examples", done, len(wanted))
        try:
            found.append((one, draw_image(project, columns, one.entry["id"])))
        except (ThreeStageError, OSError) as error:
            left_out[f"example {one.entry['name']}"] = str(error)
    return found


# --- the recipe -----------------------------------------------------------------------------------


def recipe(config: Config) -> dict[str, Any]:
    """Return every setting by its dotted name, as JSON has it; files without their folders."""
    values = {name: as_json(value) for name, value in flat_values(config).items()}
    values[WEIGHTS] = file_name(str(values[WEIGHTS]))
    return values


def changes(config: Config, labelled_share: float) -> dict[str, tuple[Any, Any]]:
    """Return what differs from the preset: its value and the one here, by dotted name."""
    before: dict[str, Any] = {}
    with suppress(ThreeStageError):  # a preset that is no more has no values
        before = {
            name: as_json(value)
            for name, value in preset_values(config.preset, labelled_share).items()
        }
    now = recipe(config)
    return {
        name: (before[name], value)
        for name, value in now.items()
        if name in before and value != before[name]
    }


# --- hashes ---------------------------------------------------------------------------------------


def file_hash(path: Any) -> str:
    """Return the SHA-256 of a file; empty when it is not there."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def joint_hash(hashes: dict[str, str]) -> str:
    """Return one SHA-256 for many, by id: of lines ``id hash`` in the order of the ids."""
    lines = "".join(f"{key} {value}\n" for key, value in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
