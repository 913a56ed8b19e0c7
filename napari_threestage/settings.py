"""The settings of `config.Config` one by one: what each may be, what differs, what is wrong.

A form made from this list knows every setting there is, and what it sends is what a person could
type: ``--set name=value``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from napari_threestage.config import Config, Section, load_config, parse_setting
from napari_threestage.errors import ConfigError
from napari_threestage.presets import settings_for_share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

Kind = Literal["bool", "choice", "int", "float", "text", "json"]

PRESET_PURPOSES = {
    "quick": "For a first result within minutes, on a CPU too; small images, few of them labelled.",
    "best": "As quick, but masks are means over eight mirror images: a bit better, slower to make.",
    "balanced": "Better masks in an hour or so on a GPU: a larger network and more steps.",
    "paper-voc": "The published recipe for photographs with few labelled images; days on a GPU.",
    "paper-cityscapes": "The published recipe for large street scenes; days on a GPU.",
}


@dataclass(frozen=True)
class Setting:
    """What a setting may be.

    Attributes
    ----------
    name
        Dotted name, as ``--set`` takes it.
    section
        The group it belongs to; empty for what stands at the top.
    kind
        How it is asked for; ``json`` is everything with several values.
    low, high
        Smallest and largest number, None without such a limit.
    low_open, high_open
        Whether the limit itself is excluded.
    """

    name: str
    section: str
    kind: Kind
    description: str
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    @property
    def label(self) -> str:
        """The name within its section, as people read it."""
        return self.name.rsplit(".", 1)[-1].replace("_", " ")


@dataclass(frozen=True)
class RunChoices:
    """What a person chose for a run, as ``threestage run`` takes it; no `steps`: the preset's."""

    preset: str = "quick"
    device: str = "auto"
    stages: str = "1-3"
    steps: int = 0
    seed: int = 0
    changes: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """Return what a person would type after ``threestage run PROJECT``."""
        arguments = ["--preset", self.preset, "--device", self.device]
        arguments += ["--stages", self.stages, "--seed", str(self.seed)]
        arguments += ["--steps", str(self.steps)] if self.steps else []
        return arguments + [part for change in self.changes for part in ("--set", change)]

    def config(self, labelled_share: float = 0.0) -> Config:
        """Return the recipe that the run would have.

        Raises
        ------
        ConfigError
            A value does not fit.
        """
        values = settings_for_share(self.preset, labelled_share)
        values |= dict(parse_setting(text) for text in self.changes)
        if self.steps:
            values["stages.steps"] = [self.steps]
        return load_config(self.preset, values)


