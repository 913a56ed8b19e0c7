"""The numbers of each figure, as rows for a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_threestage.compare import sheets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_threestage.compare.sheets import Row

    Document = Mapping[str, Any]


def iou_rows(document: Document, group: str) -> Iterator[Row]:
    """Yield each score and each difference on a group of images, with its interval."""
    return _only(sheets.scores(document), group=group)


def confusion_rows(document: Document, group: str, key: str) -> Iterator[Row]:
    """Yield how many pixels of each class a column gave each class."""
    return _only(sheets.confusion(document), group=group, column=key)


def reliability_rows(document: Document, group: str) -> Iterator[Row]:
    """Yield accuracy by confidence for each column."""
    return _only(sheets.calibration(document), group=group)


def transition_rows(document: Document, pair: tuple[str, str]) -> Iterator[Row]:
    """Yield how many pixels went from each class to each."""
    return _only(sheets.agreement(document), **dict(zip(("from", "to"), pair, strict=True)))


def image_rows(document: Document) -> Iterator[Row]:
    """Yield what is known of each image."""
    return sheets.images(document)


def fraction_rows(document: Document) -> Iterator[Row]:
    """Yield the share of all pixels that each column gives to each class."""
    for key, shares in document["fractions"].items():
        for name, share in shares.items():
            yield {"column": key, "class": name, "share": share}


def budget_rows(document: Document) -> Iterator[Row]:
    """Yield amount of labels and mean IoU of each run, of a document of ``threestage budget``."""
    words = ("run", "name", "labelled_images", "labelled_pixels")
    for one in document["points"]:
        yield {word: one[word] for word in words} | one["miou"]


def _only(rows: Iterator[Row], **wanted: str) -> Iterator[Row]:
    return (row for row in rows if all(row[name] == value for name, value in wanted.items()))
