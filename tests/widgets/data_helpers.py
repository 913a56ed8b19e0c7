"""Sessions without a window, and small projects, for tests of single widgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari_helpers import make_project as make_project  # with labels on some images

from napari_threestage.project import Project, default_classes
from napari_threestage.store import ImageArray
from napari_threestage.widgets.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def at_once(
    work: Callable[[], Any],
    done: Callable[[Any], None] = lambda result: None,
    failed: Callable[[Exception], None] | None = None,
) -> None:
    """Run what would be run in the background."""
    try:
        result = work()
    except Exception as error:
        if failed is None:
            raise
        failed(error)
    else:
        done(result)


class Listener:
    """Notes what a session says."""

    def __init__(self, session: Session) -> None:
        self.messages: list[tuple[str, str]] = []
        session.said.connect(self.hear)

    def hear(self, level: str, text: str, hint: str) -> None:
        self.messages.append((level, f"{text} {hint}".strip()))

    @property
    def last(self) -> str:
        return self.messages[-1][1] if self.messages else ""


def new_session(path: Path | None = None) -> Session:
    session = Session(background=at_once)
    if path is not None:
        assert session.open(path)
    return session


def many_images(path: Path, count: int) -> Project:
    """A project that lists images whose files nobody has made."""
    project = Project.create(path, default_classes(["background", "cell"]))
    first, _ = project.add_image("first", ImageArray(np.zeros((1, 8, 8), np.uint8), "cyx"))
    for number in range(count - 1):
        made = first.model_copy(update={"id": f"image-{number:05d}", "name": f"image {number}"})
        project._file.images[made.id] = made
    project.save()
    return project


def paint(session: Session, where: Any, value: int) -> None:
    """Paint into the image that is shown."""
    assert session.content is not None
    session.content.editor.truth[where] = value
    session.commit("painted")