def device_choices(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the devices to choose from, as ``--device`` takes them and as people read them.

    Parameters
    ----------
    found
        What ``threestage doctor --json`` prints.
    """
    devices = {one["id"]: one for one in found.get("devices", [])}
    default = found.get("default_device")
    auto = f"auto ({_device_name(devices[default])})" if default in devices else "auto"
    return [("auto", auto)] + [
        (name, _device_name(one) if name == "cpu" else f"{name}: {_device_name(one)}")
        for name, one in devices.items()
    ]


def device_kind(device: str, found: Mapping[str, Any]) -> str:
    """Return ``cpu``, ``cuda`` or ``mps`` for a device, ``auto`` included."""
    name = found.get("default_device", "cpu") if device == "auto" else device
    return str(name).split(":")[0]


def device_memory(device: str, found: Mapping[str, Any]) -> int | None:
    """Return the bytes of memory of a device, ``auto`` included; None if it is not known."""
    name = found.get("default_device") if device == "auto" else device
    known = {one["id"]: one.get("memory") for one in found.get("devices", [])}
    return known.get("cuda:0" if name == "cuda" else name)


def _device_name(device: Mapping[str, Any]) -> str:
    if device["id"] == "cpu":
        cores = device.get("cores") or 1
        return f"CPU, {cores} core{'' if cores == 1 else 's'}"
    memory = device.get("memory")
    size = f", {memory / 2**30:.0f} GB" if memory else ""
    return f"{device.get('name') or device['id']}{size}"


@cache
def all_settings() -> tuple[Setting, ...]:
    """Return every setting but the preset, sections in order, those at the top last."""
    nested, top = [], []
    for name, field in Config.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, Section):
            for leaf, inner in model.model_fields.items():
                nested.append(_setting(f"{name}.{leaf}", name, inner))
        elif name != "preset":
            top.append(_setting(name, "", field))
    return (*nested, *top)


def section_title(section: str) -> str:
    """Return the first sentence of what is said of a section."""
    if not section:
        return "Everything else."
    model: Any = Config.model_fields[section].annotation
    return (model.__doc__ or section).strip().splitlines()[0]


def preset_values(preset: str, labelled_share: float = 0.0) -> dict[str, Any]:
    """Return the value of every setting, by dotted name, in a preset.

    Parameters
    ----------
    labelled_share
        Share of labelled images; some presets depend on it.
    """
    config = load_config(preset, settings_for_share(preset, labelled_share))
    return flat_values(config)


def flat_values(config: Config) -> dict[str, Any]:
    """Return the value of every setting by dotted name."""
    values = {}
    for setting in all_settings():
        value: Any = config
        for part in setting.name.split("."):
            value = getattr(value, part)
        values[setting.name] = value
    return values


def changed_settings(
    preset: str, values: Mapping[str, Any], labelled_share: float = 0.0
) -> list[str]:
    """Return ``name=value`` for each value that differs from the preset's."""
    before = preset_values(preset, labelled_share)
    return [
        f"{name}={value_text(value)}"
        for name, value in values.items()
        if name not in before or as_json(value) != as_json(before[name])
    ]


def setting_problems(preset: str, changes: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with changed settings, by their names."""
    problems: dict[str, str] = {}
    left = dict(changes)
    while left:
        try:
            load_config(preset, left)
        except ConfigError as error:
            name = _culprit(error.message, left)
            problems[name] = str(error)
            del left[name]
        else:
            break
    return problems


def value_text(value: Any) -> str:
    """Return a value as ``--set`` takes it: JSON, or a string that can be read as nothing else."""
    if isinstance(value, str) and parse_setting(f"name={value}")[1] == value:
        return value
    return json.dumps(as_json(value), ensure_ascii=False)


def parse_value(text: str) -> Any:
    """Read what `value_text` wrote, or what a person typed."""
    return parse_setting(f"name={text.strip()}")[1]


def as_json(value: Any) -> Any:
    """Return a value as JSON has it, so that equal settings compare equal."""
    if isinstance(value, (list, tuple)):
        return [as_json(entry) for entry in value]
    return value.model_dump(mode="json") if isinstance(value, Section) else value


def _culprit(message: str, changes: Mapping[str, Any]) -> str:
    for name in sorted(changes, key=len, reverse=True):
        if f"'{name}'" in message or f"'{name}." in message:
            return name
    for name in changes:  # a check that names a neighbour of what was changed
        if "." in name and f"'{name.split('.')[0]}." in message:
            return name
    return next(iter(changes))


def _setting(name: str, section: str, field: FieldInfo) -> Setting:
    limits = {}
    metadata = [*field.metadata, *getattr(field.annotation, "__metadata__", ())]
    for entry in metadata:
        for attribute, key in (("ge", "low"), ("gt", "low"), ("le", "high"), ("lt", "high")):
            limit = getattr(entry, attribute, None)
            if limit is not None:
                limits[key] = float(limit)
                limits[f"{key}_open"] = attribute in ("gt", "lt")
    kind, choices = _kind(field.annotation)
    return Setting(name, section, kind, field.description or "", choices, **limits)  # type: ignore[arg-type]


def _kind(annotation: Any) -> tuple[Kind, tuple[Any, ...]]:
    plain: dict[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}
    if annotation in plain:
        return plain[annotation], ()
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    return "json", ()
