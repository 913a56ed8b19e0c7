"""Small projects and images that several tests share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_threestage.project import Project
from napari_threestage.project_file import ImageRecord, default_classes
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = Path(__file__).parent
WINDOW = TESTS / "widgets"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Tests of the window share no process with those that load torch: it would crash."""
    expression = config.getoption("markexpr")
    window_only = "gui" in expression and "not gui" not in expression
    elsewhere = collection_path != WINDOW and WINDOW not in collection_path.parents
    return True if window_only and elsewhere and collection_path.parent != TESTS.parent else None


@pytest.fixture
def small_project(tmp_path: Path) -> Project:
    """An empty project of the classes background and nucleus."""
    return Project.create(tmp_path / "project", default_classes(["background", "nucleus"]))


@pytest.fixture
def add_image(small_project: Project) -> Callable[..., ImageRecord]:
    """Add a random image to `small_project`, with ground truth where `truth` is given."""

    def add(
        name: str,
        truth: np.ndarray | None = None,
        shape: tuple[int, ...] = (1, 64, 64),
        axes: str = "cyx",
        **options: object,
    ) -> ImageRecord:
        pixels = np.random.default_rng(sum(name.encode())).integers(0, 256, shape, np.uint8)
        record, _ = small_project.add_image(name, ImageArray(pixels, axes), **options)  # type: ignore[arg-type]
        if truth is not None:
            small_project.write_ground_truth(record.id, truth, "imported")
        small_project.save()
        return record

    return add
