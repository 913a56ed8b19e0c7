"""Suspected label errors: regions where all stages agree with each other, but not with the label.

What counts as that is in `label_contradictions`, what a person decided about it in `label_checks`.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_threestage.compare.places import Place
from napari_threestage.errors import NotReadyError
from napari_threestage.label_checks import Spot, read_right
from napari_threestage.label_contradictions import CODE, Agreement, pixels_of, regions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_threestage.label_contradictions import Mask
    from napari_threestage.project import Project
    from napari_threestage.runs import Run

MARGIN = 24  # pixels around a region, or half of it, to be looked at with it
HARDLY = 0.02  # of a class, found where it is painted: with less, one place is like another
WORKERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Suspect:
    """A region whose label all stages contradict.

    Attributes
    ----------
    place
        A window around it to look at.
    confidence, apart
        See `Region`.
    """

    spot: Spot
    place: Place
    pixels: int
    confidence: float
    apart: float


@dataclass(frozen=True)
class Suspects:
    """What a search found, the most suspicious first.

    Attributes
    ----------
    stages
        The finished stages, all of which contradict.
    dismissed
        How many more a person said to be right.
    left_out
        Why labelled images could not be checked, by id.
    """

    run: str
    stages: list[int]
    found: list[Suspect]
    dismissed: int
    left_out: dict[str, str]

    def to_dict(self, project: Project, top: int | None = None) -> dict[str, Any]:
        """Return the first ones as JSON holds them."""
        shown = list(self.left_out.items())[:20]
        return {
            "run": self.run,
            "stages": self.stages,
            "regions": [self._entry(project, one) for one in self.found[:top]],
            "suspected": len(self.found),
            "dismissed": self.dismissed,
            "left_out": [{"image": image, "reason": reason} for image, reason in shown],
            "left_out_count": len(self.left_out),
        }

    def _entry(self, project: Project, one: Suspect) -> dict[str, Any]:
        painted, found = (
            project.class_table.get(class_id).name
            for class_id in (one.spot.painted, one.spot.found)
        )
        return {
            "image": one.spot.image,
            "name": project.images[one.spot.image].name,
            "place": one.place.to_dict(),
            "painted": painted,
            "found": found,
            "pixels": one.pixels,
            "confidence": round(one.confidence, 4),
            "sentence": (
                f"Painted {painted}, but {_who(self.stages)} {found} "
                f"({one.pixels:,} pixels, confidence {100 * one.confidence:.0f} %)"
            ),
            "key": one.spot.key,
        }


def _who(stages: Sequence[int]) -> str:
    if len(stages) == 1:
        return f"stage {stages[0]} finds"
    return "both stages find" if len(stages) == 2 else f"all {len(stages)} stages find"


@dataclass
class _Findings:
    """What was found so far: regions, and how often the stages find what is painted.

    Attributes
    ----------
    table
        Pixels that are painted (rows) and found with confidence (columns), by index.
    """

    table: npt.NDArray[np.int64]
    suspects: list[Suspect] = field(default_factory=list)

    def ordered(self, project: Project) -> list[Suspect]:
        """Return the regions, the most suspicious first.

        Those first that lie apart from all borders; of those the large and sure ones, where the
        root of the size keeps one from outweighing every other.  A class that the stages hardly
        ever find where it is painted speaks against them, not the labels.
        """
        kept = self.table.diagonal() / np.maximum(self.table.sum(1), 1)
        kept = np.maximum(kept, HARDLY)  # those of a class that is never found have an order, too
        ids = project.class_table.ids.tolist()

        def worth(one: Suspect) -> float:
            sure = one.confidence * kept[ids.index(one.spot.painted)]
            return float(sure * one.apart**2 * one.pixels**0.5)

        return sorted(self.suspects, key=lambda one: (-worth(one), one.spot.key))


def find_suspects(
    project: Project, run: Run, show: Callable[[int, int], None] = lambda done, total: None
) -> Suspects:
    """Look at all labelled images, those for validation too.

    Parameters
    ----------
    show
        Called with the images looked at and all of them.

    Raises
    ------
    NotReadyError
        The run has no finished stage, or the project no labels.
    ProjectError
        Labels or masks are damaged.
    """
    stages = run.finished_stages()
    if not stages:
        raise NotReadyError(
            f"Run {run.id} has no finished stage yet, so there is nothing to check labels with.",
            "Wait for it, or go on with it: threestage run PROJECT --resume",
        )
    labelled = [one for one in project.images if project.label_counts(one)[1:].any()]
    if not labelled:
        raise NotReadyError("No image has labels yet, so there are none to check.", "Paint some.")
    masked = [one for one in labelled if all(run.has_mask(stage, one) for stage in stages)]
    size = len(project.classes) + 1
    findings = _Findings(np.zeros((size, size), np.int64))
    for done, part in enumerate(_in_threads(project, run, stages, masked), 1):
        findings.suspects += part.suspects
        findings.table += part.table
        show(done, len(masked))
    right = read_right(project)
    found = findings.ordered(project)
    doubted = [one for one in found if not any(one.spot.is_about(spot) for spot in right)]
    reason = "Not all stages have a mask of it: it was imported after the run began."
    left_out = dict.fromkeys((one for one in labelled if one not in set(masked)), reason)
    return Suspects(run.id, stages, doubted, len(found) - len(doubted), left_out)


def _in_threads(
    project: Project, run: Run, stages: Sequence[int], images: Sequence[str]
) -> Iterator[_Findings]:
    pool = ThreadPoolExecutor(WORKERS)
    try:
        todo = [pool.submit(_search, project, run, stages, one) for one in images]
        for done in as_completed(todo):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _search(project: Project, run: Run, stages: Sequence[int], image_id: str) -> _Findings:
    """Look at one image, plane by plane and band by band."""
    truth, agreement = project.read_labels(image_id), Agreement(project, run, stages, image_id)
    size = len(project.classes) + 1
    findings = _Findings(np.zeros((size, size), np.int64))
    assert truth is not None  # it is labelled
    ids = project.class_table.ids.tolist()
    for plane in np.ndindex(*truth.shape[:-2]):
        for one in regions(truth[plane], agreement, plane, findings.table):
            spot = Spot(image_id, ids[one.code // CODE], ids[one.code % CODE], one.box)
            place = _widened(one.box, truth.shape)
            suspect = Suspect(spot, place, one.pixels, one.confidence, one.apart)
            findings.suspects.append(suspect)
    return findings


def _widened(box: Place, shape: Sequence[int]) -> Place:
    """Return a window around a box, with what a person needs to see of its surroundings."""
    sides = [stop - start for start, stop in (box.rows, box.columns)]
    margin = max(MARGIN, max(sides) // 2)
    rows, columns = (
        (max(0, start - margin), min(size, stop + margin))
        for (start, stop), size in zip((box.rows, box.columns), shape[-2:], strict=True)
    )
    return Place(box.plane, rows, columns)


def spot_pixels(
    project: Project, run: Run, spot: Spot, place: Place, truth: Mask
) -> tuple[np.ndarray, ...]:
    """Return the indices of what to take over for a suspect, see `pixels_of`.

    Parameters
    ----------
    place
        See `Suspect`.
    truth
        Of that window, as it is now.
    """
    agreement = Agreement(project, run, run.finished_stages(), spot.image)
    return pixels_of(_code(project, spot), spot.box, truth, agreement, place)


def is_settled(project: Project, spot: Spot, pixels: int, truth: Mask, mask: Mask) -> bool:
    """Whether less than half of a spot is still painted so; `mask` is that of a stage."""
    code, where = _code(project, spot), spot.box.slices
    left = (truth[where] == code // CODE) & (mask[where] == code % CODE)
    return int(np.count_nonzero(left)) < pixels / 2


def _code(project: Project, spot: Spot) -> int:
    painted, found = project.class_table.indices(np.array([spot.painted, spot.found])).tolist()
    return int(painted) * CODE + int(found)
