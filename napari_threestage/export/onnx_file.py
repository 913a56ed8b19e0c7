"""ONNX in one file, with the description among its metadata."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch

from napari_threestage.export.network import exported_program, not_exportable
from napari_threestage.extra import missing_package
from napari_threestage.segmenter_info import KEY

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.export.material import Material

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_packages() -> None:
    """Raise `NotReadyError` where a package is missing, before any work is done."""
    for name in PACKAGES:
        try:
            __import__(name)
        except ImportError as error:
            raise missing_package(name, "onnx") from error


def write(material: Material, path: Path) -> int:
    """Write the network, and return the version of the operators it is made of."""
    require_packages()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        made = _translated(material)
        made.model.metadata_props[KEY] = material.segmenter.info.to_json()
        made.save(path, external_data=False)
    return int(made.model.opset_imports[""])


def _translated(material: Material) -> Any:
    program = exported_program(material)
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["probabilities"]}
    try:
        return torch.onnx.export(program, dynamo=True, verbose=False, **names)
    except RuntimeError as error:
        raise not_exportable(material, error) from error
