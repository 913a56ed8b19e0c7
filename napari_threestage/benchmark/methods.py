"""The methods that are compared, as data: each is a recipe as differences from a preset.

All share network, crops, batches, optimiser, steps and the perturbation of labelled crops with the
preset, so that they differ in what they do with unlabelled images alone.  Weights and thresholds of
the rivals are those of their own code for segmentation, where it has them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from napari_threestage.config import PAPER_OPERATIONS, OperatorConfig, for_stage, load_config
from napari_threestage.errors import ConfigError
from napari_threestage.presets import PRESETS
from napari_threestage.stages import stage_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_threestage.config import Config

FOREST = "forest"
PAPER_STYLE = "paper-style"
SUPERVISED, CONTROL, FULL = "supervised", "supervised-long", "full"
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


def _bound(name: str, title: str, **more: Any) -> Method:
    settings = {"stages.unlabelled_from": 2}
    return Method(name, title, "", "bounds", settings, stages="1", **more)


def _own(name: str, title: str, **more: Any) -> Method:
    return Method(name, title, _KE, "own", **more)


# What a rival has not unless it says so: nothing changes the crops but the flips and zooms that all
# have.
_PLAIN = {
    "stages.unlabelled_from": 1,
    "augment.count": 0,
    "augment.cutouts": 0,
    "augment.cutmix": 0.0,
    "augment.mix": "box",
    "augment.mixup": 0.0,
    "augment.adversarial": 0.0,
    "augment.views": 1,
    "augment.feature_view": False,
    "teacher.enabled": True,
    "loss.consistency": 1.0,
    "loss.pseudo": 0.0,
    "loss.distance": "hard",
    "loss.gate": "pixel",
}
# French et al. compare perturbations by the squared difference of probabilities, and count all
# pixels by the share of those that the teacher is sure of.
_SQUARED = {"loss.distance": "squared", "loss.gate": "batch", "loss.threshold": 0.97}
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
    _bound(SUPERVISED, "labels alone, steps of stage 1"),
    _bound(CONTROL, "labels alone, steps of all stages", budget="whole"),
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
}
_OWN = (
    _own("three-stage", "the three stages, as the preset has them"),
    _own(PAPER_STYLE, "the paper's losses and operator", settings=_PAPER_STYLE),
    *(
        _own(name, f"preset {name}", preset=name)
        for name in ("quick", "balanced", "best")
        if name in PRESETS
    ),
)
_RIVALS = (
    _rival(
        "mean-teacher-cutout",
        "mean teacher, Cutout",
        f"Tarvainen and Valpola, NeurIPS 2017; {_FRENCH}",
        _SQUARED | {"augment.cutouts": 1, "augment.cutout_size": 0.5},
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
        _SQUARED | {"augment.mixup": 1.0, "loss.consistency": 0.01},
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
            "loss.pseudo_on": "segmenter",
            "loss.pseudo": 1.0,
            "loss.consistency": 0.0,
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


def resolve(
    method: Method, preset: str, changes: Mapping[str, Any]
) -> tuple[str, dict[str, Any], Config]:
    """Return the preset, the settings and with them the whole recipe of a method.

    Parameters
    ----------
    preset, changes
        The benchmark's preset and its changed settings, which the method's own go on top of.

    Raises
    ------
    ConfigError
        A setting is unknown or does not fit.
    """
    name = method.preset or preset
    base = load_config(name, dict(changes))
    settings = {**changes, **_labelled_crops(method, base), **method.settings}
    settings |= _steps(method, base)
    return name, settings, load_config(name, settings)


def to_arguments(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as arguments of ``run``, which reads each value as JSON."""
    return [
        part
        for name, value in settings.items()
        for part in ("--set", f"{name}={json.dumps(value)}")
    ]


def _labelled_crops(method: Method, base: Config) -> dict[str, Any]:
    """Let labelled crops be perturbed as in the preset where a method changes A for the others.

    Without that, every method whose A is only a mixture of crops would learn from plain labels,
    which alone costs stage 1 many points.
    """
    operator = {f"augment.{name}": name for name in OperatorConfig.model_fields}
    if method.name == PAPER_STYLE or not operator.keys() & method.settings.keys():
        return {}
    own = base.augment.labelled_with or base.augment
    values = own.model_dump(mode="json", include=set(operator.values()))
    return {"augment.labelled_with": values}


def _steps(method: Method, base: Config) -> dict[str, Any]:
    """Return how long the stages are where the recipe's own lengths do not count."""
    total, first = sum(spec.steps for spec in stage_table(base)), for_stage(base.stages.steps, 1)
    if method.budget == "whole":
        return {"stages.steps": (total,)}
    return {"stages.steps": (first, total - first)} if method.budget == "rest" else {}
