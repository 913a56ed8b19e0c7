"""What the parts of the dock share: the open project, the image, its labels, the run; no Qt.

Every method returns at once.  What takes longer happens in the background, and the signals tell.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_threestage.errors import BusyError, ProjectError, ThreeStageError
from napari_threestage.image_state import image_state, read_reviewed, set_reviewed
from napari_threestage.project import Project
from napari_threestage.widgets.autosave import Autosave
from napari_threestage.widgets.class_history import ClassHistory
from napari_threestage.widgets.content import PixelCache
from napari_threestage.widgets.following import RunFollower
from napari_threestage.widgets.second_run import SecondRun
from napari_threestage.widgets.turning import ImageTurner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

    from napari_threestage.image_state import ImageState
    from napari_threestage.widgets.content import ImageContent

READ_ONLY = (
    "You can look at everything here. To change something, close it there and open the project "
    "here again."
)
SAVE_SECONDS = 20.0  # to wait for labels, until a person is asked or told


class Session:
    """The state of the dock.

    Parameters
    ----------
    background
        Runs its first argument off the event loop and calls the second with the result; see
        `background.Background`.
    loader
        Another one for what is to be shown, so that this need not wait for other work.
    """

    project_changed = Signal()
    images_changed = Signal()
    image_shown = Signal(object)  # ImageContent, or None when there is none any more
    masks_read = Signal(object)  # ImageContent, of the same image, with other masks
    counts_changed = Signal(str)  # ground truth or review mark of an image
    classes_changed = Signal()
    class_picked = Signal(int)
    save_state_changed = Signal(str)
    said = Signal(str, str, str)  # level (error, warning, info), sentence, hint

    def __init__(
        self, background: Callable[..., None], loader: Callable[..., None] | None = None
    ) -> None:
        self.background = background
        self._turner = ImageTurner(self, loader or background)
        self.project: Project | None = None
        self.read_only = ""
        self.content: ImageContent | None = None
        self.picked_class = 1
        self.order: Sequence[str] = ()  # of the image list, for next and previous
        self.reviewed: dict[str, float] = {}
        self.cache = PixelCache()
        self.autosave: Autosave | None = None
        self.runs = RunFollower(self)
        self.second = SecondRun(self)
        self.classes = ClassHistory(self)
        self._held = ExitStack()
        self.in_hand: Callable[[], bool] = lambda: False  # whether a stroke is being drawn
        self.strokes = 0  # since the session began
        self._save_state = ""

    # --- messages -----------------------------------------------------------------------------

    def say(self, text: str, hint: str = "", level: str = "info") -> None:
        """Show a sentence."""
        self.said.emit(level, text, hint)

    def fail(self, error: Exception) -> None:
        """Show what went wrong."""
        if isinstance(error, ThreeStageError):
            self.say(error.message, error.hint, "error")
        else:
            self.say(
                f"{type(error).__name__}: {error}", "This is a bug; please report it.", "error"
            )

    # --- project ------------------------------------------------------------------------------

    @property
    def writable(self) -> bool:
        """Whether labels and classes may be changed."""
        return self.project is not None and not self.read_only

    def open(self, path: Path) -> bool:
        """Open a project, to change it if nobody else does; false after saying what is wrong."""
        try:
            project = Project(path)
        except ThreeStageError as error:
            self.fail(error)
            return False
        if not self.close():
            return False
        self.read_only = self._take(project)
        self.project = project
        self.reviewed = self._read_reviewed(project)
        self.order = list(project.images)
        self.picked_class = 1
        if not self.read_only:
            self.autosave = Autosave(project)
        self.project_changed.emit()
        self.runs.find()
        if self.read_only:
            self.say(self.read_only, READ_ONLY, "warning")
        if project.images:
            self.show(next(iter(self.order or project.images)))
        return True

    def _read_reviewed(self, project: Project) -> dict[str, float]:
        try:
            return read_reviewed(project)
        except ThreeStageError as error:
            self.fail(error)
            return {}

    def _take(self, project: Project) -> str:
        """Take the lock for editing; return why that is not possible."""
        try:
            self._held.enter_context(project.editing())
        except (BusyError, ProjectError) as error:
            return error.message
        return ""

    def close(self, lose: bool = False) -> bool:
        """Save everything and let the project go; false when labels could not be written.

        Parameters
        ----------
        lose
            Let it go all the same.
        """
        self.fold()
        if self.autosave is not None and lose:
            self.autosave.abandon()
        elif self.autosave is not None and not self.autosave.close(SAVE_SECONDS):
            self.say(
                f"Labels could not be written: {self.autosave.problem}",
                "Make room on the disk; the project stays open until they are safe.",
                "error",
            )
            return False
        self._held.close()
        self._held = ExitStack()
        self.project = self.content = self.autosave = None
        self.read_only = ""
        self._turner.forget()
        self.classes.forget()
        self.cache = PixelCache(self.cache.limit)
        self.runs.forget()
        self.second.forget()
        self.image_shown.emit(None)
        self.project_changed.emit()
        return True

    def reload(self) -> None:
        """Read ``project.json`` again after a command has changed it."""
        if self.project is None:
            return
        table = self.project.class_table
        try:
            self.project.reload()
        except ThreeStageError as error:
            self.fail(error)
            return
        if self.project.class_table != table:
            self.classes.forget()
            self.classes_changed.emit()
        self.order = [i for i in self.order if i in self.project.images]
        self.images_changed.emit()
        if self.project.images:  # anew, for the command may have replaced its ground truth
            self.show(self.image_id or next(iter(self.order or self.project.images)))

    # --- images -------------------------------------------------------------------------------

    @property
    def image_id(self) -> str:
        """The image that is shown, or empty."""
        return self.content.record.id if self.content is not None else ""

    def state(self, image_id: str) -> ImageState:
        """Return what the list shows of an image."""
        assert self.project is not None
        return image_state(self.project, image_id, self.reviewed)

    def show(self, image_id: str) -> None:
        """Show an image, with its labels and masks."""
        self._turner.show(image_id)

    def refresh(self) -> None:
        """Show the present image anew, as far as needed: what was painted can still be undone."""
        self._turner.refresh()

    def step(self, by: int) -> None:
        """Show the next (1) or the previous (-1) image of the list."""
        self._turner.step(by)

    @property
    def wanted(self) -> str:
        """The image that was asked for last; it may still be read."""
        return self._turner.wanted

    @property
    def unshown(self) -> str:
        """The image that was asked for last, when it could not be read."""
        return self._turner.unshown

    def review(self, images: str | Sequence[str], reviewed: bool) -> None:
        """Mark an image, or several, as looked through, or take the mark away."""
        if not self.writable or self.project is None:
            return
        try:
            self.reviewed = set_reviewed(self.project, images, reviewed)
        except ThreeStageError as error:
            self.fail(error)
        if isinstance(images, str):
            self.counts_changed.emit(images)
        else:
            self.images_changed.emit()

    # --- labels -------------------------------------------------------------------------------

    def commit(self, source: str | None = None, region: Any = None) -> None:
        """Send what has changed in the ground truth on its way to the disk.

        Parameters
        ----------
        source
            Where the change comes from, e.g. ``painted``; None after an undo or redo.
        region
            Slices that hold the change; None: anywhere.
        """
        if self.content is None or self.autosave is None:
            return
        block = self.content.editor.note(source, region)
        if block is not None:
            self.strokes += 1
            self.autosave.add(self.image_id, block)
            self.counts_changed.emit(self.image_id)

    def fold(self) -> None:
        """Send all that was painted in this image on its way into its label set."""
        self.commit()
        if self.autosave is not None and self.content is not None:
            self.autosave.fold(self.image_id)

    def counts(self, image_id: str) -> np.ndarray:
        """Return the pixels (C + 1,) of an image not labelled and of each class, as of now."""
        assert self.project is not None
        if image_id == self.image_id and self.content is not None:
            return self.content.editor.counts()
        return self.project.label_counts(image_id)

    def save(self, seconds: float = SAVE_SECONDS) -> bool:
        """Write everything into the label sets; false when that did not come about in time."""
        self.fold()
        return self.autosave is None or self.autosave.wait(seconds)

    def saving(self, consequence: str) -> Callable[[], None]:
        """Send all that was painted on its way; return what waits for it, for the background.

        Parameters
        ----------
        consequence
            What does not happen when that fails: "no report was written".  The work then raises
            ProjectError.
        """
        self.fold()
        autosave = self.autosave

        def wait() -> None:
            if autosave is not None and not autosave.wait(SAVE_SECONDS):
                raise ProjectError(
                    f"The labels could not be saved, so {consequence}.", "Make room on the disk."
                )

        return wait

    @property
    def unsaved(self) -> bool:
        """Whether something that was painted is not on disk yet."""
        return self.autosave is not None and not self.autosave.idle

    def pick_class(self, index: int) -> None:
        """Choose what is painted: a class from 1, or 0 to take labels away."""
        if self.project is not None and 0 <= index <= len(self.project.classes):
            self.picked_class = index
            self.class_picked.emit(index)

    # --- time ---------------------------------------------------------------------------------

    def tick(self) -> None:
        """Look at what happens elsewhere; called some times a second."""
        self.runs.tick()
        self.second.tick()
        self._tell_unfolded()
        if self.autosave is None:
            state = "read only" if self.read_only else ""
        elif self.autosave.problem:
            state = f"not saved: {self.autosave.problem}"
        else:
            state = "saved" if self.autosave.idle else "saving …"
        if state != self._save_state:
            self._save_state = state
            self.save_state_changed.emit(state)

    def _tell_unfolded(self) -> None:
        """Say, once, which labels are safe and yet not part of their label set."""
        while self.autosave is not None and self.autosave.unfolded:
            image_id, error = self.autosave.unfolded.popitem()
            hint = error.hint if isinstance(error, ThreeStageError) else ""
            self.say(
                f"What you painted in {image_id} is kept in the project's journal, but could not "
                f"be written into its label set: {error}",
                hint,
                "error",
            )
