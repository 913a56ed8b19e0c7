"""Which image is shown: read apart from the event loop, with its neighbours read ahead; no Qt."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_threestage.errors import ProjectError
from napari_threestage.widgets.content import load_content, read_both, take_masks

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.project import Project
    from napari_threestage.widgets.content import BothMasks, ImageContent
    from napari_threestage.widgets.session import Session

SAVE_SECONDS = 20.0  # until an image is not shown because its last labels cannot be written
STROKE_SECONDS = 0.05  # between two looks whether a stroke has ended


class ImageTurner:
    """Turns from one image of the session's project to the next.

    Parameters
    ----------
    loader
        Runs its first argument off the event loop and calls the second with the result.
    """

    def __init__(self, session: Session, loader: Callable[..., None]) -> None:
        self._session, self._loader = session, loader
        self._wanted = ""
        self.unshown = ""  # the image that was asked for last, when it could not be read

    @property
    def wanted(self) -> str:
        """The image that was asked for last; it may still be read."""
        return self._wanted

    def forget(self) -> None:
        """Show no image any more."""
        self._wanted = self.unshown = ""

    def show(self, image_id: str) -> None:
        """Show an image, with its labels and masks."""
        if self._session.project is None or image_id not in self._session.project.images:
            return
        self._session.fold()
        self._wanted, self.unshown = image_id, ""
        project, run, writable = (
            self._session.project,
            self._session.runs.run,
            self._session.writable,
        )
        second = self._session.second.run
        cache, autosave, strokes = (
            self._session.cache,
            self._session.autosave,
            self._session.strokes,
        )

        def load() -> ImageContent:
            if autosave is not None and not autosave.wait(SAVE_SECONDS, image_id):
                raise ProjectError(
                    f"{image_id} cannot be shown: its last labels are not written yet.",
                    "They are kept; make room on the disk and choose the image again.",
                )
            return load_content(project, image_id, run, cache, writable, second)

        def failed(error: Exception) -> None:
            if self._session.project is project and self._wanted == image_id:
                self.unshown = image_id
            self._session.fail(error)

        self._loader(load, lambda content: self._loaded(content, project, strokes), failed)

    def refresh(self) -> None:
        """Show the present image anew, as far as needed: what was painted can still be undone."""
        content, project = self._session.content, self._session.project
        if content is None or project is None or content.record.id != self._wanted:
            self.show(self._wanted)
        elif content.editor.adopt(project.class_table):
            self._read_masks(content)
        else:
            self.show(self._wanted)

    def _read_masks(self, content: ImageContent) -> None:
        """Read the masks of the runs that are looked at now, over the same image."""
        project, run = self._session.project, self._session.runs.run
        second = self._session.second.run

        def show(found: BothMasks) -> None:
            same = self._session.runs.run is run and self._session.second.run is second
            if self._session.content is content and same:
                take_masks(content, found)
                self._session.masks_read.emit(content)
                for problem in content.problems:
                    self._session.fail(problem)

        image_id = content.record.id
        self._loader(lambda: read_both(project, run, second, image_id), show, self._session.fail)

    def _runs_wanted(self) -> tuple[str, str]:
        """Return the ids of the runs whose masks are looked at; none is its own second one."""
        run, second = self._session.runs.run, self._session.second.run
        first = "" if run is None else run.id
        return first, "" if second is None or second.id == first else second.id

    def _loaded(self, content: ImageContent, project: Project, strokes: int) -> None:
        # Meanwhile another image may have been asked for, or another project opened.
        if self._session.project is not project or content.record.id != self._wanted:
            return
        if self._session.in_hand():  # the rest of the stroke would end on the other image
            again = lambda result: self._loaded(content, project, strokes)  # noqa: E731
            self._loader(lambda: time.sleep(STROKE_SECONDS), again)
            return
        self._session.fold()
        painted = self._session.image_id == content.record.id and self._session.strokes != strokes
        if painted or content.editor.ids.tolist() != project.class_table.ids.tolist():
            self.show(content.record.id)  # painted on, or classes changed, while it was read
            return
        self._session.content = content
        for problem in content.problems:
            self._session.fail(problem)
        self._session.image_shown.emit(content)
        if (content.run, content.second_run) != self._runs_wanted():  # others were chosen meanwhile
            self._read_masks(content)
        self._prefetch()

    def _prefetch(self) -> None:
        """Read the pixels of the neighbours, which a person will want next."""
        project, cache, wanted = self._session.project, self._session.cache, self._wanted
        neighbours = [self._neighbour(step) for step in (1, -1)]

        def read() -> None:
            for image_id in neighbours:
                if project is not None and image_id and self._wanted == wanted:
                    cache.get(project, image_id)

        self._session.background(read, lambda result: None, lambda error: None)

    def step(self, by: int) -> None:
        """Show the next (1) or the previous (-1) image of the list."""
        image_id = self._neighbour(by)
        if image_id:
            self.show(image_id)

    def _neighbour(self, by: int) -> str:
        order = list(self._session.order)
        if not order:
            return ""
        wanted = self._wanted or self._session.image_id
        if wanted not in order:
            return order[0]
        place = order.index(wanted) + by
        return order[place] if 0 <= place < len(order) else ""
