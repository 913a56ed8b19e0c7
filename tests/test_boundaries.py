"""What a module drags in, and what napari finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import napari_threestage

CORE = [
    "errors",
    "config",
    "presets",
    "events",
    "locks",
    "files",
    "ome_metadata",
    "store",
    "project_file",
    "project",
    "runs",
    "planes",
    "compare",
    "check",
    "stages",
    "ingest",
    "sample",
    "panels",
    "jobs",
    "cli",
]
SCRIPT = """
import importlib, json, sys
found = {}
for name in sys.argv[1:]:
    importlib.import_module(f"napari_threestage.{name}")
    heavy = {"torch", "qtpy", "PyQt6", "PySide6", "napari"} & set(sys.modules)
    found[name] = sorted(heavy)
print(json.dumps(found))
"""


def test_the_core_leaves_torch_qt_and_napari_alone() -> None:
    command = [sys.executable, "-c", SCRIPT, *CORE]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(child.stdout) == {name: [] for name in CORE}


def test_napari_finds_the_manifest_of_this_version() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-threestage")
    assert manifest.name == "napari-threestage"
    assert manifest.display_name == "Three-Stage Self-Training"
    assert manifest.package_version == napari_threestage.__version__ != "0.0.0"


def test_the_manifest_at_the_root_is_that_of_the_package() -> None:
    package = Path(napari_threestage.__file__).parent
    root = Path(__file__).parents[1] / "napari.yaml"
    assert root.is_symlink() and root.resolve() == (package / "napari.yaml").resolve()
