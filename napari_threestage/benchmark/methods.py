"""The methods that are compared, as data: each is a recipe as differences from a preset.

Nearly all share network, crops, batches, optimiser, steps and the perturbation of labelled crops
with the preset, so that they differ in what they do with unlabelled images alone; the exceptions
are in ``docs/benchmark.md``.  Weights and thresholds of the rivals are those of their own code for
segmentation, where it has them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from napari_threestage.config import PAPER_OPERATIONS
from napari_threestage.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOREST = "forest"
PAPER_STYLE = "paper-style"
SUPERVISED, CONTROL, FULL = "supervised", "supervised-long", "full"
ADAPTED = "supervised-adapted"
COLOURS = ("color", "brightness", "contrast")

_KE = "Ke et al., A three-stage self-training framework"
_FRENCH = "French et al., BMVC 2020"


@dataclass(frozen=True)
class Method:
    """One line of the comparison.

    Attributes
    ----------
    name
        What the command and the files call it.
    title
        What it is, for people.
    source
        Where it comes from.
    group
        ``bounds``, ``own``, ``rivals`` or ``ablations``; the command takes it for all of them.
    settings
        Dotted settings and their values, on top of the preset.
    preset
        A preset of its own; None: that of the benchmark.
    stages
        Which stages are trained.
    labels
        ``all``: every training image keeps its whole mask.
    budget
        ``stages``: as many steps as the recipe has; ``whole``: stage 1 takes those of all three
        stages; ``rest``: the second stage takes those of all but the first.
    """

    name: str
    title: str
    source: str
    group: Literal["bounds", "own", "rivals", "ablations"]
    settings: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = None
    stages: str = "1-3"
    labels: Literal["few", "all"] = "few"
    budget: Literal["stages", "whole", "rest"] = "stages"


# Labels alone: no statistics of other images.
_ALONE = {"teacher.statistics": "student"}


def _bound(name: str, title: str, settings: dict[str, Any] | None = None, **more: Any) -> Method:
    settings = {"stages.unlabelled_from": 2} | (settings or {})
    return Method(name, title, "", "bounds", settings, stages="1", **more)


def _own(name: str, title: str, **more: Any) -> Method:
    return Method(name, title, _KE, "own", **more)


# What a rival has not unless it says so: nothing changes the crops but the flips and zooms that all
# have.
_PLAIN = {
    "stages.unlabelled_from": 1,
    "augment.count": 0,
    "augment.cutouts": 0,
    "augment.cutout_labels": True,
    "augment.cutmix": 0.0,
    "augment.mix": "box",
    "augment.mixup": 0.0,
    "augment.adversarial": 0.0,
    "augment.views": 1,
    "augment.feature_view": False,
    "teacher.enabled": True,
    "teacher.statistics": "student",
    "loss.consistency": 1.0,
    "loss.consistency_on": "whole_set",
    "loss.pseudo": 0.0,
    "loss.distance": "hard",
    "loss.gate": "pixel",
}
# French et al. compare perturbations by the squared difference of probabilities, count all pixels
# by the share of those that the teacher is sure of, and change colours for PASCAL VOC 2012.
_SQUARED = {
    "augment.operations": COLOURS,
    "augment.count": 3,
    "loss.distance": "squared",
    "loss.gate": "batch",
    "loss.threshold": 0.97,
}
_FIXMATCH = {
    "teacher.enabled": False,
    "teacher.in_stage_1": False,
    "augment.operations": ("autocontrast", "sharpness", *COLOURS),
    "augment.count": 3,
    "augment.cutmix": 0.5,
    "loss.threshold": 0.95,
}


def _rival(name: str, title: str, source: str, settings: dict[str, Any]) -> Method:
    return Method(name, title, source, "rivals", _PLAIN | settings, stages="1", budget="whole")


def _ablation(name: str, title: str, settings: dict[str, Any], stages: str = "1-3") -> Method:
    return Method(name, title, f"{_KE}, Tables V and VI", "ablations", settings, stages=stages)


_BOUNDS = (
    _bound(SUPERVISED, "labels alone, steps of stage 1", _ALONE),
    _bound(CONTROL, "labels alone, steps of all stages", _ALONE, budget="whole"),
    _bound(
        ADAPTED,
        "the same with batch norm statistics of all images",
        {"teacher.statistics": "clean"},
        budget="whole",
    ),
    _bound(FULL, "all labels, steps of all stages", labels="all", budget="whole"),
    _bound("full-short", "all labels, steps of stage 1", labels="all"),
)
_PAPER_STYLE = {
    "loss.threshold": 0.0,
    "loss.gate": "pixel",
    "loss.distance": "hard",
    "loss.pseudo_on": "branch",
    "loss.pseudo_threshold": 0.0,
    "loss.ramp_up": 0.0,
    "loss.dice": 0.0,
    "loss.crf": 0.0,
    "loss.class_weights": 0.0,
    "loss.consistency": 0.5,
    "loss.pseudo": 0.5,
    "data.class_focus": 0.0,
    "augment.operations": PAPER_OPERATIONS,
    "augment.count": 3,
    "augment.cutouts": 3,
    "augment.cutmix": 0.0,
    "augment.mixup": 0.0,
    "augment.adversarial": 0.0,
    "augment.views": 1,
    "augment.feature_view": False,
    "augment.labelled": (0.0,),
    "augment.labelled_with": None,
    "stages.own_blocks": (0, 2, 1),
    "stages.start_from": "pretrained",
    "stages.unlabelled_from": 2,
    "teacher.enabled": True,
    "teacher.in_stage_1": False,
    "teacher.statistics": "student",
}
_OWN = (
    _own("three-stage", "the three stages, as the preset has them"),
    _own(PAPER_STYLE, "the paper's losses and operator", settings=_PAPER_STYLE),
    *(_own(name, f"preset {name}", preset=name) for name in ("quick", "best", "balanced")),
)
_RIVALS = (
    _rival(
        "mean-teacher-cutout",
        "mean teacher, Cutout",
        f"Tarvainen and Valpola, NeurIPS 2017; {_FRENCH}",
        _SQUARED
        | {"augment.cutouts": 1, "augment.cutout_size": 0.5, "augment.cutout_labels": False},
    ),
    _rival("cutmix", "mean teacher, CutMix", _FRENCH, _SQUARED | {"augment.cutmix": 1.0}),
    _rival(
        "classmix",
        "mean teacher, ClassMix",
        "Olsson et al., WACV 2021",
        {
            "augment.mix": "classes",
            "augment.cutmix": 1.0,
            "augment.operations": COLOURS,
            "augment.count": 3,
            "loss.gate": "batch",
            "loss.threshold": 0.968,
        },
    ),
    _rival(
        "vat",
        "virtual adversarial training",
        f"Miyato et al., TPAMI 2019; {_FRENCH}",
        _SQUARED | {"augment.adversarial": 1.0, "loss.consistency": 0.1},
    ),
    _rival(
        "ict",
        "interpolation consistency",
        f"Verma et al., IJCAI 2019; {_FRENCH}",
        _SQUARED | {"augment.mixup": 1.0},
    ),
    _rival("fixmatch", "FixMatch", "Sohn et al., NeurIPS 2020; Yang et al., CVPR 2023", _FIXMATCH),
    _rival(
        "unimatch",
        "UniMatch",
        "Yang et al., CVPR 2023",
        _FIXMATCH | {"augment.views": 2, "augment.feature_view": True},
    ),
    Method(
        "self-training",
        "plain pseudo-labels (ST)",
        "Yang et al., ST++, CVPR 2022",
        "rivals",
        {
            "augment.mixup": 0.0,
            "augment.adversarial": 0.0,
            "augment.views": 1,
            "augment.feature_view": False,
            "teacher.statistics": "student",
            "loss.pseudo_on": "segmenter",
            "loss.pseudo": 1.0,
            "loss.consistency": 0.0,
            "loss.distance": "hard",
            "stages.own_blocks": (0, 0),
            "stages.start_from": "pretrained",
            "stages.unlabelled_from": 2,
        },
        stages="1-2",
        budget="rest",
    ),
    Method(FOREST, "random forest on multi-scale features", "Breiman, 2001; ilastik", "rivals"),
)
_ABLATIONS = (
    _ablation("no-consistency", "without L_con", {"loss.consistency": 0.0}),
    _ablation("no-pseudo", "without L_pl", {"loss.pseudo": 0.0}),
    _ablation(
        "no-strong",
        "without strong perturbation",
        {"augment.count": 0, "augment.cutouts": 0, "augment.cutmix": 0.0},
    ),
    _ablation("wide-branch", "ĝ in stage 3 too", {"stages.own_blocks": (0, 2, 2)}),
    _ablation(
        "no-average",
        "the student is the teacher",
        {"teacher.enabled": False, "teacher.in_stage_1": False},
    ),
    _ablation("student-statistics", "the student's statistics", {"teacher.statistics": "student"}),
    _ablation("four-stages", "a fourth stage", {}, stages="1-4"),
)

METHODS: dict[str, Method] = {
    method.name: method for method in (*_BOUNDS, *_OWN, *_RIVALS, *_ABLATIONS)
}
"""All methods by name, in the order of the tables."""

DEFAULT = (SUPERVISED, CONTROL, FULL, "three-stage")


def choose_methods(names: Sequence[str], lambdas: Sequence[float] = ()) -> list[Method]:
    """Return methods in the order of the table.

    Parameters
    ----------
    names
        Names of methods or groups, or ``all``.
    lambdas
        Weights for which a method ``lambda-<weight>`` with λ1 = λ2 is added (figure 3).

    Raises
    ------
    ConfigError
        A name is unknown.
    """
    groups = {method.group for method in METHODS.values()}
    unknown = [name for name in names if name not in {"all", *groups, *METHODS}]
    if unknown:
        raise ConfigError(
            f"There is no method '{unknown[0]}'.",
            f"Choose among {', '.join(METHODS)}, or all of {', '.join(sorted(groups))} or all.",
        )
    wanted = {"all", *METHODS} if "all" in names else set(names)
    chosen = [one for one in METHODS.values() if {one.name, one.group} & wanted]
    return chosen + [weighted(weight) for weight in lambdas]


def weighted(weight: float) -> Method:
    """Return the three stages with λ1 = λ2 = `weight`."""
    settings = {"loss.consistency": weight, "loss.pseudo": weight}
    return Method(
        f"lambda-{weight:g}", f"λ1 = λ2 = {weight:g}", f"{_KE}, figure 3", "ablations", settings
    )
