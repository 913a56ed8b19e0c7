"""Ready projects to try the program with: drawn on the spot, or made of public data sets."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.errors import ConfigError, ProjectError
from napari_threestage.project import Project, default_classes
from napari_threestage.sample import SAMPLE_CLASSES, SamplePicture, make_sample
from napari_threestage.sample_archive import Archive, Remote, fetch
from napari_threestage.sample_layouts import coffee, nuclei
from napari_threestage.sample_stack import (
    FLAT,
    LABELLED_FLAT,
    LABELLED_STACKS,
    STACKS,
    stack_pictures,
)
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Classes = tuple[tuple[str, tuple[int, int, int]], ...]


@dataclass(frozen=True)
class Sample:
    """A data set to try the program with.

    Attributes
    ----------
    size
        What is fetched, for people; empty for one that is drawn.
    images, labelled
        Number of images taken, and of those that keep their mask.
    remote
        Where its archive is; None for one that is drawn.
    """

    name: str
    title: str
    licence: str
    citation: str
    home: str
    size: str
    classes: Classes
    images: int
    labelled: int
    remote: Remote | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as JSON holds it."""
        return {
            "name": self.name,
            "title": self.title,
            "licence": self.licence,
            "citation": self.citation,
            "home": self.home,
            "offline": self.remote is None,
            "size": self.size,
            "url": self.remote.url if self.remote else None,
            "classes": [name for name, _ in self.classes],
            "images": self.images,
            "labelled": self.labelled,
        }


TISSUE = Sample(
    name="tissue",
    title="Synthetic tissue micrographs: background, cells, fibres and debris",
    licence="BSD-3-Clause, as this program",
    citation="",
    home="",
    size="",
    classes=SAMPLE_CLASSES,
    images=46,
    labelled=6,
)
STACK = Sample(
    name="stack",
    title="Synthetic z-stacks and planes, 16 bit, three channels, labelled with a few strokes",
    licence="BSD-3-Clause, as this program",
    citation="",
    home="",
    size="",
    classes=SAMPLE_CLASSES,
    images=STACKS + FLAT,
    labelled=LABELLED_STACKS + LABELLED_FLAT,
)
NUCLEI = Sample(
    name="nuclei",
    title="Cell nuclei in fluorescence and stained tissue (2018 Data Science Bowl, BBBC038)",
    licence="CC0-1.0",
    citation=(
        "Caicedo et al., Nucleus segmentation across imaging experiments: the 2018 Data Science "
        "Bowl, Nature Methods 2019; image set BBBC038v1, Broad Bioimage Benchmark Collection"
    ),
    home="https://bbbc.broadinstitute.org/BBBC038",
    size="83 MB",
    classes=(("background", (70, 110, 180)), ("nucleus", (240, 140, 40))),
    images=200,
    labelled=8,
    # The home publishes no checksum.
    remote=Remote(
        "https://data.broadinstitute.org/bbbc/BBBC038/stage1_train.zip", "BBBC038-stage1_train.zip"
    ),
)
COFFEE_COMMIT = "a6c38b693094c2c4da4b82029fc8be7058506a16"
COFFEE = Sample(
    name="coffee",
    title="Coffee leaves with symptoms of disease, photographs at a quarter of their size",
    licence="MIT",
    citation=(
        "Esgario, Krohling, Ventura, Deep learning for classification and severity estimation of "
        "coffee leaf biotic stress, Computers and Electronics in Agriculture 2020"
    ),
    home="https://github.com/esgario/lara2018",
    size="the whole repository, some hundred MB",
    classes=(
        ("background", (110, 110, 110)),
        ("leaf", (60, 160, 80)),
        ("symptom", (210, 60, 70)),
    ),
    images=120,
    labelled=10,
    # GitHub packs the archive of a commit anew from time to time, so its bytes have no checksum.
    remote=Remote(
        f"https://github.com/esgario/lara2018/archive/{COFFEE_COMMIT}.zip",
        f"lara2018-{COFFEE_COMMIT[:8]}.zip",
    ),
)
SAMPLES: dict[str, Sample] = {one.name: one for one in (TISSUE, STACK, NUCLEI, COFFEE)}


def find_sample(name: str) -> Sample:
    """Return the sample of that name.

    Raises
    ------
    ConfigError
        There is none.
    """
    if name not in SAMPLES:
        raise ConfigError(f"There is no sample '{name}'.", f"There are: {', '.join(SAMPLES)}.")
    return SAMPLES[name]


def make_project(
    sample: Sample,
    folder: Path,
    *,
    archive: Path | None = None,
    on_progress: Callable[[str, int, int | None], None] = lambda step, done, total: None,
) -> Project:
    """Make a project of a sample, complete or not at all.

    Parameters
    ----------
    folder
        New or empty.
    archive
        A file that was downloaded already; None to fetch it, if the sample needs one.
    on_progress
        Called with ``fetching`` and the bytes, and with ``images`` and their number: what is done,
        and all, None where nobody knows.

    Raises
    ------
    ProjectError
        The folder is not empty or cannot be written.
    FetchError
        The archive could not be fetched.
    ImageFileError
        The archive is damaged or another one.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProjectError(f"{folder} is not empty.", "Choose a new or an empty folder.")
    if sample.remote is None:
        if archive is not None:
            raise ConfigError(f"The sample {sample.name} needs no archive.", "Leave it out.")
        return _fill(sample, folder, _DRAWN[sample.name](), on_progress)
    if archive is None:
        archive = fetch(sample.remote, lambda done, total: on_progress("fetching", done, total))
    with Archive(archive) as opened:
        pictures = _READ[sample.name](opened, sample.images, sample.labelled)
        return _fill(sample, folder, pictures, on_progress)


def _tissue_pictures() -> Iterator[SamplePicture]:
    for seed in range(TISSUE.images):
        drawn = make_sample(seed)
        truth = (drawn.mask + 1).astype(np.uint8) if seed < TISSUE.labelled else None
        image = ImageArray(np.ascontiguousarray(drawn.image.transpose(2, 0, 1)), "cyx")
        yield SamplePicture(drawn.name, image, truth)


_DRAWN: dict[str, Callable[[], Iterator[SamplePicture]]] = {
    "tissue": _tissue_pictures,
    "stack": stack_pictures,
}
_READ: dict[str, Callable[[Archive, int, int], Iterator[SamplePicture]]] = {
    "nuclei": nuclei,
    "coffee": coffee,
}


def _fill(
    sample: Sample,
    folder: Path,
    pictures: Iterable[SamplePicture],
    on_progress: Callable[[str, int, int | None], None],
) -> Project:
    made = not folder.exists()
    classes = [
        entry.model_copy(update={"color": color})
        for entry, (_, color) in zip(
            default_classes([name for name, _ in sample.classes]), sample.classes, strict=True
        )
    ]
    project = Project.create(folder, classes)
    try:
        with project.editing():
            for done, picture in enumerate(pictures, start=1):
                record, _ = project.add_image(picture.name, picture.image)
                if picture.truth is not None:
                    project.write_ground_truth(record.id, picture.truth, "imported")
                on_progress("images", done, max(done, sample.images))
            project.save()
    except BaseException:
        _clear(folder, made)
        raise
    return project


def _clear(folder: Path, made: bool) -> None:
    """Remove what was made in a folder that was empty or not there."""
    for entry in list(folder.iterdir()) if folder.is_dir() else []:
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    if made and folder.is_dir():
        folder.rmdir()
