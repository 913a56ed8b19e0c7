"""Which images judge a stage, and how far they can be believed.

Images that a run learned from flatter it.  What it never learned from judges it honestly: images
of validation, and those that were labelled only after it had begun.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_threestage import store
from napari_threestage.runs import list_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.compare.columns import Column
    from napari_threestage.project import Project
    from napari_threestage.runs import Run

Name = Literal["validation", "new", "labelled", "unlabelled"]
JUDGES: tuple[Name, ...] = ("validation", "new", "labelled")
TAKEN_OVER = "Its labels were taken over from a run that is compared, so they cannot judge it."
_ACCEPTED = re.compile(r"stage-\d+ of run (.+)")  # what accepting a mask notes as the source

_TEXTS = {
    "validation": "set aside for validation",
    "new": "labelled after the run had begun",
    "labelled": "that the run learned from, which flatters",
}


@dataclass(frozen=True)
class Membership:
    """The group of an image, and why its labels judge nothing where they do not."""

    name: Name
    reason: str = ""

    @property
    def judges(self) -> bool:
        """Whether the image's labels are compared with masks."""
        return self.name != "unlabelled" and not self.reason


class Groups:
    """The groups of a project's images, for the runs that are compared.

    Parameters
    ----------
    columns
        What is compared, and what it is measured against.
    """

    def __init__(self, project: Project, columns: Sequence[Column]) -> None:
        self._project = project
        self._learned, self._runs = _learned(project, [column.run for column in columns])

    def of(self, image_id: str) -> Membership:
        """Return the group of an image.

        Raises
        ------
        ThreeStageError
            Its labels are damaged.
        """
        if not self._project.label_counts(image_id)[1:].any():
            return Membership("unlabelled")
        if image_id in self._learned:
            return Membership("labelled")
        validates = self._project.images[image_id].split == "validation"
        reason = TAKEN_OVER if self._taken_over(image_id) else ""
        return Membership("validation" if validates else "new", reason)

    def _taken_over(self, image_id: str) -> bool:
        """Whether some labels of an image are the mask of a run that they would judge."""
        path = self._project.image_path(image_id) / "provenance"
        known = (store.read_attributes(path) or {}).get("sources", [])
        if not any(map(self._is_ours, known)):
            return False
        origin, names = self._project.provenance(image_id)
        ours = [number for number, name in enumerate(names, 1) if self._is_ours(name)]
        return bool(np.isin(origin, ours).any())

    def _is_ours(self, source: str) -> bool:
        found = _ACCEPTED.fullmatch(source)
        return found is not None and found[1] in self._runs


def _learned(project: Project, runs: Sequence[Run]) -> tuple[set[str], set[str]]:
    """Return the images whose labels runs learned from, and the runs: with those they began with.

    Masks of these are what stages that build on them learned to repeat.
    """
    known = {run.id: run for run in list_runs(project)}
    images: set[str] = set()
    waiting, seen = [run.id for run in runs], set[str]()
    while waiting:
        run_id = waiting.pop()
        run = known.get(run_id)
        if run_id not in seen and run is not None:  # it may be deleted since
            images.update(run.inputs.labels, run.inputs.learned_before)
            earlier = (run.inputs.based_on, run.inputs.refreshes)
            waiting += [one for one in earlier if one]
        seen.add(run_id)
    return images, seen


def describe(name: str, n_images: int) -> str:
    """Say what a group of so many images is."""
    return f"{n_images} image{'' if n_images == 1 else 's'} {_TEXTS[name]}"
