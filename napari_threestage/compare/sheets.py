"""A comparison as tables for other programs: one CSV file a subject, a value a row."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from napari_threestage.mask_files.text_file import GrowingFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

Row = dict[str, Any]


def write_sheets(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the tables of a comparison into a folder, each complete or absent."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        GrowingFile(folder / f"{name}.csv", to_csv(rows(document))).finish()
        for name, rows in SHEETS.items()
    ]


def to_csv(rows: Iterator[Row]) -> str:
    """Return rows, which all have the columns of the first, as CSV."""
    found = list(rows)
    text = io.StringIO()
    if found:
        writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    return text.getvalue()


def scores(document: Mapping[str, Any]) -> Iterator[Row]:
    """Yield mIoU, accuracy, calibration error and IoU of each column, and their differences."""
    for group in document["groups"]:
        for key, found in group["scores"].items():
            head = {"group": group["name"], "images": group["images"], "from": "", "to": key}
            error = {"value": found["calibration"]["ece"], "low": None, "high": None}
            measures = {"mIoU": found["miou"], "accuracy": found["accuracy"], "ECE": error}
            yield from _intervals(head, measures, found["iou"])
        for found in group["differences"]:
            head = {"group": group["name"], "images": group["images"]}
            ends = {"from": found["from"], "to": found["to"]}
            yield from _intervals(head | ends, {"mIoU": found["miou"]}, found["iou"])


def confusion(document: Mapping[str, Any]) -> Iterator[Row]:
    """Yield how many pixels of each class of the truth each column gave each class."""
    for group in document["groups"]:
        for key, found in group["scores"].items():
            head = {"group": group["name"], "column": key}
            yield from _cells(document, head, ("truth", "found"), found["confusion"])


def calibration(document: Mapping[str, Any]) -> Iterator[Row]:
    """Yield confidence and accuracy by bins of confidence."""
    for group in document["groups"]:
        for key, found in group["scores"].items():
            for one in found["calibration"]["bins"]:
                yield {"group": group["name"], "column": key} | one


def kept(document: Mapping[str, Any]) -> Iterator[Row]:
    """Yield what reaches a threshold of confidence, and how much of it is right."""
    for group in document["groups"]:
        for key, found in group["scores"].items():
            for one in found["kept"]:
                yield {"group": group["name"], "column": key} | one


def agreement(document: Mapping[str, Any]) -> Iterator[Row]:
    """Yield how many pixels went from each class to each."""
    for one in document["agreement"]:
        head = {"from": one["from"], "to": one["to"]}
        yield from _cells(document, head, ("class_from", "class_to"), one["transitions"])


def images(document: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the images, the worst first."""
    for one in document["images"]:
        place = one["place"] or {"plane": [], "rows": ["", ""], "columns": ["", ""]}
        yield {
            **{name: one[name] for name in ("id", "name", "group", "pixels")},
            **{f"mIoU {key}": value for key, value in one["miou"].items()},
            **{f"changed {key}": value for key, value in one["changed"].items()},
            **{f"confidence {key}": value for key, value in one["confidence"].items()},
            "plane": " ".join(map(str, place["plane"])),
            "top": place["rows"][0],
            "bottom": place["rows"][1],
            "left": place["columns"][0],
            "right": place["columns"][1],
            "why": one["why"],
        }


SHEETS: dict[str, Callable[[Mapping[str, Any]], Iterator[Row]]] = {
    "scores": scores,
    "confusion": confusion,
    "calibration": calibration,
    "kept": kept,
    "agreement": agreement,
    "images": images,
}


def _intervals(head: Row, measures: Row, iou: Row) -> Iterator[Row]:
    for measure, interval in measures.items():
        yield {**head, "measure": measure, "class": "", **interval}
    for name, interval in iou.items():
        if interval is not None:
            yield {**head, "measure": "IoU", "class": name, **interval}


def _cells(
    document: Mapping[str, Any], head: Row, ends: tuple[str, str], table: list[list[int]]
) -> Iterator[Row]:
    names = [entry["name"] for entry in document["classes"]]
    for name, row in zip(names, table, strict=True):
        for other, pixels in zip(names, row, strict=True):
            yield {**head, ends[0]: name, ends[1]: other, "pixels": pixels}
