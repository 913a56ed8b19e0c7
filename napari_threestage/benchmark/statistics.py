"""What rows say together: spread over seeds, differences between methods, the label gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from napari_threestage.benchmark.methods import CONTROL, FULL, METHODS, SUPERVISED
from napari_threestage.benchmark.rows import difference as recipe_difference
from napari_threestage.config import NetworkConfig, for_stage
from napari_threestage.stages import parse_stages

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95
LEAST_GAP = 0.005  # of mIoU; where labels gain less, no share of it means anything

_POOLED_BY = ("labelled", "labels", "against", "method")

BySeed = Mapping[int, float]
"""A value for each seed."""


@dataclass(frozen=True)
class Spread:
    """Values over seeds.

    Attributes
    ----------
    mean
        Their mean.
    sd
        Standard deviation of the sample; None for one value.
    low, high
        Interval of 95 % for the mean (Student's t); None for one value.
    each
        The values, by seed, or by data set and seed.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    each: dict[Any, float]


def spread(values: Mapping[Any, float]) -> Spread | None:
    """Describe values over seeds; None where there are none."""
    if not values:
        return None
    each = dict(sorted(values.items()))
    sample = np.array(list(each.values()))
    mean, n = float(sample.mean()), len(sample)
    if n == 1:
        return Spread(mean, None, None, None, each)
    sd = float(sample.std(ddof=1))
    half = _half(sd / n**0.5, n - 1)
    return Spread(mean, sd, mean - half, mean + half, each)


def _half(error: float, freedom: float) -> float:
    """Return half the interval of a mean with that standard error."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error


def difference(values: BySeed, others: BySeed) -> Spread | None:
    """Describe differences of the same seeds: `values` minus `others`."""
    return spread({seed: values[seed] - others[seed] for seed in values.keys() & others.keys()})


def gap_closed(values: BySeed, supervised: BySeed, full: BySeed) -> Spread | None:
    """Describe the share of the label gap closed, seed by seed.

    It is 0 for what the few labels give alone, and 1 for what all labels give.  Seeds for which
    all labels gain less than half a point are left out.
    """
    seeds = values.keys() & supervised.keys() & full.keys()
    return spread(
        {
            seed: (values[seed] - supervised[seed]) / (full[seed] - supervised[seed])
            for seed in seeds
            if full[seed] - supervised[seed] >= LEAST_GAP
        }
    )


def summarise(rows: Sequence[Mapping[str, Any]], against: str = CONTROL) -> list[dict[str, Any]]:
    """Sum up rows over seeds.

    Parameters
    ----------
    rows
        As `rows.read_row` gives them.
    against
        The method that all others are compared with: by default labels alone for as many steps.

    Returns
    -------
    list of dict
        One for each data set, labelled amount, kind of labels and method, in this order: mIoU by
        ``stages``, the ``gains`` of each over the one before, IoU by class of the ``last`` stage
        and its mIoU by ``kinds`` of images, ``gap_closed``, ``over`` (paired difference to the
        method ``against``), ``training_seconds`` and ``images_per_second``; whether it is
        ``on_terms`` of all labels and that method, which have to have its network, crop and number
        of steps, for else both would count them as the method's; and in what its rows are
        ``mixed``.  What all labels give is part of each labelled amount.
    """
    found = []
    for data, labelled, labels in _amounts(rows):
        mine = [row for row in rows if _belongs(row, data, labelled, labels)]
        by_method = {name: [row for row in mine if row["method"] == name] for name in _names(mine)}
        for name, some in by_method.items():
            head = {"data": data, "labelled": labelled, "labels": labels, "method": name}
            found.append(head | _summary(some, by_method, against))
    return found


def together(summary: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put the paired differences of `summarise` of all data sets together.

    Returns
    -------
    list of dict
        One for each labelled amount, kind of labels and method: its differences ``over`` the method
        ``against`` and the ``gains`` of its stages, see `over_data_sets`, by data set and seed.
        What is compared on one data set alone is None, and a method of which all is None is left
        out.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for entry in summary:
        groups.setdefault(tuple(entry[name] for name in _POOLED_BY), []).append(entry)
    found = []
    for key, entries in groups.items():
        pooled = _pooled(entries)
        if pooled["over"] or any(pooled["gains"].values()):
            found.append(dict(zip(_POOLED_BY, key, strict=True)) | pooled)
    return found


def _pooled(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    stages = dict.fromkeys(stage for entry in entries for stage in entry["gains"])
    gains = {
        stage: _pool({entry["data"]: entry["gains"].get(stage) for entry in entries})
        for stage in stages
    }
    return {"gains": gains, "over": _pool({entry["data"]: entry["over"] for entry in entries})}


def _pool(differences: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any] | None:
    known = {data: one["each"] for data, one in differences.items() if one is not None}
    return _dict(over_data_sets(known)) if len(known) > 1 else None


def over_data_sets(values: Mapping[str, BySeed]) -> Spread:
    """Describe values of several data sets, each of which weighs the same.

    The interval is that of other seeds on these data sets: of other data sets so few say nothing.
    Its variance is that of a mean of strata, its degrees of freedom are Welch's and
    Satterthwaite's.  Where a data set has but one seed there is none.

    Parameters
    ----------
    values
        By data set and seed.
    """
    each = {f"{data} {seed}": v for data, one in values.items() for seed, v in sorted(one.items())}
    samples = [np.array(list(one.values())) for one in values.values()]
    mean = float(np.mean([sample.mean() for sample in samples]))
    if any(len(sample) == 1 for sample in samples):
        return Spread(mean, None, None, None, each)
    shares = np.array([sample.var(ddof=1) / len(sample) for sample in samples]) / len(samples) ** 2
    weights = np.array([len(sample) - 1 for sample in samples])
    variance = float(shares.sum())
    if variance == 0:
        return Spread(mean, None, mean, mean, each)
    freedom = variance**2 / float((shares**2 / weights).sum())
    half = _half(variance**0.5, freedom)
    return Spread(mean, None, mean - half, mean + half, each)


def _summary(
    rows: Sequence[Mapping[str, Any]],
    by_method: Mapping[str, Sequence[Mapping[str, Any]]],
    against: str,
) -> dict[str, Any]:
    few, other, full = (by_method.get(name, []) for name in (SUPERVISED, against, FULL))
    alike = _on_terms(rows, full), _on_terms(rows, other)
    stages = sorted({stage for row in rows for stage in row["stages"]})
    last = stages[-1]
    scores = {stage: _miou(rows, stage) for stage in stages}
    is_other = rows[0]["method"] == against
    return {
        "stages": {stage: _dict(spread(scores[stage])) for stage in stages},
        "gains": {
            stage: _dict(difference(scores[stage], scores[before]))
            for before, stage in pairwise(stages)
        },
        "last": {"stage": last, "iou": _by_class(rows, last)},
        "kinds": _by_kind(rows, last),
        "gap_closed": _dict(gap_closed(_last(alike[0]), _last(few), _last(full))),
        "against": against,
        "over": None if is_other else _dict(difference(_last(alike[1]), _last(other))),
        "on_terms": all(len(some) == len(rows) for some in alike),
        "mixed": _mixed(rows),
        **{
            kind: _dict(spread({row["seed"]: row[kind] for row in rows if row[kind] is not None}))
            for kind in ("training_seconds", "images_per_second")
        },
    }


def _on_terms(
    rows: Sequence[Mapping[str, Any]], bound: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """Return the rows with network, crop and number of steps of a bound's row of that seed.

    Where there is no such row nothing is compared, so none is left out.
    """
    terms = {row["seed"]: _terms(row) for row in bound}
    return [row for row in rows if terms.get(row["seed"], _terms(row)) == _terms(row)]


def _terms(row: Mapping[str, Any]) -> tuple[Any, Any, int] | None:
    """Return network, crop and steps of all stages; None for what has no network."""
    recipe = row.get("recipe", {})
    config = recipe.get("config")
    if not config:
        return None
    first, last = parse_stages(recipe["stages"])
    steps = config["stages"]["steps"]
    total = sum(for_stage(steps, stage) for stage in range(first, last + 1))
    network = NetworkConfig().model_dump(mode="json") | config["network"]  # older rows lack some
    return network, config["data"]["crop"], total


def _mixed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say in what the recipes of a method's rows differ, which a mean must not hide."""
    first, *others = ({**row.get("recipe", {}), "labelled_images": None} for row in rows)
    labels = rows[0]["labels"]
    return next(filter(None, (recipe_difference(first, one, labels) for one in others)), "")


def _amounts(
    rows: Sequence[Mapping[str, Any]],
) -> list[tuple[str, float | None, str]]:
    """Return data set, labelled amount and kind of labels of each table."""
    found = dict.fromkeys((row["data"], row["labelled"], row["labels"]) for row in rows)
    few = {data for data, labelled, _ in found if labelled is not None}
    return [one for one in found if one[1] is not None or one[0] not in few]


def _belongs(row: Mapping[str, Any], data: str, labelled: float | None, labels: str) -> bool:
    whole = row["labelled"] is None
    return bool(
        row["data"] == data and (whole or (row["labelled"], row["labels"]) == (labelled, labels))
    )


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return methods in the order of the table, what it does not know at the end."""
    names = {row["method"] for row in rows}
    return [name for name in METHODS if name in names] + sorted(names - METHODS.keys())


def _miou(rows: Sequence[Mapping[str, Any]], stage: str) -> dict[int, float]:
    scores = {row["seed"]: row["stages"].get(stage, {}).get("miou") for row in rows}
    return {seed: value for seed, value in scores.items() if value is not None}


def _last(rows: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    if not rows:
        return {}
    return _miou(rows, max(stage for row in rows for stage in row["stages"]))


def _by_class(rows: Sequence[Mapping[str, Any]], stage: str) -> dict[str, Any]:
    return _spreads(
        {row["seed"]: row["stages"][stage]["iou"] for row in rows if stage in row["stages"]}
    )


def _by_kind(rows: Sequence[Mapping[str, Any]], stage: str) -> dict[str, Any]:
    """Return the mIoU of images of each kind, by the pattern that tells the kinds."""
    tables: dict[str, dict[int, dict[str, float | None]]] = {}
    for row in rows:
        if stage in row["stages"] and "kinds" in row:
            scores = {kind: one["stages"][stage]["miou"] for kind, one in row["kinds"].items()}
            tables.setdefault(row["kinds_pattern"], {})[row["seed"]] = scores
    return {pattern: _spreads(one) for pattern, one in tables.items()}


def _spreads(tables: Mapping[int, Mapping[str, float | None]]) -> dict[str, Any]:
    """Return for each name the spread of its values over seeds."""
    names = dict.fromkeys(name for table in tables.values() for name in table)
    found = {}
    for name in names:
        values = {seed: table.get(name) for seed, table in tables.items()}
        known = {seed: value for seed, value in values.items() if value is not None}
        found[name] = _dict(spread(known))
    return found


def _dict(found: Spread | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)
