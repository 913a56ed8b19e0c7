"""The images as rows, filtered and sorted; what is known of each is read little by little."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QAbstractListModel, QModelIndex, QObject, Qt, QTimer, Signal

from napari_threestage.errors import ThreeStageError
from napari_threestage.image_state import ImageState, image_state, select
from napari_threestage.widgets.class_model import short_number
from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_threestage.image_state import Filter, Sort
    from napari_threestage.project import Project
    from napari_threestage.widgets.session import Session

SLICE = 50  # images whose states are read at a time, so that an image to be shown need not wait
PAUSE_MS = 20  # between two slices, for everything else
LEFT_MS = 1000  # by then what was painted is in the label set
ID_ROLE = int(Qt.ItemDataRole.UserRole)


class ImageModel(QAbstractListModel):
    """The images of the session's project.

    Parameters
    ----------
    session
        Its `order` follows the rows.
    """

    selected = Signal()  # other rows, or in another order

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._rows: list[str] = []
        self._places: dict[str, int] = {}
        self._states: dict[str, ImageState] = {}
        self._damaged: dict[str, str] = {}
        self._unread: dict[str, None] = {}
        self._in_sight: dict[str, None] = {}  # of those that are not read
        self._open: set[str] = set()  # being read
        self._round = 0  # results of an earlier one are stale
        self._text = ""
        self._filter: Filter = "all"
        self._sort: Sort = "name"
        self._left = ""
        self._were_left: set[str] = set()
        self._leaving = QTimer(self)
        self._leaving.setSingleShot(True)
        self._leaving.setInterval(LEFT_MS)
        self._leaving.timeout.connect(self._reread_these)
        self._reading = QTimer(self)
        self._reading.setSingleShot(True)
        self._reading.setInterval(PAUSE_MS)
        self._reading.timeout.connect(self._read_some)
        listen(
            self,
            (session.project_changed, self._reset),
            (session.images_changed, self._reset),
            (session.counts_changed, self._reread),
            (session.classes_changed, self._reread_all),
            (session.image_shown, self._reread_left),
        )
        self._reset()

    # --- rows ---------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether the state of every image is known."""
        return not self._unread and not self._open

    def image_id(self, row: int) -> str:
        """Return the image of a row, empty beyond the end."""
        return self._rows[row] if 0 <= row < len(self._rows) else ""

    def row_of(self, image_id: str) -> int:
        """Return the row of an image, -1 where it is not listed."""
        return self._places.get(image_id, -1)

    def state(self, image_id: str) -> ImageState | None:
        """Return what is known of an image; None as long as it has not been read."""
        return self._states.get(image_id)

    def known_states(self) -> Iterable[ImageState]:
        """Return all that is known, in no order."""
        return self._states.values()

    def choose(self, text: str, state: Filter, sort: Sort) -> None:
        """List other images, or in another order."""
        self._text, self._filter, self._sort = text, state, sort
        self._select()

    def _select(self) -> None:
        project = self._session.project
        if project is None:
            rows: list[str] = []
        elif (self._text.strip(), self._filter, self._sort) == ("", "all", "import"):
            rows = list(project.images)
        else:
            rows = select(self._all_states(), self._text, self._filter, self._sort)
        self.beginResetModel()
        self._rows = rows
        self._places = {image_id: row for row, image_id in enumerate(rows)}
        self._session.order = list(rows)
        self.endResetModel()
        self.selected.emit()

    def _all_states(self) -> list[ImageState]:
        """Return the states as far as they matter for what is listed now."""
        assert self._session.project is not None
        reviewed, found = self._session.reviewed, []
        by_labels = self._filter in ("unlabelled", "part", "labelled")
        for image_id, record in self._session.project.images.items():
            state = self._states.get(image_id)
            if state is None and not by_labels:
                marked, shape = image_id in reviewed, record.label_shape
                state = ImageState(image_id, record.name, record.split, shape, (1,), marked)
            if state is not None:
                found.append(state)
        return found

    # --- Qt -----------------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the name, the id (`ID_ROLE`) or what the tooltip says."""
        image_id, project = self.image_id(index.row()), self._session.project
        if project is None or image_id not in project.images:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return project.images[image_id].name
        if role == ID_ROLE:
            return image_id
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(image_id)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{project.images[image_id].name}, {self.text(image_id)}"
        return None

    def text(self, image_id: str) -> str:
        """Return how far an image is labelled, in some words."""
        if image_id in self._damaged:
            return "labels cannot be read"
        state = self._states.get(image_id)
        if state is None:
            self._in_sight[image_id] = None
            return "…"
        if state.state == "part":
            share = 100 * state.labelled_pixels / max(1, sum(state.pixels))
            return f"{share:.0f} % labelled" if share >= 1 else "< 1 % labelled"
        return "labelled" if state.state == "labelled" else "not labelled"

    def _tip(self, image_id: str) -> str:
        assert self._session.project is not None
        record = self._session.project.images[image_id]
        size = " x ".join(str(side) for side in reversed(record.label_shape))
        lines = [record.name, f"{size}, {record.dtype}, {record.channels} channels"]
        state = self._states.get(image_id)
        if image_id in self._damaged:
            lines.append(self._damaged[image_id])
        elif state is not None and state.state == "part":
            lines.append(f"{self.text(image_id)}: {short_number(state.labelled_pixels)} pixels")
        else:
            lines.append(self.text(image_id))
        if state is not None and state.reviewed:
            lines.append("reviewed")
        lines.append("for validation only" if record.split == "validation" else "for training")
        return "\n".join(lines)

    # --- states -------------------------------------------------------------------------------

    def _reset(self) -> None:
        project = self._session.project
        images = {} if project is None else project.images
        self._states, self._damaged = {}, {}
        self._unread, self._open = dict.fromkeys(images), set()
        self._round += 1
        self._select()
        self._reading.start()

    def _reread_all(self) -> None:
        """Read all states anew, for pixels of a class that is gone count no more."""
        if self._session.project is not None:
            self._unread, self._open = dict.fromkeys(self._session.project.images), set()
            self._round += 1
            self._reading.start()

    def _read_some(self) -> None:
        """Read some states apart from the event loop, those in sight first."""
        project, this_round = self._session.project, self._round
        if project is None or not self._unread:
            return
        first = [one for one in self._in_sight if one in self._unread]
        self._in_sight.clear()
        ids = list(islice(dict.fromkeys([*first, *islice(self._unread, SLICE)]), SLICE))
        for image_id in ids:
            del self._unread[image_id]
        self._open = set(ids)

        def take(found: Mapping[str, ImageState | Exception]) -> None:
            if isalive(self) and this_round == self._round:  # the dock may be gone by now
                self._take(found)

        self._session.background(lambda: _read_states(project, ids), take)

    def _take(self, found: Mapping[str, ImageState | Exception]) -> None:
        new = [image_id for image_id in found if image_id in self._open]  # not read anew meanwhile
        self._open = set()
        for image_id in new:
            self._keep(image_id, found[image_id])
        self._tell(new)
        if self._unread:
            self._reading.start()
        elif self._filter != "all" or self._sort in ("state", "labelled pixels"):
            self._select()

    def _keep(self, image_id: str, state: ImageState | Exception) -> None:
        session = self._session
        self._damaged.pop(image_id, None)
        self._states.pop(image_id, None)
        if isinstance(state, Exception):
            self._damaged[image_id] = str(state)
            return
        pixels = state.pixels
        if image_id == session.image_id and session.content is not None:
            # What is being painted is not in the label set yet.
            pixels = tuple(int(count) for count in session.content.editor.counts())
        marked = image_id in session.reviewed
        self._states[image_id] = replace(state, pixels=pixels, reviewed=marked)

    def _tell(self, images: Iterable[str]) -> None:
        """Say that rows look different now, neighbours in one go."""
        rows = sorted(row for row in map(self.row_of, images) if row >= 0)
        for _, run in groupby(enumerate(rows), lambda pair: pair[1] - pair[0]):
            beside = [row for _, row in run]
            self.dataChanged.emit(self.index(beside[0]), self.index(beside[-1]))

    def _read(self, image_id: str) -> None:
        project = self._session.project
        if project is not None and image_id in project.images:
            self._unread.pop(image_id, None)
            self._open.discard(image_id)
            self._keep(image_id, _read_states(project, [image_id])[image_id])

    def _reread(self, image_id: str) -> None:
        # Rows stay where they are, although the filter may now say otherwise: an image must not
        # disappear while it is being painted, nor "next" lead somewhere else.
        self._read(image_id)
        self._tell([image_id])

    def _reread_left(self, content: object) -> None:
        left, self._left = self._left, self._session.image_id
        if left and left != self._left:
            self._were_left.add(left)
            self._leaving.start()

    def _reread_these(self) -> None:
        left, self._were_left = self._were_left, set()
        for image_id in left:
            self._reread(image_id)


def _read_states(project: Project, images: Sequence[str]) -> dict[str, ImageState | Exception]:
    """Return the states of images on disk, or what is wrong with them; marks come later."""
    found: dict[str, ImageState | Exception] = {}
    for image_id in images:
        try:
            found[image_id] = image_state(project, image_id, ())
        except (ThreeStageError, OSError) as error:
            found[image_id] = error
    return found
