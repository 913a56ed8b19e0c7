"""A small data set and projects made from it; the command as a fixture."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cli_helpers import MIXED, Child, Result, call, exit_code, make_project, write_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def threestage(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Call the command in this process."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = exit_code(arguments)
        shown = capsys.readouterr()
        return Result(code, shown.out, shown.err)

    return run


@pytest.fixture
def start_child() -> Iterator[Callable[..., Child]]:
    """Start ``python -m napari_threestage`` with these arguments; killed when the test ends."""
    children: list[Child] = []

    def start(*arguments: object) -> Child:
        command = [sys.executable, "-m", "napari_threestage", *map(str, arguments)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        children.append(Child(process))
        return children[-1]

    yield start
    for child in children:
        child.process.kill()
        child.process.communicate()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images, three of them with masks, and three pairs for the test."""
    folder = tmp_path_factory.mktemp("pictures")
    write_pairs(folder, range(8), labelled=3)
    write_pairs(folder / "test", range(100, 103), labelled=3)
    return folder


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A project with images and masks that no test may change."""
    return make_project(tmp_path_factory.mktemp("imported") / "project", pictures)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, imported: Path) -> Path:
    """A project with a finished run that no test may change."""
    path = shutil.copytree(imported, tmp_path_factory.mktemp("trained") / "project")
    result = call("run", path, *MIXED)
    assert result.code == 0, result.err
    return path


@pytest.fixture
def project(tmp_path: Path, imported: Path) -> Path:
    """A project with images and masks, for this test alone."""
    return shutil.copytree(imported, tmp_path / "project")


@pytest.fixture
def finished(tmp_path: Path, trained: Path) -> Path:
    """A project with a finished run, for this test alone."""
    return shutil.copytree(trained, tmp_path / "finished")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Two workers in threads of this process."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address
