"""Open the images to predict, one ahead, each with the segmenter that fits it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_threestage.errors import ImageFileError
from napari_threestage.inference.magnifying import other_pixels, wanted_magnification
from napari_threestage.ingest import open_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from napari_threestage.inference.desk import Desk, Share
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
    with ThreadPoolExecutor(1) as reader:
        sources = [*names]
        coming = [reader.submit(open_image, path, desk.order.axes) for path in sources[:1]]
        for number, path in enumerate(sources):
            try:
                image = coming.pop().result()
                fitting = _magnified(segmenter, path, image, desk)
            except ImageFileError as error:
                image = None
                note_failure(desk, share, path, error)
            coming += [
                reader.submit(open_image, after, desk.order.axes)
                for after in sources[number + 1 : number + 2]
            ]
            if image is not None:
                desk.check(names[path], image)
                yield Opened(path, names[path], image, fitting)


def _magnified(segmenter: Segmenter, path: Path, image: ImageArray, desk: Desk) -> Segmenter:
    """Return the segmenter at the magnification that an image needs, and note it."""
    trained, outcome = desk.order.trained_at, desk.outcome
    if desk.order.match_pixels and trained is not None:
        segmenter = segmenter.adjusted(magnify=wanted_magnification(path, image, trained))
    magnify = segmenter.info.magnify
    if magnify != 1:
        outcome.magnified.append((path.name, magnify))
    relative = other_pixels(image, trained, magnify)
    if relative is not None:
        outcome.other_pixels.append((path.name, relative))
    return segmenter


def note_failure(desk: Desk, share: Share, path: Path, error: ImageFileError) -> None:
    """Note that an image cannot be predicted."""
    desk.outcome.failed.append((path.name, str(error)))
    share.add(1)
