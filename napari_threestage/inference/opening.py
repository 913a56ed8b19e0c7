"""Open the images to predict, one ahead, each with the segmenter that fits it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_threestage.errors import ImageFileError
from napari_threestage.inference.magnifying import Magnifier
from napari_threestage.ingest import open_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from napari_threestage.inference.desk import Desk, Outcome, Share
    from napari_threestage.inference.segmenter import Segmenter
    from napari_threestage.store import ImageArray


@dataclass(frozen=True)
class Opened:
    """An image that can be read.

    Attributes
    ----------
    segmenter
        What is to predict it, at its magnification.
    """

    path: Path
    name: str
    image: ImageArray
    segmenter: Segmenter


def opened(
    segmenter: Segmenter, names: Mapping[Path, str], desk: Desk, share: Share
) -> Iterator[Opened]:
    """Yield the images that can be read; the next one is read while one is worked on."""
    magnifier = Magnifier(segmenter, desk.order.trained_at, desk.order.match_pixels)
    with ThreadPoolExecutor(1) as reader:
        sources = [*names]
        coming = [reader.submit(open_image, path, desk.order.axes) for path in sources[:1]]
        for number, path in enumerate(sources):
            try:
                image = coming.pop().result()
                fitting = magnifier.fit(path, image)
            except ImageFileError as error:
                image = None
                note_failure(desk, share, path, error)
            coming += [
                reader.submit(open_image, after, desk.order.axes)
                for after in sources[number + 1 : number + 2]
            ]
            if image is not None:
                desk.check(names[path], image)
                _note_magnification(desk.outcome, magnifier, path, image, fitting.info.magnify)
                yield Opened(path, names[path], image, fitting)


def _note_magnification(
    outcome: Outcome, magnifier: Magnifier, path: Path, image: ImageArray, magnify: float
) -> None:
    relative = magnifier.relative_pixel(image)
    if magnify != 1:
        outcome.magnified.append((path.name, magnify))
    elif relative is not None and magnifier.differs(image):
        outcome.other_pixels.append((path.name, relative))


def note_failure(desk: Desk, share: Share, path: Path, error: ImageFileError) -> None:
    """Note that an image cannot be predicted."""
    desk.outcome.failed.append((path.name, str(error)))
    share.add(1)
