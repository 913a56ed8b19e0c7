"""One trained project, and one file of each format made from it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from export_helpers import export, make_project

from napari_threestage.export import onnx_file
from napari_threestage.export.formats import SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.export.material import Material


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run that no test may change."""
    return make_project(tmp_path_factory.mktemp("trained") / "cells")


@pytest.fixture
def trained_project(trained_once: Path, tmp_path: Path) -> Path:
    """A project with a finished run, for this test alone."""
    return shutil.copytree(trained_once, tmp_path / "cells")


@pytest.fixture(scope="session")
def exported(
    trained_once: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What ``export --json`` said, by format, of one project."""
    folder = tmp_path_factory.mktemp("exported")
    path = shutil.copytree(trained_once, folder / "cells")
    said = ("--author", "A. Person", "--author", "Ö. Other", "--licence", "CC-BY-4.0")
    said += ("--name", "Cells / µ", "--cite", "Other, “More”, 2026. https://example.org/more.")
    documents = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.getaddrinfo", nobody_is_asked)
        for format_ in SUFFIXES:
            # What was said once is remembered.
            result = export(path, format_, folder / "made", *said)
            documents[format_], said = result.document, ()
    return documents


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the network out of packages where only what is around it is looked at."""

    def write(material: Material, path: Path) -> int:
        path.write_bytes(b"no network")
        return 18

    monkeypatch.setattr(onnx_file, "write", write)


def nobody_is_asked(host: object, *_: object, **__: object) -> None:
    raise AssertionError(f"{host} was asked")
