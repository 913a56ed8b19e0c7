"""What a module drags in, and what napari finds."""

from __future__ import annotations

import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_threestage
from napari_threestage.presets import PRESETS
from napari_threestage.sample_sets import SAMPLES
from napari_threestage.widgets.options import Options

ROOT = Path(__file__).parents[1]
PACKAGE = Path(napari_threestage.__file__).parent
# These may load torch, Qt or napari. `cli` may too, but not before it is used.
FREE = {"training", "inference", "widgets", "__main__"}
CORE = sorted({module.name for module in pkgutil.iter_modules([str(PACKAGE)])} - FREE)
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
    assert {"cli", "ingest", "journal", "project", "run_view", "truth_editor"} <= set(CORE)
    command = [sys.executable, "-c", SCRIPT, *CORE]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(child.stdout) == {name: [] for name in CORE}


def test_every_module_has_a_level_and_every_dependency_a_reason() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    [layers] = [one["layers"] for one in contracts if one["id"] == "layers"]
    levelled = set(re.findall(r"napari_threestage\.(\w+)", " ".join(layers)))
    modules = {module.name for module in pkgutil.iter_modules([str(PACKAGE)])}
    assert levelled == modules - {"__main__"}

    text = (ROOT / "CONTRIBUTING.md").read_text()
    explained = set(re.findall(r"^\| ([\w-]+) \|", text, re.MULTILINE))
    depended = {re.split(r"[^\w-]", one)[0] for one in settings["project"]["dependencies"]}
    assert depended <= explained


@pytest.fixture
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-threestage")


def test_napari_finds_the_manifest_of_this_version(manifest: PluginManifest) -> None:
    assert manifest.name == "napari-threestage"
    assert manifest.display_name == "Three-Stage Self-Training"
    assert manifest.package_version == napari_threestage.__version__ != "0.0.0"


def test_every_command_of_the_manifest_is_used(manifest: PluginManifest) -> None:
    offered = manifest.contributions
    used = [one.command for one in offered.readers or ()]
    used += [one.command for one in offered.widgets or ()]
    used += [one.command for one in offered.sample_data or ()]
    commands = [one.id for one in offered.commands or ()]
    assert sorted(used) == sorted(commands)
    in_menus = {item.command for items in offered.menus.values() for item in items}
    assert in_menus == {"napari-threestage.open_dock"}


def test_napari_offers_every_sample_and_says_which_ones_are_downloaded(
    manifest: PluginManifest,
) -> None:
    titles = {one.key: one.display_name for one in manifest.contributions.sample_data or ()}
    assert set(titles) == set(SAMPLES)
    for name, sample in SAMPLES.items():
        assert ("offline" if sample.remote is None else "download") in titles[name]


def test_the_preferences_begin_with_the_defaults_of_the_dock(manifest: PluginManifest) -> None:
    [page] = (manifest.contributions.configurations or {}).values()
    assert {name: entry.default for name, entry in page.properties.items()} == asdict(Options())
    assert set(page.properties["preset"].enum or ()) == set(PRESETS)


def test_the_manifest_at_the_root_is_that_of_the_package() -> None:
    link = ROOT / "napari.yaml"
    assert link.is_symlink() and link.resolve() == (PACKAGE / "napari.yaml").resolve()
