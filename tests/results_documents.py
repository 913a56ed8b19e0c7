"""What the commands that compare print, made up: `threestage compare` and `threestage budget`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXTS = {
    "validation": "validation images, never learnt from",
    "new": "images labelled since the run began",
    "labelled": "images it learned from",
}


def interval(value: float, images: int = 9) -> dict[str, Any]:
    spread = 0.04 if images >= 5 else None
    low, high = (None, None) if spread is None else (max(0, value - spread), value + spread)
    return {"value": value, "low": low, "high": None if high is None else min(1, high)}


def difference(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


def comparison(
    classes: Sequence[str] = ("background", "cell", "wall"),
    stages: Sequence[int] = (1, 2, 3),
    groups: Sequence[str] = ("validation", "labelled"),
    runs: Sequence[str] = ("run",),
    images: Sequence[str] = ("one", "two", "three"),
    in_group: int = 9,
) -> dict[str, Any]:
    """A document of ``threestage compare``, whose later stages are better; the same each time."""
    columns = [_column(run, stage, len(runs) == 1) for run in runs for stage in stages]
    keys = [column["key"] for column in columns]
    pairs = [*pairwise(keys), *([(keys[0], keys[-1])] if len(keys) > 2 else [])]
    rng = np.random.default_rng(0)
    found = [_group(name, classes, keys, pairs, in_group, rng) for name in groups]
    return {
        "project": "project",
        "classes": [
            {"name": name, "color": [(70 * at) % 256, 120, (40 * at + 90) % 256]}
            for at, name in enumerate(classes)
        ],
        "columns": columns,
        "groups": found,
        "agreement": [_agreement(one, other, classes, rng) for one, other in pairs],
        "fractions": {key: _shares(classes, at) for at, key in enumerate(keys)},
        "images": [_image(name, at, keys, pairs, groups) for at, name in enumerate(images)],
        "verdict": _verdict(groups),
        "alarms": [],
    }


def alarm(kind: str, name: str, key: str, last_good: int | None) -> dict[str, Any]:
    return {
        "kind": kind,
        "class": name,
        "key": key,
        "stage": int(key.split("/")[-1]),
        "before": 0.08,
        "after": 0.0,
        "last_good_stage": last_good,
        "sentence": f"Stage {key} has lost the class {name}: 8 % of the pixels before, none now.",
        "hint": f"Use stage {last_good}, or label more of {name}.",
    }


def budget(points: int = 4, fitted: bool = True) -> dict[str, Any]:
    """A document of ``threestage budget``; without points, it can say nothing yet."""
    amounts = [2000 * 3**at for at in range(points)]
    found = [
        {
            "run": f"run-{at}",
            "name": "",
            "labelled_images": 2 + 2 * at,
            "labelled_pixels": amount,
            "miou": interval(0.5 + 0.08 * at),
        }
        for at, amount in enumerate(amounts)
    ]
    curve = [
        {"labelled_pixels": amount, "miou": value, "low": value - 0.03, "high": value + 0.03}
        for amount, value in ((2000 * 3**at, 0.5 + 0.08 * at) for at in range(points + 1))
    ]
    return {
        "project": "project",
        "on": {"images": 9, "text": "9 validation images"} if points else None,
        "points": found,
        "fit": {"curve": curve, "until": 3 * amounts[-1]} if fitted and points else None,
        "sentence": "Twice as many labels may bring about 3 points of mean IoU.",
    }


def _column(run: str, stage: int, alone: bool) -> dict[str, Any]:
    title = f"Stage {stage}" if alone else f"Stage {stage} of {run}"
    key = str(stage) if alone else f"{run}/{stage}"
    return {"key": key, "run": run, "run_name": run, "stage": stage, "title": title}


def _group(
    name: str,
    classes: Sequence[str],
    keys: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    images: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    scores = {key: _scores(classes, at, images, rng) for at, key in enumerate(keys)}
    return {
        "name": name,
        "text": TEXTS[name],
        "images": images,
        "pixels": 40_000 * images,
        "scores": scores,
        "differences": [
            {
                "from": one,
                "to": other,
                "miou": difference(scores[other]["miou"]["value"] - scores[one]["miou"]["value"]),
                "iou": {each: difference(0.04) for each in classes},
            }
            for one, other in pairs
        ],
    }


def _scores(
    classes: Sequence[str], at: int, images: int, rng: np.random.Generator
) -> dict[str, Any]:
    count = len(classes)
    confusion = rng.integers(0, 3000 // ((at + 1) * count), (count, count))
    confusion[np.diag_indices(count)] = rng.integers(1500, 9000, count)
    right = np.diag(confusion)
    iou = right / (confusion.sum(0) + confusion.sum(1) - right)
    bins = []
    for number in range(10):
        sure = number / 10 + 0.05
        pixels = 0 if number < 3 else int(10 ** (number / 2.5))
        known = {"confidence": sure, "accuracy": min(1.0, sure - 0.1 + 0.03 * at)}
        ends = {"low": number / 10, "high": (number + 1) / 10, "pixels": pixels}
        bins.append(ends | (known if pixels else dict.fromkeys(known)))
    return {
        "miou": interval(float(iou.mean()), images),
        "accuracy": interval(float(right.sum() / confusion.sum()), images),
        "iou": {name: interval(float(iou[k]), images) for k, name in enumerate(classes)},
        "confusion": confusion.tolist(),
        "calibration": {"ece": 0.08 / (at + 1), "bins": bins},
        "kept": [
            {"threshold": 0.5, "share": 0.98, "accuracy": 0.91},
            {"threshold": 0.9, "share": 0.6, "accuracy": 0.97},
            {"threshold": 0.99, "share": 0.0, "accuracy": None},
        ],
    }


def _shares(classes: Sequence[str], at: int) -> dict[str, float]:
    weights = np.array([1 / (k + 1) ** (1.5 + 0.2 * at) for k in range(len(classes))])
    return dict(zip(classes, (weights / weights.sum()).tolist(), strict=True))


def _agreement(
    one: str, other: str, classes: Sequence[str], rng: np.random.Generator
) -> dict[str, Any]:
    count = len(classes)
    table = rng.integers(0, 200, (count, count))
    table[np.diag_indices(count)] = rng.integers(1500, 9000, count)
    changed = 1 - np.trace(table) / table.sum()
    share = {"before": 0.2, "after": 0.25, "gained": 0.07, "lost": 0.02}
    return {
        "from": one,
        "to": other,
        "images": 12,
        "pixels": int(table.sum()),
        "changed": float(changed),
        "transitions": table.tolist(),
        "classes": {name: dict(share) for name in classes},
    }


def _image(
    name: str,
    at: int,
    keys: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    groups: Sequence[str],
) -> dict[str, Any]:
    group = groups[at] if at < len(groups) else "unlabelled"
    known = group != "unlabelled"
    return {
        "id": name,
        "name": f"image {name}",
        "group": group,
        "pixels": 4096,
        "miou": {key: 0.6 + 0.05 * k if known else None for k, key in enumerate(keys)},
        "changed": {f"{one}>{other}": 0.1 / (at + 1) for one, other in pairs},
        "confidence": dict.fromkeys(keys, 0.8),
        "place": {"plane": [], "rows": [8, 40], "columns": [16, 48]},
        "why": "cell and wall are mixed up here" if known else "10 % changed",
    }


def _verdict(groups: Sequence[str]) -> dict[str, Any]:
    if not groups:
        return {
            "helped": "unknown",
            "sentence": "Nobody can say: no labels are there that the run has not learnt from.",
            "group": None,
            "against_first": None,
            "against_baseline": None,
            "baseline": None,
            "hints": ["Set some images aside."],
        }
    return {
        "helped": "yes",
        "sentence": "Yes: stage 3 is better than stage 1 by 4.0 points of mean IoU (2.0 to 6.0).",
        "group": groups[0],
        "against_first": difference(0.04),
        "against_baseline": None,
        "baseline": None,
        "hints": [],
    }
