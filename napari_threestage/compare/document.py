"""All that can be said of stages and runs beside each other, as one JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.compare import groups
from napari_threestage.compare.alarms import find_alarms
from napari_threestage.compare.bootstrap import Bootstrap, Interval
from napari_threestage.compare.calibration import calibration, kept
from napari_threestage.compare.columns import Column, columns_of_run, columns_of_runs, pairs
from napari_threestage.compare.gather import Gathered, Judged, Seen, gather
from napari_threestage.compare.tally import share_changed
from napari_threestage.compare.verdict import find_baseline, give_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_threestage.compare.tally import Counts, Pair
    from napari_threestage.project import Project

__all__ = ["Column", "build_document", "columns_of_run", "columns_of_runs"]


def build_document(
    project: Project,
    columns: Sequence[Column],
    show: Callable[[int, int | None], None] = lambda done, total: None,
    obey: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Compare stages; docs/compare.md says what is in the document.

    Parameters
    ----------
    columns
        As `columns_of_run` or `columns_of_runs` return them.
    show
        Called with how many images are done, and how many there are.
    obey
        Called before each image; raises to end.

    Raises
    ------
    NotReadyError
        No image has masks of all columns.
    """
    baseline = find_baseline(project, columns)
    found = gather(project, columns, baseline, show, obey)
    names = [entry.name for entry in project.classes]
    judges = [name for name in groups.JUDGES if name in found.groups]
    return {
        "project": str(project.path),
        "classes": [{"name": one.name, "color": list(one.color)} for one in project.classes],
        "columns": [column.to_dict() for column in columns],
        "groups": [_group(name, found.groups[name], columns, names) for name in judges],
        "agreement": [_agreement(a, b, found, names) for a, b in pairs(columns)],
        "fractions": {key: _shares(counts, names) for key, counts in found.counts.items()},
        "images": [
            _image(one, project.images[one.image].name, columns)
            for one in sorted(found.images, key=lambda one: _badness(one, columns))
        ],
        "left_out": [{"image": one, "reason": text} for one, text in found.left_out.items()],
        "verdict": give_verdict(project, columns, found, baseline),
        "alarms": find_alarms(project, columns, found.counts),
    }


def _group(
    name: str, judged: Judged, columns: Sequence[Column], names: Sequence[str]
) -> dict[str, Any]:
    """Return the scores of all columns on a group of images."""
    keys = [column.key for column in columns]
    bootstrap = Bootstrap(judged.stacked(keys))

    def by_class(column: int, before: int | None = None) -> dict[str, Any]:
        found = (bootstrap.iou(column, index, before) for index in range(len(names)))
        return {one: _dict(iou) for one, iou in zip(names, found, strict=True)}

    scores = {
        key: {
            "miou": bootstrap.miou(place).to_dict(),
            "accuracy": bootstrap.accuracy(place).to_dict(),
            "iou": by_class(place),
            "confusion": judged.confusion[key].tolist(),
            "calibration": calibration(judged.sure[key]),
            "kept": kept(judged.sure[key]),
        }
        for place, key in enumerate(keys)
    }
    differences = [
        {
            "from": a.key,
            "to": b.key,
            "miou": bootstrap.miou(keys.index(b.key), keys.index(a.key)).to_dict(),
            "iou": by_class(keys.index(b.key), keys.index(a.key)),
        }
        for a, b in pairs(columns)
    ]
    return {
        "name": name,
        "text": groups.describe(name, len(judged.margins)),
        "images": len(judged.margins),
        "pixels": int(judged.confusion[keys[0]].sum()),
        "scores": scores,
        "differences": differences,
    }


def _agreement(a: Column, b: Column, found: Gathered, names: Sequence[str]) -> dict[str, Any]:
    """Return what became of the pixels of all images from one column to another."""
    table = found.changed[a.key, b.key]
    total = max(1, int(table.sum()))
    before, after, stayed = table.sum(1), table.sum(0), table.diagonal()
    shares = np.stack([before, after, after - stayed, before - stayed], -1) / total
    words = ("before", "after", "gained", "lost")
    return {
        "from": a.key,
        "to": b.key,
        "images": len(found.images),
        "pixels": int(table.sum()),
        "changed": share_changed(table),
        "transitions": table.tolist(),
        "classes": {
            name: dict(zip(words, row, strict=True))
            for name, row in zip(names, shares.tolist(), strict=True)
        },
    }


def _shares(counts: Counts, names: Sequence[str]) -> dict[str, float]:
    return dict(zip(names, (counts / max(1, int(counts.sum()))).tolist(), strict=True))


def _badness(one: Seen, columns: Sequence[Column]) -> tuple[float, float]:
    """Return what sorts images: the worst score of the last column first, then what changed."""
    pair = columns[0].key, columns[-1].key
    return one.miou.get(columns[-1].key, np.inf), -one.changed.get(pair, 0.0)


def _image(one: Seen, name: str, columns: Sequence[Column]) -> dict[str, Any]:
    return {
        "id": one.image,
        "name": name,
        "group": one.group,
        "pixels": one.pixels,
        "miou": {column.key: one.miou.get(column.key) for column in columns},
        "changed": {pair_key(pair): share for pair, share in one.changed.items()},
        "confidence": one.confidence,
        "place": None if one.place is None else one.place.to_dict(),
        "why": one.why,
    }


def pair_key(pair: Pair) -> str:
    """Return the key of two columns, e.g. ``1>2``."""
    return ">".join(pair)


def _dict(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else interval.to_dict()
