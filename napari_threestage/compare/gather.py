"""The counts of all images together, from which every number of a comparison follows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_threestage.compare.bootstrap import margins
from napari_threestage.compare.groups import Groups
from napari_threestage.compare.tally import Looker, miou
from napari_threestage.errors import NotReadyError, ThreeStageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_threestage.compare.columns import Column
    from napari_threestage.compare.places import Place
    from napari_threestage.compare.tally import Counts, Pair, Tally
    from napari_threestage.project import Project

THREADS = 4
LARGE = 2**25  # pixels; images of so many are looked at one by one, for the memory


@dataclass(frozen=True)
class Seen:
    """What is kept of an image when its counts have been added up."""

    image: str
    group: str
    pixels: int
    miou: dict[str, float]
    changed: dict[Pair, float]
    confidence: dict[str, float]
    place: Place | None
    why: str


@dataclass(eq=False)
class Judged:
    """What the images of a group say together.

    Attributes
    ----------
    confusion, sure
        Sums by key, see `tally.Tally`.
    margins
        Of each image by key, see `bootstrap.margins`; the baseline may have fewer images.
    """

    confusion: dict[str, Counts] = field(default_factory=dict)
    sure: dict[str, Counts] = field(default_factory=dict)
    margins: list[dict[str, Counts]] = field(default_factory=list)

    def add(self, tally: Tally) -> None:
        """Add an image."""
        for key, table in tally.confusion.items():
            self.confusion[key] = self.confusion.get(key, 0) + table
        for key, counts in tally.sure.items():
            self.sure[key] = self.sure.get(key, 0) + counts
        self.margins.append({key: margins(table) for key, table in tally.confusion.items()})

    def stacked(self, keys: Sequence[str]) -> Counts:
        """Return the margins of the images that have all of these columns, (n, K, 3, C)."""
        kept = [one for one in self.margins if all(key in one for key in keys)]
        return np.array([[one[key] for key in keys] for one in kept])


@dataclass(eq=False)
class Gathered:
    """The counts of all images.

    Attributes
    ----------
    groups
        By name, those that have images.
    counts, changed
        Sums by key and by pair of keys, see `tally.Tally`.
    images
        In the order of the project.
    left_out
        Why images that have masks could not be looked at, by id.
    """

    groups: dict[str, Judged] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)
    changed: dict[Pair, Counts] = field(default_factory=dict)
    images: list[Seen] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, tally: Tally) -> None:
        """Add an image."""
        for key, counts in tally.counts.items():
            self.counts[key] = self.counts.get(key, 0) + counts
        for pair, table in tally.changed.items():
            self.changed[pair] = self.changed.get(pair, 0) + table
        if tally.confusion:
            self.groups.setdefault(tally.membership.name, Judged()).add(tally)
        scores = {key: miou(table) for key, table in tally.confusion.items()}
        self.images.append(
            Seen(
                image=tally.image,
                group=tally.membership.name,
                pixels=tally.pixels,
                miou={key: score for key, score in scores.items() if score is not None},
                changed={pair: tally.share_changed(pair) for pair in tally.changed},
                confidence=tally.confidence,
                place=tally.place,
                why=tally.why,
            )
        )


def gather(
    project: Project,
    columns: Sequence[Column],
    baseline: Column | None,
    show: Callable[[int, int | None], None],
    obey: Callable[[], None],
) -> Gathered:
    """Look at all images that have masks of all columns; see `document.build_document`."""
    looker = Looker(project, columns, baseline)
    image_ids = [image_id for image_id in project.images if looker.has_masks(image_id)]
    if not image_ids:
        raise NotReadyError(
            f"No image of project {project.path} has masks of all that is compared.",
            "Compare stages of one run, or runs of the same images.",
        )
    measured = [*columns, *([baseline] if baseline else [])]
    gathered, groups = Gathered(), Groups(project, measured)

    def look(image_id: str) -> Tally | ThreeStageError:
        try:
            return looker.look(image_id, groups.of(image_id))
        except ThreeStageError as error:  # one damaged image must not hide the others
            return error

    show(0, len(image_ids))
    largest = max(int(np.prod(project.images[one].label_shape)) for one in image_ids)
    with ThreadPoolExecutor(1 if largest > LARGE else THREADS) as pool:
        try:
            found = zip(image_ids, pool.map(look, image_ids), strict=True)
            for done, (image_id, tally) in enumerate(found, start=1):
                obey()
                if isinstance(tally, ThreeStageError):
                    gathered.left_out[image_id] = str(tally)
                else:
                    gathered.add(tally)
                show(done, len(image_ids))
        finally:
            pool.shutdown(cancel_futures=True)
    if not gathered.images:
        raise NotReadyError(
            f"No image could be compared, one because: {next(iter(gathered.left_out.values()))}"
        )
    return gathered
