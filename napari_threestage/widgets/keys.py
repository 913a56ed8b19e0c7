"""Keys of the dock; none of them is one of napari's own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut

from napari_threestage.widgets.place_finder import PlaceKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

    from napari_threestage.widgets.workbench import Workbench

CLASS_KEYS = 9


@dataclass(frozen=True)
class Key:
    """A key, what it does in words, and the function."""

    key: str  # as napari writes it, e.g. Alt-1
    text: str
    action: Callable[[], object]

    @property
    def shown(self) -> str:
        """The key as people write it."""
        return self.key.replace("-", "+")


def bind_keys(bench: Workbench) -> list[Key]:
    """Bind the keys to the viewer's canvas and return them, for the list of keys."""
    session, layers, views = bench.session, bench.layers, bench.views
    keys = [
        Key("N", "next image", partial(session.step, 1)),
        Key("Shift-N", "previous image", partial(session.step, -1)),
        Key("Q", "next mask, then none", partial(layers.flip, 1)),
        Key("Shift-Q", "previous mask", partial(layers.flip, -1)),
        Key("W", "masks over each other, side by side, wiped", partial(views.cycle, 1)),
        Key("Shift-W", "the same the other way round", partial(views.cycle, -1)),
        Key("G", "what changed from stage to stage, then nothing", bench.changes.cycle),
        Key("J", "next place to label or to check", partial(PlaceKey(bench).pressed.emit, 1)),
        Key("K", "mark the image as reviewed", partial(_review, bench)),
        Key("U", "back to painting", bench.painter.start_painting),
        Key("Alt-0", "paint “not labelled”", partial(session.pick_class, 0)),
    ]
    keys += [
        Key(f"Alt-{index}", f"paint class {index}", partial(session.pick_class, index))
        for index in range(1, CLASS_KEYS + 1)
    ]
    for key in keys:
        bench.viewer.bind_key(key.key, _for_viewer(key.action), overwrite=True)
    return keys


def add_shortcuts(keys: list[Key], widget: QWidget) -> None:
    """Let the keys act in the whole window of a widget, not only while the canvas has the focus."""
    for key in keys:
        shortcut = QShortcut(QKeySequence(key.shown), widget)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.activated.connect(key.action)


def _for_viewer(action: Callable[[], object]) -> Callable[[Any], None]:
    def act(viewer: Any) -> None:
        action()

    return act


def _review(bench: Workbench) -> None:
    session = bench.session
    if session.image_id:
        session.review(session.image_id, session.image_id not in session.reviewed)
