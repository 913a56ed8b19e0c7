"""Everything a person may set for a run, checked once and frozen.

`sections` holds the groups of settings; `presets` holds complete recipes as differences from their
defaults.  A run writes its configuration to ``config.json``.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, model_validator

from napari_threestage.errors import ConfigError
from napari_threestage.presets import PRESETS
from napari_threestage.sections import (
    PAPER_OPERATIONS,
    AugmentConfig,
    DataConfig,
    InferenceConfig,
    LiveConfig,
    LossConfig,
    NetworkConfig,
    OperatorConfig,
    OptimiserConfig,
    Section,
    StagesConfig,
    TeacherConfig,
    for_stage,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "PAPER_OPERATIONS",
    "AugmentConfig",
    "Config",
    "DataConfig",
    "InferenceConfig",
    "LiveConfig",
    "LossConfig",
    "NetworkConfig",
    "OperatorConfig",
    "OptimiserConfig",
    "Section",
    "StagesConfig",
    "TeacherConfig",
    "for_stage",
    "load_config",
    "parse_setting",
    "read_config",
]


class Config(Section):
    """A whole recipe."""

    preset: str = "quick"
    network: NetworkConfig = NetworkConfig()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    teacher: TeacherConfig = TeacherConfig()
    stages: StagesConfig = StagesConfig()
    inference: InferenceConfig = InferenceConfig()
    live: LiveConfig = LiveConfig()
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: half precision on a GPU, float32 elsewhere"
    )
    compile: bool = Field(False, description="let torch.compile make kernels of its own")
    cuda_graphs: bool = Field(
        True, description="replay the networks' passes on a single GPU as CUDA graphs"
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0 = all cores but one")
    checkpoint_seconds: float = Field(60.0, gt=0)
    progress_seconds: float = Field(1.0, ge=0)

    @model_validator(mode="after")
    def _blends_have_no_class(self) -> Config:
        if self.augment.mixup and (self.loss.distance == "hard" or self.loss.pseudo):
            raise ValueError(
                "'augment.mixup' blends labels, which only a 'loss.distance' of soft or squared "
                "can take, and 'loss.pseudo' of 0"
            )
        return self

    @model_validator(mode="after")
    def _crops_have_pixels(self) -> Config:
        height, width = self.data.crop
        if min(height, width) * self.network.zoom < 1:
            raise ValueError(
                f"nothing is left of a 'data.crop' of {height} x {width} pixels at a "
                f"'network.zoom' of {self.network.zoom:g}; use larger ones"
            )
        return self

    @model_validator(mode="after")
    def _the_weak_view_is_weak(self) -> Config:
        if self.augment.adversarial and self.augment.feature_view:
            raise ValueError("'augment.adversarial' and 'augment.feature_view'")
        return self


def load_config(preset: str = "quick", changes: dict[str, Any] | None = None) -> Config:
    """Return a preset with some settings changed.

    Parameters
    ----------
    preset
        Name of an entry of `presets.PRESETS`.
    changes
        Dotted names and values, e.g. ``{"loss.consistency": 0.25}``.

    Raises
    ------
    ConfigError
        The preset or a setting is unknown, or a value does not fit.
    """
    if preset not in PRESETS:
        raise ConfigError(f"There is no preset '{preset}'.", f"Choose one of {', '.join(PRESETS)}.")
    tree: dict[str, Any] = {"preset": preset, **deepcopy(PRESETS[preset])}
    for name, value in (changes or {}).items():
        *sections, leaf = name.split(".")
        node = tree
        for section in sections:
            if node.get(section) is None:
                node[section] = {}
            node = node[section]
            if not isinstance(node, dict):
                raise ConfigError(f"'{name}' is no setting: '{section}' has no parts.")
        node[leaf] = value
    return _validate(tree)


def parse_setting(text: str) -> tuple[str, Any]:
    """Split ``key=value``; the value is JSON where it can be read as such, else a string."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ConfigError(f"'{text}' is no setting.", "Write --set name=value.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def read_config(path: Path) -> Config:
    """Read the ``config.json`` of a run."""
    return _validate(json.loads(path.read_text()))


def _validate(tree: dict[str, Any]) -> Config:
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"There is no setting '{name}'.", _known_settings(name)) from error
        reason = first["msg"].removeprefix("Value error, ")
        if not name:
            raise ConfigError(f"These settings do not go together: {reason}.") from error
        raise ConfigError(
            f"Setting '{name}' cannot be {first.get('input')!r}: {reason}."
        ) from error


def _known_settings(name: str) -> str:
    section = name.split(".")[0]
    field = Config.model_fields.get(section)
    model = field.annotation if field else None
    if isinstance(model, type) and issubclass(model, Section):
        return f"'{section}' has {', '.join(model.model_fields)}."
    return f"Known are {', '.join(Config.model_fields)}."
