"""The formats by name; no format's own packages are needed to know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_threestage.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = {"safetensors": ".safetensors", "pt2": ".pt2", "onnx": ".onnx", "bioimageio": ".zip"}


def with_suffix(path: Path, name: str) -> Path:
    """Return the path of a file of this format, with the format's suffix where it has none of ours.

    Raises
    ------
    ConfigError
        The suffix belongs to another format.
    """
    suffix, given = SUFFIXES[name], path.suffix.lower()
    if given == suffix:
        return path
    others = {own: format_ for format_, own in SUFFIXES.items()}
    if given in others:
        raise ConfigError(
            f"{path.name} has the suffix of the format {others[given]}, not of {name}.",
            f"Give --output {path.with_suffix(suffix)}, or --format {others[given]}.",
        )
    return path.with_name(path.name + suffix)
