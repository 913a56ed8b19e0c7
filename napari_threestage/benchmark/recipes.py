"""From a method to the whole recipe that it is trained with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_threestage.benchmark.methods import PAPER_STYLE
from napari_threestage.config import OperatorConfig, for_stage, load_config
from napari_threestage.presets import settings_for_share
from napari_threestage.stages import stage_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_threestage.benchmark.methods import Method
    from napari_threestage.config import Config


def resolve(
    method: Method, preset: str, changes: Mapping[str, Any], labelled_share: float
) -> tuple[str, dict[str, Any], Config]:
    """Return the preset, the settings and with them the whole recipe of a method.

    Parameters
    ----------
    preset, changes
        The benchmark's preset and its changed settings, which the method's own go on top of.
    labelled_share
        Share of the images with labels, which the presets of the paper depend on.

    Raises
    ------
    ConfigError
        A setting is unknown or does not fit.
    """
    name = method.preset or preset
    shared = settings_for_share(name, labelled_share) | _fitting(name, preset, changes)
    base = load_config(name, shared)
    settings = {**shared, **_labelled_crops(method, base), **method.settings}
    settings |= _steps(method, base)
    return name, settings, load_config(name, settings)


def _fitting(name: str, preset: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes that fit a preset: a file of weights is of one backbone alone."""
    if name == preset:
        return dict(changes)
    backbone = load_config(preset, dict(changes)).network.backbone
    if load_config(name).network.backbone == backbone:
        return dict(changes)
    return {key: value for key, value in changes.items() if not key.startswith("network.")}


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
