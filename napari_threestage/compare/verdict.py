"""Did it help? One sentence, with an interval, and what to do to know more."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from napari_threestage.compare.bootstrap import LEAST_IMAGES, Bootstrap, Interval
from napari_threestage.compare.columns import Column, both, in_sentence, make_column
from napari_threestage.compare.tally import share_changed
from napari_threestage.errors import ThreeStageError
from napari_threestage.runs import list_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.compare.gather import Gathered, Judged
    from napari_threestage.project import Project
    from napari_threestage.runs import Run

HONEST = ("validation", "new")
_IMAGES = {
    "validation": ("validation image", "validation images"),
    "new": ("image labelled since", "images labelled since"),
    "labelled": ("labelled image", "labelled images"),
}


def find_baseline(project: Project, columns: Sequence[Column]) -> Column | None:
    """Return the latest finished training on the labels of the last run alone.

    Where it is among the columns it is compared already.
    """
    last = columns[-1].run.id
    found = [
        run
        for run in list_runs(project)
        if run.inputs.baseline_of == last and run.finished_stages()
    ]
    if not found or _has_labels_alone(columns):
        return None
    return make_column(project, found[-1], found[-1].finished_stages()[-1], alone=False)


def give_verdict(
    project: Project, columns: Sequence[Column], found: Gathered, baseline: Column | None
) -> dict[str, Any]:
    """Say whether the last column is better than the first, and than the baseline."""
    first, last, name = columns[0], columns[-1], judging_group(found)
    verdict: dict[str, Any] = {
        "helped": "unknown",
        "sentence": _without_truth(columns, found),
        "group": name,
        "against_first": None,
        "against_baseline": None,
        "baseline": None if baseline is None else baseline.run.id,
        "hints": _hints(project, columns, name, baseline),
    }
    if name is None:
        return verdict
    judged, sentences = found.groups[name], []
    if first is not last:
        bootstrap = Bootstrap(judged.stacked([first.key, last.key]))
        gain, n_images = bootstrap.miou(1, 0), len(judged.margins)
        scores = bootstrap.miou(0).value, bootstrap.miou(1).value
        titles = in_sentence(first), in_sentence(last)
        sentences.append(sentence(titles, scores, gain, name, n_images))
        verdict |= {"helped": decide(gain), "against_first": gain.to_dict()}
    over = None if baseline is None else _over_baseline(judged, last, baseline)
    if over is not None:
        sentences.append(baseline_sentence(in_sentence(last), *over))
        verdict["against_baseline"] = over[0].to_dict()
    return verdict | ({"sentence": " ".join(sentences)} if sentences else {})


def judging_group(found: Gathered) -> str | None:
    """Return the group that judges: an honest one of enough images, else what there is."""
    honest = [name for name in HONEST if name in found.groups]
    enough = [name for name in honest if len(found.groups[name].margins) >= LEAST_IMAGES]
    learned = ["labelled"] if "labelled" in found.groups else []
    return next(iter(enough + honest + learned), None)


def decide(gain: Interval) -> str:
    """Return ``yes`` or ``no`` where the interval leaves out 0, else ``unclear``."""
    if gain.low is None or gain.high is None or gain.low <= 0 <= gain.high:
        return "unclear"
    return "yes" if gain.low > 0 else "no"


def sentence(
    titles: tuple[str, str], scores: tuple[float, float], gain: Interval, name: str, n_images: int
) -> str:
    """Say how two columns compare.

    Parameters
    ----------
    titles, scores
        Of the first and of the last column: what it is called, its mIoU.
    gain
        Of the last over the first.
    name, n_images
        The group that judges, and its images.
    """
    (first, last), (before, after) = titles, scores
    start = last[0].upper() + last[1:]
    claim = {"yes": f"{start} is better than {first}", "no": f"{start} is worse than {first}"}.get(
        decide(gain), f"It is not clear whether {last} is better than {first}"
    )
    if name not in HONEST:
        claim += " on the images that they learned from, which proves little"
    on = f"{n_images} {_IMAGES[name][n_images != 1]}"
    few = f", and fewer than {LEAST_IMAGES} allow no interval" if n_images < LEAST_IMAGES else ""
    return f"{claim}: mIoU {_percent(after)} after {_percent(before)}, {points(gain)} on {on}{few}."


def baseline_sentence(last: str, over: Interval, score: float, n_images: int) -> str:
    """Say how a column compares with labels alone, which reach a score on so many images."""
    claim = {
        "yes": "Self-training gives more than longer training",
        "no": "Longer training on the labels alone gives more",
    }.get(decide(over), "Whether self-training gives more than longer training is not clear")
    few = f" on {n_images} image{'s' * (n_images != 1)}" if n_images < LEAST_IMAGES else ""
    return (
        f"{claim}: in as many steps as all stages had, the labels alone reach "
        f"{_percent(score)}; {last} is {points(over)} from there{few}."
    )


def points(gain: Interval) -> str:
    """Return a difference, e.g. ``+10.1 points [95 %: +6.2 to +13.4]``."""
    text = f"{100 * gain.value:+.1f} points"
    if gain.low is None or gain.high is None:
        return text
    return f"{text} [95 %: {100 * gain.low:+.1f} to {100 * gain.high:+.1f}]"


def _over_baseline(
    judged: Judged, last: Column, baseline: Column
) -> tuple[Interval, float, int] | None:
    """Return what a column is more than the baseline, that one's mIoU, and on how many images."""
    tallies = judged.stacked([baseline.key, last.key])
    if not len(tallies):
        return None
    bootstrap = Bootstrap(tallies)
    return bootstrap.miou(1, 0), bootstrap.miou(0).value, len(tallies)


