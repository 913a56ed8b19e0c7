"""Classes that vanish or swallow the others from one stage to the next.

Self-training that goes wrong goes wrong this way: what one stage finds too rarely the next learns
to find never, and the largest class takes its place.
"""

from __future__ import annotations

import shlex
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_threestage.compare.columns import in_sentence
from napari_threestage.runs import find_run, list_runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_threestage.compare.columns import Column
    from napari_threestage.compare.tally import Counts
    from napari_threestage.project import Project

# A class is there with as much of all pixels: of an image of 1024 x 1024 these are 1,000 pixels,
# an object or two. Less may be specks that a better stage rightly drops ...
LEAST_SHARE = 0.001
# ... unless a person labelled the class; then a thousandth of its share of the labels will do, for
# labels are no fair sample of the images but rarely off by more than that.
LEAST_OF_LABELS = 0.001
# Corrections halve a class now and then; that a tenth is left is another matter.
VANISHED = 0.1
# Above this share hardly anything is left of the others. Sparse objects on a background are near
# it rightly: so the others must have lost half of what they had, too.
SWALLOWED = 0.95
OTHERS_LEFT = 0.5
# A class that doubles and then has most of all pixels has taken them from the others.
DOUBLED, MOST = 2.0, 0.6

Shares = npt.NDArray[np.float64]


def find_alarms(
    project: Project, columns: Sequence[Column], counts: Mapping[str, Counts]
) -> list[dict[str, Any]]:
    """Return the alarms of the stages of each run, in order.

    A stage is measured against all before it: what goes slowly is gone all the same.

    Parameters
    ----------
    counts
        Pixels of each class over all images, by the key of the column.
    """
    shares = {key: _shares(found) for key, found in counts.items()}
    alarms = []
    for _, of_run in groupby(columns, lambda column: column.run.id):
        stages = list(of_run)
        alarms += _missing(project, stages[0], shares)
        for place in range(1, len(stages)):
            alarms += _changes(project, stages[: place + 1], shares)
    return alarms


def is_there(share: float, labelled: float) -> bool:
    """Whether a stage finds a class that has these shares of all pixels and of the labels."""
    return share >= LEAST_SHARE or (labelled > 0 and share >= LEAST_OF_LABELS * labelled)


def has_vanished(before: float, after: float, labelled: float) -> bool:
    """Whether a class that was there is as good as gone."""
    return is_there(before, labelled) and after < VANISHED * before


def has_swallowed(before: float, after: float, labelled: float) -> bool:
    """Whether a class has grown over the others, without having so much of the labels."""
    nothing_left = after > SWALLOWED and 1 - after < OTHERS_LEFT * (1 - before)
    doubled = after > MOST and after > DOUBLED * before
    return (nothing_left and labelled <= SWALLOWED) or (doubled and labelled <= MOST)


def _changes(
    project: Project, stages: Sequence[Column], shares: Mapping[str, Shares]
) -> list[dict[str, Any]]:
    """Return what went wrong with the last of some stages of a run."""
    *earlier, now = stages
    alarms, labels = [], _label_shares(project, now)
    for place, entry in enumerate(project.classes):
        share = {column: float(shares[column.key][place]) for column in stages}
        most, least = max(earlier, key=share.__getitem__), min(earlier, key=share.__getitem__)
        for kind, gone_wrong, before in (
            ("vanished", has_vanished, most),
            ("swallowed", has_swallowed, least),
        ):
            wrong, was_wrong = (
                gone_wrong(share[before], share[one], float(labels[place]))
                for one in (now, earlier[-1])
            )
            if wrong and not was_wrong:
                what = "has all but vanished" if kind == "vanished" else "has swallowed others"
                sentence = (
                    f"Class '{entry.name}' {what}: {in_sentence(now)} gives it "
                    f"{_percent(share[now])} of all pixels, {in_sentence(before)} gave it "
                    f"{_percent(share[before])}."
                )
                found = share[before], share[now], earlier[-1].stage
                hint = _way_back(project, earlier[-1], now)
                alarms.append(_alarm(kind, entry.name, now, *found, sentence, hint))
    return alarms


def _missing(
    project: Project, column: Column, shares: Mapping[str, Shares]
) -> list[dict[str, Any]]:
    """Return the classes that are labelled and that the first stage compared does not find."""
    alarms = []
    labels = _label_shares(project, column)
    for entry, labelled, share in zip(project.classes, labels, shares[column.key], strict=True):
        if labelled == 0 or is_there(float(share), float(labelled)):
            continue
        sentence = (
            f"{column.title} does not find class '{entry.name}': it has {_percent(labelled)} "
            f"of the labels and {_percent(share)} of the pixels of all masks."
        )
        hint = f"Label more of '{entry.name}', on several images, and train again."
        found = float(labelled), float(share)
        alarms.append(_alarm("vanished", entry.name, column, *found, None, sentence, hint))
    return alarms


def _alarm(
    kind: str,
    name: str,
    column: Column,
    before: float,
    after: float,
    last_good: int | None,
    sentence: str,
    hint: str,
) -> dict[str, Any]:
    return {
        "kind": kind,
        "class": name,
        "key": column.key,
        "stage": column.stage,
        "before": before,
        "after": after,
        "last_good_stage": last_good,
        "sentence": sentence,
        "hint": hint,
    }


def _way_back(project: Project, good: Column, bad: Column) -> str:
    """Say what to do with the last good stage of a run."""
    run, path = good.run, shlex.quote(str(project.path))
    of_run = "" if find_run(project).id == run.id else f" --run {run.id}"
    ways = [
        f"export it (threestage export {path}{of_run} --stage {good.stage} "
        "--format safetensors --output segmenter.safetensors)",
        "accept its masks as labels",
    ]
    if _is_built_on(project, good):
        last, following = max(run.inputs.last_stage, bad.stage), good.stage + 1
        stages = f"{following}-{last}" if last > following else f"{last}"
        ways.append(f"label more and train on from it (threestage run {path} --stages {stages})")
    return f"Stage {good.stage} is the last good one: {', '.join(ways[:-1])}, or {ways[-1]}."


def _is_built_on(project: Project, column: Column) -> bool:
    """Whether a run of the stages after this one would begin with it."""
    needed = set(range(1, column.stage + 1))
    for run in reversed(list_runs(project)):
        if not run.is_baseline and needed <= set(run.finished_stages()):
            return run.id == column.run.id
    return False


def _label_shares(project: Project, column: Column) -> Shares:
    """Return the share of each present class of the pixels that a run learned from."""
    inputs = column.run.inputs
    pixels = [inputs.pixels.get(entry["name"], 0) for entry in inputs.classes]
    counts = np.zeros(len(project.classes) + 1, np.int64)
    np.add.at(counts, column.indices[1:], pixels)
    return _shares(counts[1:])


def _shares(counts: Counts) -> Shares:
    return counts / max(1, int(counts.sum()))


def _percent(share: float) -> str:
    """Return a share that may be small, e.g. ``0.03 %``."""
    if share == 0:
        return "none"
    return f"{100 * share:.1f} %" if share >= LEAST_SHARE * 10 else f"{100 * share:.3g} %"
