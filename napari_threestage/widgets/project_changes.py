"""Changes of ``project.json`` that a person makes with a click."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_threestage.errors import ThreeStageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.project import Project
    from napari_threestage.widgets.session import Session


def change_project(session: Session, change: Callable[[Project], None]) -> bool:
    """Change the open project and save it; false, and all is as before, when that fails."""
    project = session.project
    if project is None or not session.writable:
        return False
    try:
        change(project)
        project.save()
    except ThreeStageError as error:
        project.reload()
        session.fail(error)
        return False
    session.images_changed.emit()
    return True
