"""One for each viewer: the session with its layers, keys and clock; outlives the dock."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication, QMainWindow, QMessageBox, QWidget

from napari_threestage.widgets.background import Background
from napari_threestage.widgets.change_view import ChangeView
from napari_threestage.widgets.content import read_mask
from napari_threestage.widgets.jump import Jump
from napari_threestage.widgets.keys import bind_keys
from napari_threestage.widgets.layers import ProjectLayers
from napari_threestage.widgets.options import options
from napari_threestage.widgets.painter import Painter
from napari_threestage.widgets.session import Session
from napari_threestage.widgets.view_modes import ViewModes

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_threestage.widgets.content import ImageContent

log = logging.getLogger(__name__)
TICK_MS = 200

_benches: dict[int, Workbench] = {}


def workbench(viewer: ViewerModel) -> Workbench:
    """Return the workbench of a viewer; it is made when there is none."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari gives each plugin another proxy of it
    if id(viewer) not in _benches:
        _benches[id(viewer)] = Workbench(viewer)
    return _benches[id(viewer)]


class Workbench(QObject):
    """Shows in the viewer what the session holds, and tells the session what happens there.

    Parameters
    ----------
    viewer
        The viewer.
    """

    ticked = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = viewer
        self.background = Background(lambda error: self.session.fail(error), self)
        self.loader = Background(lambda error: self.session.fail(error), self)
        self.session = Session(self.background, self.loader)
        self.session.cache.limit = int(options().cache_gigabytes * 1e9)
        self.layers = ProjectLayers(viewer)
        self.layers.later = partial(QTimer.singleShot, 0)
        self.painter = Painter(self.session, self.layers, self)
        session = self.session
        session.in_hand = _button_is_down
        session.image_shown.connect(self._show)
        session.masks_read.connect(self._show_masks)
        # These hear of an image after `_show` has.
        self.jump = Jump(viewer, session, self.layers)
        self.views = ViewModes(viewer, session, self.layers)
        self.changes = ChangeView(session, self.layers, self.views)
        self.keys = bind_keys(self)
        session.project_changed.connect(self._on_project)
        session.classes_changed.connect(self._show_classes)
        session.runs.masks_arrived.connect(self._show_new_mask)
        viewer.layers.events.removed.connect(self._on_removed)
        self._window: QWidget | None = None
        self._ending = ""  # how the window is being closed
        self._clock = QTimer(self)
        self._clock.timeout.connect(self._tick)
        self._clock.start(TICK_MS)

    def watch(self, widget: QWidget) -> None:
        """Look after the main window of a widget: ask before it closes, and save when it does."""
        window = widget
        while window is not None and not isinstance(window, QMainWindow):
            window = window.parentWidget()  # a dock that floats is a window of its own
        if window is not None and window is not self._window:
            self._window = window
            window.installEventFilter(self)
            QApplication.instance().aboutToQuit.connect(self.close)

    def close(self, lose: bool = False) -> None:
        """Let everything go; labels that are not written yet are written first."""
        if _benches.pop(id(self.viewer), None) is None:
            return
        self._clock.stop()
        self.painter.detach()
        self.layers.freeze()
        self.views.close()
        self.session.image_shown.disconnect(self._show)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.session.close(lose)
        self.loader.close()
        self.background.close()
        if self._window is not None:
            self._window.removeEventFilter(self)
            QApplication.instance().aboutToQuit.disconnect(self.close)
            self._window = None

    # --- the session's news ---------------------------------------------------------------------

    def _tick(self) -> None:
        self.session.tick()
        self.ticked.emit()

    def _show(self, content: ImageContent | None) -> None:
        self.painter.detach()
        if content is None or self.session.project is None:
            self.layers.blank()
            return
        classes = self.session.project.classes
        self.layers.show(content, classes, editable=self.session.writable)
        self.painter.attach()

    def _show_masks(self, content: ImageContent) -> None:
        self.layers.show_masks(content)

    def _on_project(self) -> None:
        if self.session.project is not None and not self.session.project.images:
            self.layers.clear()

    def _show_classes(self) -> None:
        project, content = self.session.project, self.session.content
        if project is None:
            return
        self.layers.set_classes(project.classes)
        if content is not None and not content.editor.adopt(project.class_table):
            self.layers.freeze()  # until the image is shown with the new meaning of its pixels

    def _show_new_mask(self, stage: int) -> None:
        """Read a mask that the trainer has just written for the image that is shown."""
        project, run, content = self.session.project, self.session.runs.run, self.session.content
        if project is None or run is None or content is None:
            return
        image_id = content.record.id

        def read() -> Any:
            found = run.has_mask(stage, image_id)
            return read_mask(project, run, stage, image_id) if found else None

        def show(mask: Any) -> None:
            # Another run may be looked at by now, and its masks must not be mixed with this one.
            if mask is not None and self.session.content is content and content.run == run.id:
                content.masks[stage] = mask
                self.session.masks_read.emit(content)

        self.background(read, show)

    # --- the viewer's news ----------------------------------------------------------------------

    def _on_removed(self, event: Any) -> None:
        """Bring the ground truth back when a person takes its layer away: the labels stay."""
        content = self.session.content
        if self.layers.changing or content is None or self.layers.truth is not None:
            return
        self.painter.detach()
        self.session.commit()
        self.session.say(
            "The Ground truth layer was removed; its labels are safe and shown again.",
            "Hide it with the eye, or erase labels with the brush.",
        )
        QTimer.singleShot(0, self._bring_back)

    def _bring_back(self) -> None:
        if self.session.content is not None and self.layers.truth is None:
            self._show(self.session.content)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ask before the window closes; true keeps it open."""
        if watched is not self._window:
            return False
        try:
            if event.type() == QEvent.Type.Close:
                self._ending = self._ask()
                QTimer.singleShot(0, self._stay)  # napari may ask as well, and be told no
                if not self._ending:
                    event.ignore()
                    return True
            elif event.type() == QEvent.Type.Hide and self._ending:
                self._end()
        except Exception:  # Qt would end the process, and with it what napari still has to save
            log.exception("The project could not be closed in order")
        return False

    def _ask(self) -> str:
        """Return how the window may close: ``keep`` or ``stop`` the run, ``lose`` labels; or empty.

        What was painted is saved before anything is asked.
        """
        runs = self.session.runs
        ending = self.ask_about_run() if runs.active else "keep"
        if ending == "cancel":
            return ""
        if self.session.save() or self._lose_labels():
            return ending if not self.session.unsaved else f"{ending} and lose"
        return ""

    def _stay(self) -> None:
        self._ending = ""

    def _end(self) -> None:
        ending, self._ending = self._ending, ""
        if ending.startswith("stop"):
            self.session.runs.stop()
        self.close(lose=ending.endswith("lose"))

    def ask_about_run(self) -> str:
        """Return ``keep``, ``stop`` or ``cancel``."""
        box = QMessageBox(self._window)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Training goes on")
        box.setText("A run is being trained in the background.")
        box.setInformativeText(
            "It needs no window: it can go on, and the next time you open this project you find "
            "it again."
        )
        keep = box.addButton("Keep training", QMessageBox.ButtonRole.AcceptRole)
        stop = box.addButton("Stop and keep what is there", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(keep)
        box.exec()
        return {keep: "keep", stop: "stop"}.get(box.clickedButton(), "cancel")

    def _lose_labels(self) -> bool:
        problem = self.session.autosave.problem if self.session.autosave else ""
        box = QMessageBox(self._window)
        box.setIcon(QMessageBox.Icon.Critical)
        box.setWindowTitle("Labels are not saved")
        box.setText(f"The last labels could not be written: {problem}")
        box.setInformativeText("Make room on the disk and close again, or lose them.")
        lose = box.addButton("Close and lose them", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
        box.exec()
        return box.clickedButton() is lose


def _button_is_down() -> bool:
    return bool(QApplication.mouseButtons() != Qt.MouseButton.NoButton)