def _without_truth(columns: Sequence[Column], found: Gathered) -> str:
    """Say what can be said when no labels judge."""
    first, last = columns[0], columns[-1]
    if first is last:
        return f"{last.title} stands alone: there is nothing to compare it with."
    share = share_changed(found.changed[first.key, last.key])
    return (
        f"Nobody can say whether {in_sentence(last)} is better than {in_sentence(first)}: "
        f"no labels judge them. {both(first, last)} differ in {_percent(share)} of the pixels."
    )


def _hints(
    project: Project, columns: Sequence[Column], name: str | None, baseline: Column | None
) -> list[str]:
    """Say what to do to know more."""
    path, run, hints = shlex.quote(str(project.path)), columns[-1].run, []
    if name not in HONEST:
        hints.append(_honest_images(project, path, run))
    measured = baseline is not None or _has_labels_alone(columns)
    if not measured and run.inputs.last_stage > 1 and not run.is_baseline:
        hints.append(
            "Longer training on the labels alone may do as much. This tells: "
            f"threestage run {path} --baseline {run.id}"
        )
    return hints


def _has_labels_alone(columns: Sequence[Column]) -> bool:
    """Whether one of the columns is the baseline of the last."""
    return any(column.run.inputs.baseline_of == columns[-1].run.id for column in columns)


def _honest_images(project: Project, path: str, run: Run) -> str:
    """Say how to get images that judge honestly."""
    if any(_could_judge(project, run, image_id) for image_id in project.images):
        return (
            "The validation images cannot judge: they came after the run, or it is of a version "
            "that wrote no masks of them. The next run writes them; to score this one: "
            f"threestage evaluate {path}"
        )
    return (
        f"Label {LEAST_IMAGES} or more images of which the run had no labels: they judge it at "
        "once. Images set aside for validation judge every later run: "
        f"threestage import {path} --images FOLDER --masks FOLDER --split validation"
    )


def _could_judge(project: Project, run: Run, image_id: str) -> bool:
    """Whether a validation image that the run knew nothing of only lacks its masks."""
    validates = project.images[image_id].split == "validation"
    if not validates or image_id in run.inputs.labels or image_id in run.inputs.learned_before:
        return False
    if run.has_mask(run.finished_stages()[-1], image_id):
        return False
    try:
        return bool(project.label_counts(image_id)[1:].any())
    except ThreeStageError:  # its labels are damaged
        return False


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
